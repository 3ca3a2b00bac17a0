"""From an image file of any kind to one square RGB image.

Shapes: S side in pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from burnish.errors import DataError


def read_square(path: Path, size: int) -> Tensor:
    """Decode, resize the shorter side to ``size`` with antialiasing and cut the centre out.

    Args:
        path: any format and mode that Pillow reads.
        size: S.

    Returns:
        uint8 ``[3, S, S]``.

    Raises:
        DataError: naming the file, if it cannot be decoded.
    """
    try:
        with Image.open(path) as image:
            # A JPEG decodes faster at 1/2, 1/4 or 1/8; twice the size leaves enough to average.
            image.draft(None, (2 * size, 2 * size))
            square = _centre(to_rgb(image), size)
    # A damaged file can fail anywhere in a decoder, with any of the ordinary exceptions.
    except Exception as error:
        raise DataError(f"{path}: {describe(error)}") from error
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)


def find_damage(path: Path) -> str | None:
    """Decode the whole file, a JPEG at an eighth of its size, and say what is wrong with it."""
    try:
        with Image.open(path) as image:
            image.draft(None, (1, 1))
            image.load()
    except Exception as error:
        return describe(error)
    return None


def describe(error: Exception) -> str:
    """An exception in one line, without the path that Pillow sometimes adds."""
    text = "not an image" if "cannot identify image file" in str(error) else str(error)
    return text or type(error).__name__


def to_rgb(image: Image.Image) -> Image.Image:
    """Upright RGB of 8 bits: EXIF's rotation applied, transparency laid on white.

    16-bit grey keeps its upper 8 bits; palettes, CMYK and the rest are converted by Pillow.
    """
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "I" or upright.mode.startswith("I;16"):
        upright = Image.fromarray((np.asarray(upright).clip(0, 0xFFFF) >> 8).astype(np.uint8))
    if upright.has_transparency_data:
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    return upright.convert("RGB")


def _centre(image: Image.Image, size: int) -> Image.Image:
    width, height = image.size
    shorter = min(width, height)
    width, height = size * width // shorter, size * height // shorter
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = image.resize((width, height), Image.Resampling.BILINEAR)
    return resized.crop((left, top, left + size, top + size))
