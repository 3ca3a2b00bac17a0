"""From what people have, files, pictures and texts, to what a net receives: as in evaluation.

Works without torch. Shapes: N inputs, C channels, H height, W width, L tokens of the longest text.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from burnish.data.cleaning import clean
from burnish.data.decode import Pixels, fitted, read_image
from burnish.deploy.batch.signatures import HEAD, is_heic
from burnish.errors import DataError
from burnish.spec import PAD, ImageSpec, Spec, TextSpec

CHANNELS = (1, 3, 4)  # of pixels that are given: grey, RGB, RGB with opacity
HEIC = "HEIC, which Pillow does not read; save it as JPEG"
# What a net receives: float32 [N, C, H, W] or int64 [N, L].
Inputs = NDArray[Any]


class Pictures:
    """Images, brought to the size, channels and normalisation of a spec.

    Args:
        spec: of the run.
    """

    name = "images"  # of the exported graph's input

    def __init__(self, spec: ImageSpec) -> None:
        self.spec = spec
        # The arithmetic of data.normalise.Normaliser, to the last bit.
        mean_C11 = np.array(spec.mean, dtype=np.float64)[:, None, None]
        std_C11 = np.array(spec.std, dtype=np.float64)[:, None, None]
        self._scale = (1 / (255 * std_C11)).astype(np.float32)
        self._shift = (-mean_C11 / std_C11).astype(np.float32)

    def items(self, inputs: Any) -> list[Any]:
        """One input or many as a list.

        Args:
            inputs: what :meth:`read` takes, a list of it, or a batch in one array: NumPy
                ``[N, H, W, 3]``, for grey nets ``[N, H, W]``; torch ``[N, C, H, W]``.

        Raises:
            DataError: if an array may be read in two ways.
        """
        if isinstance(inputs, list | tuple):
            return list(inputs)
        if _is_tensor(inputs):
            return list(inputs) if inputs.ndim == 4 else [inputs]
        if not isinstance(inputs, np.ndarray):
            return [inputs]
        if inputs.ndim == 4 or inputs.dtype == object:
            return list(inputs)
        if inputs.ndim != 3 or inputs.shape[2] in CHANNELS or self.spec.channels != 1:
            return [inputs]
        if inputs.shape[0] in CHANNELS:  # a few images, or one with its channels in front
            raise DataError(
                f"pixels {list(inputs.shape)} are unclear: put channels last, [height, width, 3], "
                "or give a list of grey images"
            )
        return list(inputs)

    def read(self, item: Any) -> Pixels:
        """One image as pixels of the spec's size.

        Args:
            item: a path, a file's bytes, a Pillow image, or pixels, uint8 or floats in [0, 1]:
                ``[H, W, 3]``, ``[H, W, 4]`` with opacity, ``[H, W]`` or ``[H, W, 1]``; of torch
                ``[C, H, W]``.

        Returns:
            uint8 ``[C, height, width]``.

        Raises:
            DataError: if it is no image, or cannot be decoded; a path is named.
        """
        spec = self.spec
        size = spec.height, spec.width, spec.channels
        if isinstance(item, str | Path):
            return _of_path(Path(item), size)
        if isinstance(item, bytes):
            return _of_bytes(item, size)
        if _is_tensor(item):
            item = item.detach().cpu().numpy()
            item = np.moveaxis(item, 0, -1) if item.ndim == 3 else item
        if isinstance(item, np.ndarray):
            item = _picture(item)
        if not isinstance(item, Image.Image):
            raise DataError(
                "an image must be a path, the bytes of a file, a Pillow image or an array "
                f"[height, width, 3] or [height, width], found {type(item).__name__}"
            )
        return fitted(item, *size)

    def batch(self, items: Sequence[Pixels]) -> Inputs:
        """Images of :meth:`read` as the net receives them, float32 ``[N, C, height, width]``."""
        images: NDArray[np.float32] = np.stack(items).astype(np.float32)
        images *= self._scale
        images += self._shift
        return images


class Sentences:
    """Texts, turned into ids by the vocabulary of a spec.

    Args:
        spec: of the run.
    """

    name = "ids"  # of the exported graph's input

    def __init__(self, spec: TextSpec) -> None:
        from burnish.data.tokenize import tokenizer

        self.spec = spec
        self._tokenizer = tokenizer(spec)

    def items(self, inputs: Any) -> list[Any]:
        """One text or many, in a list, an array or a column of pandas, as a list."""
        if isinstance(inputs, str) or not hasattr(inputs, "tolist"):
            return list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        found = inputs.tolist()
        return found if isinstance(found, list) else [found]

    def read(self, item: Any) -> str:
        """One text, without outer blanks: training saw none.

        Raises:
            DataError: if it is none, or nothing but blanks.
        """
        if not isinstance(item, str):
            raise DataError(f"a text must be a string, found {type(item).__name__}")
        if not (text := clean(item)):
            raise DataError("the text is empty")
        return text

    def batch(self, items: Sequence[str]) -> Inputs:
        """Ids int64 ``[N, L]``, cut at the spec's ``max_length``, padded with 0 behind."""
        flat, counts = self._tokenizer.encode(items)
        offsets = np.cumsum(counts) - counts
        lengths = counts.clip(max=self.spec.max_length)
        # A text may have no token, if its tokenizer drops all of it: it is one padding long.
        position = np.arange(max(1, int(lengths.max())))
        inside = position < lengths[:, None]
        ids = np.full(inside.shape, PAD, dtype=np.int64)
        ids[inside] = flat[(offsets[:, None] + position)[inside]]
        return ids


