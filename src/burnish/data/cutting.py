"""Which rows of a source train and which validate; what is wrong names its key.

Shapes: N samples of the training source.
"""

from __future__ import annotations

import numpy as np

from burnish.data.splits import Indices, stratified_fold, stratified_split, stratified_subset
from burnish.errors import ConfigError


def cut(
    labels: Indices, val_fraction: float, num_folds: int | None, fold: int | None, seed: int
) -> tuple[Indices, Indices]:
    """Cut validation off, by folds if there are any, else by a fraction.

    Args:
        labels: class of each sample, int64 ``[N]``.
        val_fraction: in (0, 1).
        num_folds: number of parts; None: no folds.
        fold: which part validates, from 0.
        seed: decides which samples.

    Returns:
        Sorted rows of training, and of validation.

    Raises:
        ConfigError: if one of them is empty.
    """
    if num_folds is None or fold is None:
        key, value = "val_fraction", val_fraction
        train, val = stratified_split(labels, val_fraction, seed)
    else:
        key, value = "num_folds", num_folds
        train, val = stratified_fold(labels, num_folds, fold, seed)
    if min(len(train), len(val)) == 0:
        raise ConfigError(
            f"data.{key}: {value} leaves {len(train)} samples for training and "
            f"{len(val)} for validation"
        )
    return train, val


def limited(rows: Indices, labels: Indices, limit: int | None, seed: int) -> Indices:
    """So many of the rows only, in proportion to their classes.

    Args:
        rows: of training.
        labels: class of each sample, int64 ``[N]``.
        limit: how many; None: all.
        seed: decides which.

    Raises:
        ConfigError: if not every class can keep a sample.
    """
    if limit is None or limit >= len(rows):
        return rows
    present = len(np.unique(labels[rows]))
    if limit < present:
        raise ConfigError(
            f"data.limit: must leave a sample of each of the {present} classes, found {limit}"
        )
    return rows[stratified_subset(labels[rows], limit, seed)]
