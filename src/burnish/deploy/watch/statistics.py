"""A few numbers that tell what an input is like, and its fingerprint. Works without torch."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.data.decode import Pixels
from burnish.deploy.preprocess import Preprocess, Sentences
from burnish.spec import UNKNOWN

DIGITS = 5  # that are kept of every number


def statistics(preprocess: Preprocess, item: Any) -> dict[str, float]:
    """What one input is like.

    Args:
        preprocess: of the net that classified it.
        item: what ``preprocess.read`` returned: uint8 ``[C, H, W]`` or a text.

    Returns:
        Of a picture ``brightness`` (mean of its pixels, in [0, 1]), ``contrast`` (their standard
        deviation) and ``sharpness`` (mean absolute difference of neighbouring pixels); of a text
        ``tokens`` (how many, before cutting) and ``unknown`` (their share that the vocabulary
        lacks, in [0, 1]).
    """
    if isinstance(preprocess, Sentences):
        return _of_text(preprocess, item)
    return _of_picture(item)


def rounded(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers as a reference and a log keep them, and as they must be compared.

    Of a net for MNIST three in four confidences are 1.00000 once rounded, and fewer are exactly 1
    before: one side rounded and the other not would be two distributions.
    """
    return np.asarray(values, dtype=np.float64).round(DIGITS)


def digest(item: Any) -> str:
    """SHA-256 of an input's pixels or text, in hexadecimal: equal inputs have the same.

    Args:
        item: what ``preprocess.read`` returned.
    """
    return hashlib.sha256(content(item)).hexdigest()


def content(item: Any) -> bytes:
    """An input's pixels, row by row and channel by channel, or its text in UTF-8."""
    if isinstance(item, str):
        return item.encode("utf-8", "surrogatepass")
    return np.ascontiguousarray(item).tobytes()


def _of_picture(pixels: Pixels) -> dict[str, float]:
    unit = pixels.astype(np.float32) / 255
    steps = [np.abs(np.diff(unit, axis=axis)) for axis in (-1, -2)]
    neighbours = sum(step.size for step in steps)  # none in a picture of one pixel
    change = sum(float(step.sum(dtype=np.float64)) for step in steps)
    return {
        "brightness": float(unit.mean(dtype=np.float64)),
        "contrast": float(unit.std(dtype=np.float64)),
        "sharpness": change / max(neighbours, 1),
    }


def _of_text(preprocess: Sentences, text: str) -> dict[str, float]:
    ids, _ = preprocess._tokenizer.encode([text])
    unknown = np.count_nonzero(ids == UNKNOWN) / max(len(ids), 1)
    return {"tokens": float(len(ids)), "unknown": float(unknown)}
