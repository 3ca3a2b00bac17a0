"""Samples that occur twice: copies to the last pixel or word, and pictures nearly the same.

Shapes: N samples of all splits one after another, B batch, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Keys = NDArray[np.uint64]
Group = NDArray[np.int64]

# A difference hash says something if so many of its 64 neighbours differ by a grey level; large
# even areas (a product on white, a digit on black) make different pictures hash alike.
TELLING = 40
SMALLEST = 16  # pixels a side: below, 8x9 cells would be nearly the pixels themselves
# Correlation of the grey pixels from which two pictures with one hash count as nearly the same.
# In CIFAR-10 all ten such pairs are one photograph in two versions (0.94 to 0.99), and the three
# that only share the hash stay below 0.31.
ALIKE = 0.9
CHUNK = 512


def image_digests(images: Tensor) -> Keys:
    """BLAKE2b of each image's pixels, cut to 64 bits.

    Among a million samples two different ones share a digest once in 37 million data sets.

    Args:
        images: uint8 ``[B, C, H, W]`` on the CPU.

    Returns:
        uint64 ``[B]``.
    """
    return _digests([image.data for image in images.contiguous().numpy()])


def text_digests(texts: Sequence[str]) -> Keys:
    """BLAKE2b of each text, cut to 64 bits; case and the kind and length of blanks do not count.

    Returns:
        uint64 ``[B]``.
    """
    return _digests([" ".join(text.split()).casefold().encode() for text in texts])


def _digests(contents: Sequence[bytes | memoryview]) -> Keys:
    whole = b"".join(hashlib.blake2b(content, digest_size=8).digest() for content in contents)
    return np.frombuffer(whole, np.uint64)


def difference_hashes(images: Tensor) -> tuple[Keys, NDArray[np.bool_]]:
    """The difference hash (Krawetz 2013): is each cell of 8x9 darker than its right neighbour?

    It stays the same when a picture is resized, recompressed or changed in brightness.

    Args:
        images: uint8 ``[B, C, H, W]``, C 1 or 3.

    Returns:
        uint64 ``[B]``; and whether the picture is large and varied enough for its hash to say
        anything, bool ``[B]``.
    """
    cells_B89 = F.interpolate(grey(images), (8, 9), mode="bilinear", antialias=True)[:, 0]
    steps_B64 = cells_B89.diff(dim=2).flatten(1)
    bits = np.packbits((steps_B64 > 0).numpy(), axis=1)
    telling = (steps_B64.abs() >= 1).sum(1) >= TELLING
    telling &= min(images.shape[2:]) >= SMALLEST
    return bits.view(np.uint64)[:, 0], telling.numpy()


def grey(images: Tensor) -> Tensor:
    """Luminance (ITU-R BT.601), float32 ``[B, 1, H, W]`` in [0, 255]."""
    if images.shape[1] == 1:
        return images.float()
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (images.float() * weights).sum(1, keepdim=True)


def groups_of(keys: Keys, rows: Group | None = None) -> list[Group]:
    """The rows that share a key with another, one array a key, each in ascending order.

    Args:
        keys: uint64 ``[N]``.
        rows: which to compare; None: all.
    """
    rows = np.arange(len(keys)) if rows is None else rows
    order = rows[np.argsort(keys[rows], kind="stable")]
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    return [group for group in np.split(order, ends) if len(group) > 1]


def alike_groups(
    hashes: Keys, telling: NDArray[np.bool_], digests: Keys, fetch: Callable[[Group], Tensor]
) -> list[Group]:
    """Different images that share their difference hash and correlate with the first that has it.

    Args:
        hashes: from :func:`difference_hashes`, ``[N]``.
        telling: likewise.
        digests: from :func:`image_digests`; copies to the last pixel are left out.
        fetch: gives the images at some rows, uint8 ``[B, C, H, W]``.
    """
    found = []
    for group in groups_of(hashes, np.flatnonzero(telling)):
        distinct = np.sort(group[np.unique(digests[group], return_index=True)[1]])
        if len(distinct) == 1:
            continue
        first = fetch(distinct[:1])
        parts = np.split(distinct, range(CHUNK, len(distinct), CHUNK))
        alike = np.concatenate([correlation(first, fetch(part)) for part in parts]) >= ALIKE
        if alike.sum() > 1:
            found.append(distinct[alike])
    return found


def correlation(one: Tensor, others: Tensor) -> NDArray[np.float32]:
    """Pearson's correlation of grey pixels: blind to brightness and contrast.

    Args:
        one: uint8 ``[1, C, H, W]``.
        others: uint8 ``[B, C, H, W]``.

    Returns:
        float32 ``[B]`` in [-1, 1]; 0 for an even picture.
    """
    x, y = (grey(images).flatten(1) for images in (one, others))
    similarity = F.cosine_similarity(x - x.mean(1, True), y - y.mean(1, True))
    return similarity.numpy()


@dataclass(frozen=True)
class Samples:
    """Where each sample is from, in the order of the keys.

    Args:
        split_names: the splits.
        splits: index of the split's name, int64 ``[N]``.
        rows: row of the split's source, int64 ``[N]``.
        labels: int64 ``[N]``.
    """

    split_names: tuple[str, ...]
    splits: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Duplicates:
    """What groups of samples mean for training and scoring.

    Args:
        groups: number of groups.
        within: split to its samples that repeat an earlier one of the same split.
        between: ``"test in train"`` to the samples of test that occur in train.
        conflicts: groups whose samples have different labels.
        pairs: the most telling example of each of some groups, as positions in the samples:
            different labels first, then different splits.
    """

    groups: int
    within: dict[str, int]
    between: dict[str, int]
    conflicts: int
    pairs: list[tuple[int, int]] = field(repr=False)


def summarise(groups: Sequence[Group], samples: Samples, examples: int = 12) -> Duplicates:
    """Count copies within and between splits, and choose examples.

    Args:
        groups: of positions in ``samples``.
        samples: where they are from.
        examples: how many pairs at most.
    """
    names = samples.split_names
    counts = np.zeros((len(groups), len(names)), np.int64)
    for row, group in enumerate(groups):
        counts[row] = np.bincount(samples.splits[group], minlength=len(names))
    within = {name: int((counts[:, i] - 1).clip(0).sum()) for i, name in enumerate(names)}
    between = {
        f"{names[j]} in {names[i]}": int(counts[counts[:, i] > 0, j].sum())
        for i in range(len(names))
        for j in range(i + 1, len(names))
    }
    ranked = sorted(groups, key=lambda group: _rank(group, samples))
    pairs = [_telling_pair(group, samples) for group in ranked[:examples]]
    conflicts = sum(_differ(samples.labels[group]) for group in groups)
    return Duplicates(len(groups), within, between, conflicts, pairs)


def _differ(values: NDArray[np.int64]) -> bool:
    return bool((values != values[0]).any())


def _rank(group: Group, samples: Samples) -> tuple[bool, bool]:
    return not _differ(samples.labels[group]), not _differ(samples.splits[group])


def _telling_pair(group: Group, samples: Samples) -> tuple[int, int]:
    for values in (samples.labels[group], samples.splits[group]):
        if _differ(values):
            return int(group[0]), int(group[np.argmax(values != values[0])])
    return int(group[0]), int(group[1])
