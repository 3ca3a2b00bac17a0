"""In which order an epoch meets its samples, and how often each; NumPy only."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np

from burnish.data.splits import Indices, apportion

Sampling = Literal["none", "balanced", "undersample"]

# Batches that are sorted by length together: enough for little padding, few enough that an
# epoch's batches are mixed anew each time.
POOL_BATCHES = 50


class Draw(Protocol):
    """Chooses an epoch's samples."""

    def __len__(self) -> int:
        """Samples of an epoch."""

    def __call__(self, rng: np.random.Generator) -> Indices:
        """Their positions, in random order."""


class Shuffled:
    """Every sample once.

    Args:
        size: number of samples.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __call__(self, rng: np.random.Generator) -> Indices:
        """A permutation."""
        return rng.permutation(self.size)


class PerClass:
    """Every class that occurs equally often, to within one sample.

    A class with more samples than its share gives different ones in each epoch; one with fewer
    gives all of them, again and again.

    Args:
        labels: class of each sample, int64 ``[samples]``.
        size: samples of an epoch.
    """

    def __init__(self, labels: Indices, size: int) -> None:
        self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self._shares = apportion(np.ones(len(self._members), dtype=np.int64), size)

    def __len__(self) -> int:
        return int(self._shares.sum())

    def __call__(self, rng: np.random.Generator) -> Indices:
        """Positions in random order."""
        chosen = [
            np.concatenate([rng.permutation(members) for _ in range(-(-share // len(members)))])
            [:share]
            for members, share in zip(self._members, self._shares, strict=True)
        ]  # fmt: skip
        return rng.permutation(np.concatenate(chosen))


def draw(labels: Indices, sampling: Sampling) -> Draw:
    """The samples of a training epoch.

    Args:
        labels: class of each sample, int64 ``[samples]``.
        sampling: ``none``: each once; ``balanced``: as many as there are, each class equally
            often; ``undersample``: of each class as many as the rarest has.
    """
    if sampling == "none":
        return Shuffled(len(labels))
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    size = len(labels) if sampling == "balanced" else int(counts.min()) * len(counts)
    return PerClass(labels, size)


def by_length(
    order: Indices, lengths: Indices, batch: int, rng: np.random.Generator | None
) -> Indices:
    """Reorder so that each run of ``batch`` samples has similar lengths.

    Args:
        order: positions.
        lengths: of every position.
        batch: samples of one batch, over all processes.
        rng: shuffles the batches, sorting pools of :data:`POOL_BATCHES` of them only; None: all
            positions sorted, shortest first.
    """
    pool = np.arange(len(order)) // (batch * POOL_BATCHES) if rng else np.zeros(len(order), int)
    order = order[np.lexsort((lengths[order], pool))]
    if rng is None:
        return order
    # The incomplete batch comes last, from anywhere: training may drop it, and then not always
    # the longest texts.
    count, rest = divmod(len(order), batch)
    begin = int(rng.integers(count + 1)) * batch
    last = order[begin : begin + rest]
    batches = rng.permutation(np.delete(order, slice(begin, begin + rest)).reshape(-1, batch))
    return np.concatenate([batches.ravel(), last])
