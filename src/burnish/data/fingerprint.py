"""Content hashes of data sets, so that a run can say what it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor


def of_tensors(tensors: Iterable[Tensor]) -> str:
    """BLAKE2b of dtypes, shapes and contents, as 32 hexadecimal digits.

    Args:
        tensors: on the CPU, in an order that matters.
    """
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def of_files(root: Path, paths: Iterable[Path], *, with_times: bool = False) -> str:
    """BLAKE2b of the sorted relative paths and sizes, without reading the files.

    Args:
        root: what the paths are relative to.
        paths: files below it.
        with_times: also the modification times, which a copied data set does not keep.
    """
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(paths):
        stat = path.stat()
        time = stat.st_mtime_ns if with_times else ""
        digest.update(f"{path.relative_to(root).as_posix()}\0{stat.st_size}\0{time}\n".encode())
    return digest.hexdigest()
