"""From an image file of any kind to pixels of one size, in training and in service alike.

Shapes: C channels, H height, W width in pixels. Works without torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from burnish.errors import DataError

Pixels = NDArray[np.uint8]
# A strip of 1 x 100,000 would be resized to a hundred thousand times the net's width.
MOST_PIXELS = 100_000_000


def read_image(file: Path | IO[bytes], height: int, width: int, channels: int = 3) -> Pixels:
    """Decode, resize with antialiasing until it covers the size, and cut the centre out.

    Args:
        file: any format and mode that Pillow reads.
        height: H.
        width: W.
        channels: C; 3 for RGB, 1 for grey.

    Returns:
        uint8 ``[C, H, W]``.

    Raises:
        DataError: naming the file, if it cannot be decoded.
    """
    try:
        with Image.open(file) as image:
            # A JPEG decodes faster at 1/2, 1/4 or 1/8; twice the size leaves enough to average.
            image.draft(None, (2 * width, 2 * height))
            return fitted(image, height, width, channels)
    # A damaged file can fail anywhere in a decoder, with any of the ordinary exceptions.
    except Exception as error:
        named = f"{file}: " if isinstance(file, Path) else ""
        raise DataError(f"{named}{describe(error)}") from error


def fitted(image: Image.Image, height: int, width: int, channels: int = 3) -> Pixels:
    """An image of any mode and size as :func:`read_image` returns it, uint8 ``[C, H, W]``."""
    centre = _centre(to_rgb(image), height, width)
    pixels_HWC = np.asarray(centre) if channels == 3 else np.asarray(centre.convert("L"))[..., None]
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1))


def find_damage(path: Path) -> str | None:
    """Decode the whole file, a JPEG at an eighth of its size, and say what is wrong with it."""
    try:
        with Image.open(path) as image:
            _refuse_floats(image)
            image.draft(None, (1, 1))
            image.load()
    except Exception as error:
        return describe(error)
    return None


def describe(error: Exception) -> str:
    """An exception in one line, without the path or the bytes that Pillow sometimes adds."""
    said = error.args[0] if error.args else ""
    # Some decoders quote the bytes that they stumble over, or say it all in bytes.
    text = said.partition(b":")[0].decode("ascii", "replace") if isinstance(said, bytes) else ""
    text = text or str(error)
    if "cannot identify image file" in text:
        return "not an image"
    return re.sub(r":?\s*\bb(['\"]).*", "", text, flags=re.DOTALL) or type(error).__name__


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright RGB of 8 bits: EXIF's rotation applied, transparency laid on white.

    16-bit grey keeps its upper 8 bits; palettes, CMYK and the rest are converted by Pillow.
    """
    _refuse_floats(image)
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "I" or upright.mode.startswith("I;16"):
        upright = Image.fromarray((np.asarray(upright).clip(0, 0xFFFF) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    return upright.convert("RGB")


def _refuse_floats(image: Image.Image) -> None:
    """Pillow would cut them off at 0 and 255, and their range is anybody's guess."""
    if image.mode == "F":
        raise ValueError("its pixels are 32-bit floats; save it with 8 or 16 bits")


def _centre(image: Image.Image, height: int, width: int) -> Image.Image:
    if image.width * height < image.height * width:  # taller than wanted: as wide as wanted
        size = width, image.height * width // image.width
    else:
        size = image.width * height // image.height, height
    if size[0] * size[1] > MOST_PIXELS:
        raise DataError(f"{image.width} x {image.height} pixels are too narrow to be cut from")
    left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
    resized = image.resize(size, Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + width, top + height))
