"""The IDX format of MNIST: a header of big-endian integers, then bytes."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from burnish.errors import DataError

UNSIGNED_BYTE = 8


def find(path: Path) -> Path | None:
    """The file itself or its ``.gz``, whichever exists; the extracted one first."""
    packed = path.with_name(f"{path.name}.gz")
    return path if path.is_file() else packed if packed.is_file() else None


def read(path: Path, dimensions: int) -> Tensor:
    """Read unsigned bytes, from the file or its ``.gz``.

    Layout: two zero bytes, the type (8: unsigned byte), the number of dimensions, the size of
    each as a 32-bit integer, then the values, the last dimension fastest.

    Args:
        path: without ``.gz``.
        dimensions: 3 for images ``[N, H, W]``, 1 for labels ``[N]``.

    Returns:
        uint8 of the file's shape.

    Raises:
        DataError: if the file is missing, damaged or of another form.
    """
    found = find(path)
    if found is None:
        raise DataError(f"{path}: no such file, with or without .gz")
    try:
        content = gzip.decompress(found.read_bytes()) if found != path else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{found}: damaged ({error}); fetch it again") from error
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, UNSIGNED_BYTE, dimensions]) or len(content) < start:
        raise DataError(f"{found}: no IDX file of unsigned bytes in {dimensions} dimensions")
    shape = np.frombuffer(content, ">i4", dimensions, offset=4).tolist()
    if math.prod(shape) != len(content) - start:
        raise DataError(
            f"{found}: the header says {shape}, but {len(content) - start} values follow; "
            "fetch it again"
        )
    # bytearray: torch wants memory that it may write to.
    return torch.frombuffer(bytearray(content), dtype=torch.uint8, offset=start).view(shape)
