"""MNIST and Fashion-MNIST: 60,000 training and 10,000 test images of 28x28 grey pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from burnish.data import fingerprint, idx
from burnish.data.base import Sources
from burnish.data.download import ensure_files
from burnish.data.images import ImageDataModule
from burnish.data.loading import Table
from burnish.errors import DataError

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


class MNIST(ImageDataModule):
    """Handwritten digits (LeCun et al. 1998), read from ``<root>/MNIST/raw/``, packed or not.

    Args:
        shared: see :class:`~burnish.data.images.ImageDataModule`.
    """

    mirror = False
    folder = "MNIST"
    class_names = tuple(str(digit) for digit in range(10))

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)

    @property
    def raw(self) -> Path:
        """Where the four files lie."""
        return self.root / self.folder / "raw"

    def prepare_data(self) -> None:
        """Download through torchvision, which checks the sums, if files are missing.

        Raises:
            DataError: naming the files, if they are missing and cannot be fetched.
        """
        ensure_files(
            lambda: [
                self.raw / f"{name}.gz" for name in FILES if idx.find(self.raw / name) is None
            ],
            self._fetch,
            root=self.root,
            allowed=self.download,
            by_hand=f"copy the four .gz files of {self.folder} into {self.raw}",
        )

    def _fetch(self) -> None:
        from torchvision import datasets

        getattr(datasets, self.folder)(self.root, download=True)

    def read(self) -> Sources:
        """Read the four files into two tables."""
        train, test = self._table("train"), self._table("t10k")
        return Sources(
            train=train,
            val=None,
            test=test,
            class_names=self.class_names,
            fingerprint=fingerprint.of_tensors(
                [train.images, train.labels, test.images, test.labels]
            ),
        )

    def _table(self, part: str) -> Table:
        images = idx.read(self.raw / f"{part}-images-idx3-ubyte", dimensions=3)
        labels = idx.read(self.raw / f"{part}-labels-idx1-ubyte", dimensions=1)
        if len(images) != len(labels) or len(labels) == 0:
            raise DataError(f"{self.raw}: {part} has {len(images)} images but {len(labels)} labels")
        if int(labels.max()) >= len(self.class_names):
            raise DataError(
                f"{self.raw}: {part} has a label {int(labels.max())}, expected 0 to "
                f"{len(self.class_names) - 1}"
            )
        return Table(images.unsqueeze(1), labels.long())


class FashionMNIST(MNIST):
    """Articles of clothing (Xiao et al. 2017), from ``<root>/FashionMNIST/raw/``.

    Args:
        shared: see :class:`~burnish.data.images.ImageDataModule`.
    """

    mirror = True
    folder = "FashionMNIST"
    class_names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
