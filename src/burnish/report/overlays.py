"""Explanations laid over what they explain.

Shapes: C channels, H height, W width, h and w those of a coarser map.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

# Perceptually uniform, from black over red to yellow: what is warm is what counted.
COLOURS = mpl.colormaps["inferno"]
SHARE = 0.5  # of the colours in the picture; the rest is the image in grey


def overlaid(pixels: ArrayLike, heat: ArrayLike) -> NDArray[np.uint8]:
    """An image in grey with a heat map in colours over it, the hottest place always brightest.

    Args:
        pixels: uint8 ``[C, H, W]`` with C 1 or 3.
        heat: float ``[h, w]``, at least 0; enlarged bilinearly.

    Returns:
        uint8 ``[3, H, W]``; the grey image alone if all of the heat is 0.
    """
    image, warmth = np.asarray(pixels), np.asarray(heat, dtype=np.float32)
    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    grey_HW1 = np.asarray(picture.convert("L"), dtype=np.float32)[:, :, None]
    hottest = float(warmth.max())
    if not hottest > 0:
        blended = np.repeat(grey_HW1, 3, axis=2)
    else:
        enlarged = Image.fromarray(warmth / hottest).resize(picture.size, Image.Resampling.BILINEAR)
        colours_HW3 = 255 * COLOURS(np.asarray(enlarged))[:, :, :3]
        blended = (1 - SHARE) * grey_HW1 + SHARE * colours_HW3
    return blended.round().astype(np.uint8).transpose(2, 0, 1)


def marked(tokens: Sequence[str], scores: ArrayLike) -> list[tuple[str, float]]:
    """Tokens with their strength in [-1, 1]: the score's share of the largest of the text.

    Args:
        tokens: of one text.
        scores: float, one a token; those of padding may follow.
    """
    values = np.asarray(scores, dtype=np.float64)[: len(tokens)]
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    return [(token, float(v) / largest) for token, v in zip(tokens, values, strict=True)]
