"""Pictures for TensorBoard: images side by side with words below, and confusion matrices.

Shapes: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from burnish.report.confusion_figures import chosen_classes, normalised
from burnish.report.figures import WIDTH, Theme, draw
from burnish.report.fonts import families
from burnish.spec import ImageSpec

Pixels = NDArray[np.uint8]

COLUMNS = 3  # TensorBoard's cards are small: more, and their words could not be read
SMALL = 64  # images of fewer pixels a side keep their edges when they are enlarged


def pixels(inputs_NCHW: Tensor, spec: ImageSpec) -> Pixels:
    """Images from what a net receives: uint8 ``[N, C, H, W]``, the normalisation undone."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (spec.mean, spec.std))
    images = inputs_NCHW.detach().float().cpu() * std + mean
    return images.mul(255).round().clamp(0, 255).to(torch.uint8).numpy()


def tiles(title: str, images: Pixels, captions: Sequence[str]) -> Pixels:
    """Images in rows of three, each with words below it.

    Args:
        title: what they are.
        images: uint8 ``[N, C, H, W]`` with C 1 or 3.
        captions: one an image, of two short lines at most.

    Returns:
        uint8 ``[height, width, 3]``.
    """
    _, _, height, width = images.shape
    tall = height / width
    step = tall + 0.34  # of a row, in widths of an image; the rest is for the words
    rows = -(-len(images) // COLUMNS)

    def paint(axes: Axes, theme: Theme) -> None:
        for i, (image, words) in enumerate(zip(images, captions, strict=True)):
            x, y = 1.08 * (i % COLUMNS), step * (i // COLUMNS)
            coloured = np.broadcast_to(image, (3, height, width))
            axes.imshow(
                coloured.transpose(1, 2, 0),
                extent=(x, x + 1, y + tall, y),
                interpolation="nearest" if max(height, width) < SMALL else "antialiased",
            )
            axes.text(x, y + tall + 0.03, words, va="top", fontsize=9, linespacing=1.15)
        axes.set_xlim(0, 1.08 * COLUMNS - 0.08)
        axes.set_ylim(step * rows, 0)
        axes.set_axis_off()

    across = (WIDTH - 0.2) / (1.08 * COLUMNS)  # inches of an image
    fonts = families([title, *captions])
    drawn = draw(title, paint, height=0.4 + across * step * rows, fonts=fonts)
    return array(drawn.light)


def confusion(truth_N: Tensor, said_N: Tensor, names: Sequence[str]) -> Pixels:
    """Shares of each true class by what it was taken for, uint8 ``[height, width, 3]``.

    Args:
        truth_N: int64.
        said_N: int64, the predicted classes.
        names: of the K classes.
    """
    classes = len(names)
    counts = torch.bincount(truth_N * classes + said_N, minlength=classes**2)
    matrix = counts.view(classes, classes).numpy()
    return array(normalised(matrix, chosen_classes(matrix), names).light)


def array(png: bytes) -> Pixels:
    """A picture as TensorBoard takes it, uint8 ``[H, W, 3]``."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
