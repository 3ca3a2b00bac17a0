"""Resized images in one uint8 table, in memory or in one memory-mapped file.

Shapes: N images, S side in pixels.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from burnish.data.decode import read_image
from burnish.errors import DataError

In = TypeVar("In")
Out = TypeVar("Out")


def in_threads(function: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """Map in one thread a core: Pillow decodes and resizes without holding the interpreter."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, items))


def in_memory(paths: Sequence[Path], size: int) -> Tensor:
    """Decode all files into one new tensor, uint8 ``[N, 3, S, S]``."""
    table = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    _fill(table, paths, size)
    return table


def on_disk(paths: Sequence[Path], size: int, file: Path) -> Tensor:
    """Map the table in ``file``, decoding all images into it first if it does not exist.

    It is written under a temporary name and renamed when it is complete, so that an interrupted
    run leaves nothing that looks whole; a lock lets a second run wait instead of decoding too.

    Args:
        paths: the images.
        size: S.
        file: ``.npy`` file whose name says what is in it.

    Returns:
        uint8 ``[N, 3, S, S]``; worker processes share its pages.

    Raises:
        DataError: if an image cannot be decoded or the disk is too small.
    """
    if not file.exists():
        with FileLock(file.with_suffix(".lock")):
            if not file.exists():
                _write(paths, size, file)
    # Copy on write: torch warns of memory that may not be written to, and the file stays as it is.
    return torch.from_numpy(np.load(file, mmap_mode="c"))


def _write(paths: Sequence[Path], size: int, file: Path) -> None:
    shape = (len(paths), 3, size, size)
    _require_space(file.parent, int(np.prod(shape, dtype=np.int64)))
    with replacing(file) as temporary:
        table = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=shape)
        _fill(torch.from_numpy(table), paths, size)
        table.flush()


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A temporary path that becomes ``file`` if the block succeeds, and vanishes if not."""
    temporary = file.with_suffix(f".{uuid4().hex}.tmp")
    try:
        yield temporary
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _fill(table: Tensor, paths: Sequence[Path], size: int) -> None:
    def put(row: int) -> None:
        table[row] = torch.from_numpy(read_image(paths[row], size, size))

    in_threads(put, range(len(paths)))


def _require_space(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if wanted > free:
        raise DataError(
            f"data.cache_dir: the cache needs {wanted / 1e9:.1f} GB, but {folder} has "
            f"{free / 1e9:.1f} GB left: choose another folder, a smaller data.image_size or "
            "data.cache=none"
        )


def writable_folder(wanted: Path | None, root: Path) -> Path:
    """The folder for cached tables, made if need be.

    Args:
        wanted: the user's choice; None: ``<root>/.burnish-cache``, or if that cannot be written
            the user's cache folder.
        root: the data set.

    Raises:
        DataError: if the user's choice cannot be written.
    """
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "burnish"
    for folder in [wanted] if wanted else [root / ".burnish-cache", user]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as error:
            refused = f"{folder}: {error.strerror or error}"
    raise DataError(f"data.cache_dir: cannot write to {refused}")
