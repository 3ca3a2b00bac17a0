"""Content hashes of data sets, so that a run can say what it was trained on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from burnish.data import digest_cache


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


def of_files(
    root: Path,
    paths: Sequence[Path],
    *,
    tables: Mapping[str, Path] | None = None,
    with_times: bool = False,
) -> str:
    """BLAKE2b of the sorted relative paths and contents: a copy elsewhere has the same.

    Contents are hashed once: a file of the same size and time is not read a second time.

    Args:
        root: what the paths are relative to.
        paths: the files, in any order.
        tables: files that count by this name instead of their path, such as the CSV of a split.
        with_times: instead of contents, the sizes and modification times, which cost no reading
            but which a copied data set does not keep. Names caches on this machine.
    """
    names = [*relative_names(root, paths), *(f"//{name}" for name in tables or {})]
    files = [*paths, *(tables or {}).values()]
    contents = map(_size_and_time, files) if with_times else digest_cache.digests(files)
    digest = hashlib.blake2b(digest_size=16)
    for name, content in sorted(zip(names, contents, strict=True)):
        digest.update(os.fsencode(f"{name}\0{content}\n"))
    return digest.hexdigest()


def relative_names(root: Path, paths: Iterable[Path]) -> list[str]:
    """The paths as seen from ``root``, with forward slashes, however each is spelled."""
    base = os.path.abspath(root)  # noqa: PTH100  (lexical: links stay what they are called)
    return [os.path.relpath(path, base).replace(os.sep, "/") for path in paths]


def _size_and_time(path: Path) -> str:
    stat = path.stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"
