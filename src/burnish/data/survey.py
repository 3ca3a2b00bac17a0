"""One pass over all splits of a data module, as exploring and checking need it.

Shapes: N samples of all splits one after another, B batch, C channels, H height, W width,
K classes, V tokens of a vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from burnish.data.base import DataModule
from burnish.data.duplicates import (
    Duplicates,
    Group,
    Keys,
    Samples,
    alike_groups,
    difference_hashes,
    groups_of,
    image_digests,
    summarise,
    text_digests,
)
from burnish.data.images import ImageDataModule
from burnish.data.loading import Batch, Source
from burnish.data.normalise import measure
from burnish.data.text_table import TextTable


@dataclass(frozen=True)
class Copies:
    """Groups of samples that are the same, and what they mean.

    Args:
        groups: positions in the samples.
        summary: counts and examples.
    """

    groups: list[Group]
    summary: Duplicates


def samples_of(data: DataModule) -> Samples:
    """Where each sample of the data module is from, split after split."""
    names = tuple(data.splits)
    rows = [rows.numpy() for _, rows in data.splits.values()]
    labels = [source.labels[rows].numpy() for source, rows in data.splits.values()]
    splits = np.repeat(np.arange(len(names)), [len(part) for part in rows])
    return Samples(names, splits, np.concatenate(rows), np.concatenate(labels))


def file_of(data: DataModule, samples: Samples, position: int) -> Path | None:
    """The file that a sample is read from, if it has one of its own."""
    source: Any = data.splits[samples.split_names[samples.splits[position]]][0]
    paths = getattr(source, "paths", None)
    return None if paths is None else Path(paths([int(samples.rows[position])])[0])


def files_of(data: DataModule) -> list[Path]:
    """The files of all samples, one after another; empty if they have none of their own."""
    found: list[Path] = []
    for source, rows in data.splits.values():
        if (paths := getattr(source, "paths", None)) is not None:
            found += paths(rows.tolist())
    return found


def inputs_at(data: DataModule, samples: Samples, positions: Iterable[int]) -> Tensor:
    """What the sources hold at some positions: images, uint8 ``[B, C, H, W]``."""
    found = []
    for position in positions:
        source, _ = data.splits[samples.split_names[samples.splits[position]]]
        found.append(source.__getitems__([int(samples.rows[position])])[0])
    return torch.cat(found)


class ImagePass:
    """Everything that is taken from the pixels while they are read, once.

    Attributes:
        mean: per channel, of the training split's pixels in [0, 1].
        std: likewise.
        digests: of the pixels, uint64 ``[N]``.
        hashes: difference hashes, uint64 ``[N]``.
        telling: whether the hash says anything, bool ``[N]``.
    """

    def __init__(self, data: ImageDataModule) -> None:
        self._digests: list[Keys] = []
        self._hashes: list[tuple[Keys, NDArray[np.bool_]]] = []
        for split in data.splits:
            images = self._watched(_batches(data, split))
            if split == "train":
                self.mean, self.std = measure(images)
            for _ in images:
                pass
        self.digests = np.concatenate(self._digests)
        self.hashes, self.telling = (
            np.concatenate(parts) for parts in zip(*self._hashes, strict=True)
        )

    def _watched(self, batches: Iterable[Batch]) -> Iterator[Tensor]:
        for images, _ in batches:
            self._digests.append(image_digests(images))
            self._hashes.append(difference_hashes(images))
            yield images


def _batches(data: ImageDataModule, split: str) -> Iterable[Batch]:
    """A split in its stored order, read by as many processes as training would use."""
    asked, data.evaluate_split = data.evaluate_split, split  # type: ignore[assignment]
    try:
        return data.test_dataloader()
    finally:
        data.evaluate_split = asked


def image_copies(data: ImageDataModule, samples: Samples, seen: ImagePass) -> tuple[Copies, Copies]:
    """Copies to the last pixel, and different images that are nearly the same picture."""
    exact = groups_of(seen.digests)
    alike = alike_groups(
        seen.hashes, seen.telling, seen.digests, lambda at: inputs_at(data, samples, at)
    )
    return Copies(exact, summarise(exact, samples)), Copies(alike, summarise(alike, samples))


def text_copies(data: DataModule, samples: Samples) -> Copies:
    """Texts that are the same but for case and blanks."""
    digests = []
    for source, rows in data.splits.values():
        texts = text_table(source).texts
        digests.append(text_digests([texts[row] for row in rows.tolist()]))
    groups = groups_of(np.concatenate(digests))
    return Copies(groups, summarise(groups, samples))


def text_table(source: Source) -> TextTable:
    """The source of a text data module, which always is one of these."""
    assert isinstance(source, TextTable)
    return source


def token_counts(table: TextTable, rows: Tensor, num_classes: int, size: int) -> NDArray[np.int64]:
    """How often each class uses each token in whole texts.

    Args:
        table: the texts.
        rows: which of them, int64.
        num_classes: K.
        size: V.

    Returns:
        int64 ``[K, V]``.
    """
    wanted = torch.zeros(len(table.labels), dtype=torch.bool)
    wanted[rows] = True
    inside = wanted.repeat_interleave(table.tokens)
    labels = table.labels.repeat_interleave(table.tokens)[inside]
    keys = labels * size + table.ids[inside]
    counts: NDArray[np.int64] = torch.bincount(keys, minlength=num_classes * size).numpy()
    return counts.reshape(num_classes, size)
