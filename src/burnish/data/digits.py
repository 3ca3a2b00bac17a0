"""The 1,797 handwritten digits of 8x8 pixels that scikit-learn ships; needs no download."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from burnish.data import fingerprint
from burnish.data.base import Sources
from burnish.data.images import ImageDataModule
from burnish.data.loading import Table
from burnish.data.splits import stratified_split

# The data set has no test split of its own: a fifth is set aside, the same for every seed.
TEST_FRACTION = 0.2
TEST_SEED = 20_161


class Digits(ImageDataModule):
    """Digits 0 to 9 in grey, one channel (Alpaydin & Kaynak 1998, UCI repository).

    Args:
        shared: see :class:`~burnish.data.images.ImageDataModule`; ``root`` and ``download`` have
            no effect.
    """

    mirror = False

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)

    def read(self) -> Sources:
        """Scale the values 0..16 to 0..255 and set the test split aside."""
        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[:, None]
        labels = digits.target.astype(np.int64)
        rest, test = stratified_split(labels, TEST_FRACTION, TEST_SEED)
        tables = [
            Table(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows]))
            for rows in (rest, test)
        ]
        return Sources(
            train=tables[0],
            val=None,
            test=tables[1],
            class_names=tuple(str(digit) for digit in range(10)),
            fingerprint=fingerprint.of_tensors(
                [torch.from_numpy(images), torch.from_numpy(labels)]
            ),
        )
