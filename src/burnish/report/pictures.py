"""Images of a data set as files for a page.

Shapes: R rows, N columns, C channels, H height, W width.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

LARGEST = 112  # pixels a side in a sheet: eight side by side fill a page
SMALL = 48  # smaller images are enlarged by a whole number, at least to this
GAP = 4


def sheet(rows: Sequence[Pixels]) -> bytes:
    """A contact sheet: images side by side, each row below the last.

    Small images keep their pixels and become a PNG; photographs a JPEG, a fifth of the size.

    Args:
        rows: R arrays of one shape, uint8 ``[N, C, H, W]`` with C 1 or 3.

    Returns:
        The file.
    """
    cells = [[_cell(image) for image in row] for row in rows]
    height, width = cells[0][0].height, cells[0][0].width
    size = (len(cells[0]) * (width + GAP) - GAP, len(cells) * (height + GAP) - GAP)
    # Mid grey parts the images of light and of dark pages alike.
    whole = Image.new("RGB", size, (128, 128, 128))
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            whole.paste(cell, (x * (width + GAP), y * (height + GAP)))
    buffer = io.BytesIO()
    photographs = max(rows[0].shape[2:]) > SMALL
    if photographs:
        whole.save(buffer, "JPEG", quality=90, subsampling=0)
    else:
        whole.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _cell(image: Pixels) -> Image.Image:
    channels, height, width = image.shape
    picture = Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
    longer = max(height, width)
    if longer < SMALL:
        factor = -(-SMALL // longer)
        return picture.resize((width * factor, height * factor), Image.Resampling.NEAREST)
    if longer > LARGEST:
        picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return picture
