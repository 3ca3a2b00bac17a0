"""Seeded, stratified choices of samples; NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def apportion(counts: Indices, total: int) -> Indices:
    """Divide ``total`` seats among classes in proportion to their counts.

    The largest-remainder method: everyone gets the whole part of the exact share
    ``counts * total / counts.sum()``, and the seats left over go to the largest fractions, the
    earlier class first where they are equal. Exact in integers, so the same on every machine.

    Args:
        counts: samples of each class, int64 ``[classes]``.
        total: seats, at most ``counts.sum()``.

    Returns:
        Seats of each class, int64 ``[classes]``, summing to ``total``.
    """
    shares, remainders = np.divmod(counts * total, max(int(counts.sum()), 1))
    left_over = total - int(shares.sum())
    shares[np.argsort(-remainders, kind="stable")[:left_over]] += 1
    return shares


def stratified_split(labels: Indices, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Cut a share of every class off.

    Args:
        labels: class of each sample, int64 ``[samples]``.
        fraction: share to cut off, in (0, 1); ``round(fraction * samples)`` samples.
        seed: decides which.

    Returns:
        Sorted indices of the samples that stay, and of those cut off.
    """
    return _choose(labels, round(fraction * len(labels)), seed)


def stratified_fold(
    labels: Indices, num_folds: int, fold: int, seed: int
) -> tuple[Indices, Indices]:
    """One of several parts of nearly equal size, each with nearly equal shares of every class.

    The samples of each class are shuffled and dealt out in turn, going on with the next class
    where the last one ended, so that sizes differ by one at most, of parts as of classes.

    Args:
        labels: class of each sample, int64 ``[samples]``.
        num_folds: number of parts, at least 2.
        fold: which one, from 0.
        seed: of the shuffling; the parts of one seed are disjoint and complete.

    Returns:
        Sorted indices of the samples of the other parts, and of this one.
    """
    rng = np.random.default_rng(seed)
    dealt = np.argsort(labels[shuffled := rng.permutation(len(labels))], kind="stable")
    part = np.empty(len(labels), dtype=np.int64)
    part[shuffled[dealt]] = np.arange(len(labels)) % num_folds
    return np.flatnonzero(part != fold), np.flatnonzero(part == fold)


def stratified_subset(labels: Indices, size: int, seed: int) -> Indices:
    """Sorted indices of ``size`` samples in proportion to the classes, at least one of each.

    Args:
        labels: class of each sample, int64 ``[samples]``.
        size: samples wanted, at least the number of classes that occur.
        seed: decides which.
    """
    _, chosen = _choose(labels, size, seed, every_class=True)
    return chosen


def _choose(
    labels: Indices, total: int, seed: int, every_class: bool = False
) -> tuple[Indices, Indices]:
    counts = np.bincount(labels)
    shares = apportion(counts, total)
    if every_class:
        for absent in np.flatnonzero((shares == 0) & (counts > 0)):
            shares[np.argmax(shares)] -= 1
            shares[absent] = 1
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), dtype=bool)
    for label, share in enumerate(shares):
        members = np.flatnonzero(labels == label)
        chosen[rng.permutation(members)[:share]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
