"""From what a stranger sent to what ``preprocess.batch`` takes; nothing is decoded unmeasured.

Shapes: C channels, H height, W width in pixels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from burnish.data.decode import Pixels, describe
from burnish.deploy.preprocess import Pictures, Preprocess
from burnish.deploy.service.arrays import only_numbers
from burnish.deploy.service.refusal import Refused, wrong_field
from burnish.deploy.service.settings import Settings
from burnish.errors import DataError

# Pillow knows dozens more, some of which start other programs (EPS) or are seldom looked after.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")
# A progressive JPEG has about ten scans, one from a phone a few small pictures more. Every scan
# of 25 million pixels takes some 0.07 s, and a file of 10 MB can hold 200,000.
START_OF_SCAN, MOST_SCANS = b"\xff\xda", 50
# Pixels of a request, in largest images: 64 of 25 million fit 6 MB and take a core half a minute.
LARGEST_IMAGES = 4


class Decoder:
    """Turns one input into an item of a preprocessing; called in threads.

    Args:
        preprocess: of the bundle.
        settings: with the limits.
    """

    def __init__(self, preprocess: Preprocess, settings: Settings) -> None:
        self._preprocess = preprocess
        self._settings = settings

    @property
    def takes_images(self) -> bool:
        """Else texts."""
        return isinstance(self._preprocess, Pictures)

    def read(self, raw: Any) -> Any:
        """One input.

        Args:
            raw: an image file's bytes, nested lists of pixels or a text.

        Raises:
            Refused: with 413 if it is too large, 415 if it is no image, 422 if it is damaged.
        """
        if isinstance(raw, bytes):
            return self._image(raw)
        return self._text(raw) if isinstance(raw, str) else self._pixels(raw)

    def weigh(self, inputs: Sequence[Any]) -> None:
        """Refuse a request by the headers of its image files, before the first is decoded.

        Args:
            inputs: as :meth:`read` takes them; what is no image file weighs nothing.

        Raises:
            Refused: with 413 if they have too many pixels together.
        """
        most = LARGEST_IMAGES * self._settings.max_pixels
        found = sum(_pixels_of(raw) for raw in inputs if isinstance(raw, bytes))
        if found > most:
            raise Refused(413, f"the images have {found} pixels together; at most {most} are taken")

    def _text(self, text: str) -> str:
        """Without outer blanks, as in training."""
        most = self._settings.max_characters
        if len(text) > most:
            raise Refused(413, f"the text has {len(text)} characters; at most {most} are taken")
        try:
            return self._preprocess.read(text)  # type: ignore[return-value]
        except DataError as error:
            raise Refused(422, str(error)) from error

    def _image(self, data: bytes) -> Pixels:
        if not data:
            raise Refused(422, "the image is empty")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                self._measure(image.width, image.height)
                scans = data.count(START_OF_SCAN) if image.format in ("JPEG", "MPO") else 0
                if scans > MOST_SCANS:
                    raise Refused(422, f"the image has {scans} scans")
                spec = self._preprocess.spec
                # As data.decode.read_image does: evaluation saw the same pixels.
                image.draft(None, (2 * spec.width, 2 * spec.height))  # type: ignore[union-attr]
                return self._preprocess.read(image)  # type: ignore[return-value]
        except Refused:
            raise
        except Image.UnidentifiedImageError as error:
            raise Refused(415, f"not an image ({', '.join(FORMATS)} are taken)") from error
        except Image.DecompressionBombError as error:
            raise Refused(413, "the image has too many pixels") from error
        # A damaged file can fail anywhere in a decoder, with any of the ordinary exceptions.
        except Exception as error:
            raise Refused(422, f"the image cannot be decoded: {describe(error)}") from error

    def _measure(self, width: int, height: int) -> None:
        """Refuse an image by its header: what it holds, and what it is resized to."""
        most = self._settings.max_pixels
        if width * height > most:
            raise Refused(413, f"the image has {width} x {height} pixels; at most {most} are taken")
        spec = self._preprocess.spec
        wanted = spec.height, spec.width  # type: ignore[union-attr]
        # Resized until it covers the net's input, a strip of 1 x 100,000 becomes a hundred times
        # that; EXIF may still turn it round.
        scale = max(wanted) / min(width, height)
        if width * scale * height * scale > max(most, wanted[0] * wanted[1]):
            raise Refused(413, f"the image of {width} x {height} pixels is too narrow")

    def _pixels(self, nested: Any) -> Pixels:
        if not only_numbers(nested):
            raise wrong_field("image", "pixels must be whole numbers from 0 to 255")
        try:
            pixels = np.asarray(nested)
        except (ValueError, TypeError, OverflowError) as error:
            raise wrong_field("image", "the rows of pixels differ in length") from error
        except MemoryError as error:
            raise Refused(413, "the image has too many pixels") from error
        whole = pixels.dtype.kind == "i" and pixels.size > 0
        if not whole or pixels.min() < 0 or pixels.max() > 255:
            raise wrong_field("image", "pixels must be whole numbers from 0 to 255")
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 3)):
            raise wrong_field(
                "image",
                "pixels must be [height][width], [height][width][1] or [height][width][3], found "
                + "".join(f"[{n}]" for n in pixels.shape),
            )
        self._measure(pixels.shape[1], pixels.shape[0])
        try:
            return self._preprocess.read(pixels.astype(np.uint8))  # type: ignore[return-value]
        except DataError as error:
            raise wrong_field("image", str(error)) from error


def _pixels_of(data: bytes) -> int:
    """By the header; 0 if it cannot be read, which :meth:`Decoder.read` will say."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return image.width * image.height
    except Exception:
        return 0