Preprocess = Pictures | Sentences


def preprocess(spec: Spec) -> Preprocess:
    """What turns a person's inputs into a net's."""
    return Sentences(spec) if isinstance(spec, TextSpec) else Pictures(spec)


def _is_tensor(item: Any) -> bool:
    """Whether it is one of torch, which need not be imported to know."""
    return hasattr(item, "detach") and hasattr(item, "cpu")


def _of_path(path: Path, size: tuple[int, int, int]) -> Pixels:
    try:
        return read_image(path, *size)
    except DataError as error:
        cause = error.__cause__
        if isinstance(cause, OSError) and cause.errno:  # no number, no path said twice
            raise DataError(f"{path}: {os.strerror(cause.errno).lower()}") from cause
        if isinstance(cause, UnidentifiedImageError) and path.is_file():
            with path.open("rb") as file:
                if is_heic(file.read(HEAD)):
                    raise DataError(f"{path}: {HEIC}") from cause
        raise


def _of_bytes(content: bytes, size: tuple[int, int, int]) -> Pixels:
    try:
        return read_image(io.BytesIO(content), *size)
    except DataError as error:
        if isinstance(error.__cause__, UnidentifiedImageError) and is_heic(content):
            raise DataError(HEIC) from error
        raise


def _picture(pixels: NDArray[Any]) -> Image.Image:
    shape = pixels.shape
    fits = pixels.ndim == 2 or (pixels.ndim == 3 and shape[2] in CHANNELS)
    floats = np.issubdtype(pixels.dtype, np.floating)
    if not (pixels.dtype == np.uint8 or floats) or not fits or not pixels.size:
        raise DataError(
            "pixels must be uint8 or floats in [0, 1], [height, width, 3] or [height, width], "
            f"found {pixels.dtype} {list(shape)}"
        )
    if floats:
        low, high = float(pixels.min()), float(pixels.max())
        if not 0 <= low <= high <= 1:
            raise DataError(f"pixels as floats must lie in [0, 1], found {low:g} to {high:g}")
        pixels = np.rint(pixels * 255).astype(np.uint8)
    return Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and shape[2] == 1 else pixels)
