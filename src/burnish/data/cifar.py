"""CIFAR-10 and CIFAR-100: 50,000 training and 10,000 test images of 32x32 RGB pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from burnish.data import fingerprint, safe_pickle
from burnish.data.base import Sources
from burnish.data.download import ensure_files
from burnish.data.images import ImageDataModule
from burnish.data.loading import Table
from burnish.errors import DataError

CHANNELS, SIDE = 3, 32


class CIFAR10(ImageDataModule):
    """Ten kinds of things (Krizhevsky 2009), from ``<root>/cifar-10-batches-py/``.

    Files are always read by an unpickler that can build arrays and nothing else.

    Args:
        verify: refuse files whose MD5 is not the published one; false reads them anyway.
        shared: see :class:`~burnish.data.images.ImageDataModule`.
    """

    torchvision_name: ClassVar[str] = "CIFAR10"
    folder: ClassVar[str] = "cifar-10-batches-py"
    train_files: ClassVar[Sequence[str]] = tuple(f"data_batch_{i}" for i in range(1, 6))
    test_files: ClassVar[Sequence[str]] = ("test_batch",)
    meta_file: ClassVar[str] = "batches.meta"
    names_key: ClassVar[str] = "label_names"
    labels_key: ClassVar[str] = "labels"

    def __init__(self, *, verify: bool = True, **shared: Any) -> None:
        super().__init__(**shared)
        self.verify = verify

    @property
    def path(self) -> Path:
        """Where the batches lie."""
        return self.root / self.folder

    def prepare_data(self) -> None:
        """Download through torchvision if files are missing; check the sums if asked to.

        Raises:
            DataError: naming the files that are missing or differ.
        """
        ensure_files(
            lambda: [path for path in self._files() if not path.is_file()],
            lambda: self._torchvision()(self.root, download=True),
            root=self.root,
            allowed=self.download,
            by_hand=f"unpack the archive of {self.torchvision_name}'s Python version into "
            f"{self.root}, so that {self.path} exists",
        )
        if self.verify:
            self._check_sums()

    def _files(self) -> list[Path]:
        return [self.path / n for n in (*self.train_files, *self.test_files, self.meta_file)]

    def _torchvision(self) -> Any:
        from torchvision import datasets

        return getattr(datasets, self.torchvision_name)

    def _check_sums(self) -> None:
        from torchvision.datasets.utils import check_integrity

        known = self._torchvision()
        sums = dict([*known.train_list, *known.test_list])
        sums[known.meta["filename"]] = known.meta["md5"]
        wrong = [path.name for path in self._files() if not check_integrity(path, sums[path.name])]
        if wrong:
            raise DataError(
                f"{self.path}: {', '.join(wrong)} differ from the published files. Delete the "
                "folder and set data.download=true to fetch them again, or read them as they are "
                "with data.verify=false"
            )

    def read(self) -> Sources:
        """Read all batches into two tables of one uint8 copy each."""
        names = self._class_names()
        train = self._table(self.train_files, len(names))
        test = self._table(self.test_files, len(names))
        return Sources(
            train=train,
            val=None,
            test=test,
            class_names=names,
            fingerprint=fingerprint.of_tensors(
                [train.images, train.labels, test.images, test.labels]
            ),
        )

    def _class_names(self) -> tuple[str, ...]:
        path = self.path / self.meta_file
        names = _entries(path, self.names_key)[self.names_key]
        if not isinstance(names, list) or not names:
            raise DataError(f"{path}: {self.names_key} is no list of names")
        return tuple(n.decode("latin1") if isinstance(n, bytes) else str(n) for n in names)

    def _table(self, names: Sequence[str], num_classes: int) -> Table:
        # One buffer that grows batch by batch: joining the arrays at the end would need two copies.
        buffer, labels = bytearray(), []
        for name in names:
            pixels, batch_labels = self._batch(self.path / name, num_classes)
            buffer += np.ascontiguousarray(pixels).data
            labels.append(batch_labels)
        images = torch.frombuffer(buffer, dtype=torch.uint8).view(-1, CHANNELS, SIDE, SIDE)
        return Table(images, torch.from_numpy(np.concatenate(labels)))

    def _batch(self, path: Path, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
        entries = _entries(path, "data", self.labels_key)
        pixels, labels = entries["data"], np.asarray(entries[self.labels_key])
        length = CHANNELS * SIDE * SIDE
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise DataError(f"{path}: 'data' is no array of uint8")
        if pixels.ndim != 2 or pixels.shape != (len(labels), length) or len(labels) == 0:
            raise DataError(
                f"{path}: {len(labels)} labels, but pixels of shape {pixels.shape} instead of "
                f"({len(labels)}, {length})"
            )
        if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= num_classes:
            raise DataError(f"{path}: labels must be integers from 0 to {num_classes - 1}")
        return pixels, labels.astype(np.int64)


class CIFAR100(CIFAR10):
    """A hundred kinds of things, the fine labels, from ``<root>/cifar-100-python/``.

    Args:
        shared: see :class:`CIFAR10`.
    """

    torchvision_name = "CIFAR100"
    folder = "cifar-100-python"
    train_files = ("train",)
    test_files = ("test",)
    meta_file = "meta"
    names_key = "fine_label_names"
    labels_key = "fine_labels"

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)


def _entries(path: Path, *wanted: str) -> Mapping[str, Any]:
    """The dictionary in a file, with its keys as text whichever Python wrote it."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    content = safe_pickle.load(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}, expected a dictionary")
    entries = {
        key.decode("latin1") if isinstance(key, bytes) else key: v for key, v in content.items()
    }
    if absent := [key for key in wanted if key not in entries]:
        raise DataError(f"{path}: without the entries {absent}; has {sorted(map(str, entries))}")
    return entries
