"""Tests that scipy leaves to its users; scipy takes a second to import, so the first test does it.

holm        Holm 1979, https://www.jstor.org/stable/4615733
mix_test    Pearson's chi-square; pooling by Cochran 1954, https://doi.org/10.2307/3001666
psi         Yurdakul and Naranjo 2020, https://doi.org/10.21314/JRMV.2020.227
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

EXPECTED = 5.0  # samples of a class in a window, below which chi-square's p-value is not to be used
PSI_SAMPLES = 500  # below, PSI exceeds its rule of thumb on identical data (36 % of times at 200)

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: those at most ``alpha`` may be called different, at that error in all."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.maximum.accumulate(factors * np.array(p_values)[order]).clip(max=1.0)
    found: list[float] = adjusted.tolist()
    return found


def mix_test(reference: Counts, window: Counts) -> float:
    """p-value of the hypothesis that two lists of class counts are of one distribution.

    Classes that are too rare for chi-square are taken together; if only two columns remain and
    one is still too rare, Fisher's exact test takes over.

    Args:
        reference: int64 ``[K]``.
        window: int64 ``[K]``.
    """
    from scipy.stats import chi2_contingency, fisher_exact

    table = np.stack([reference, window])
    share = min(table.sum(1)) / table.sum()
    columns = table[:, np.argsort(-table.sum(0), kind="stable")]
    common = columns.sum(0) * share >= EXPECTED
    columns = np.column_stack([columns[:, common], columns[:, ~common].sum(1)])
    if columns.shape[1] > 2 and columns[:, -1].sum() * share < EXPECTED:
        columns = np.column_stack([columns[:, :-2], columns[:, -2:].sum(1)])
    columns = columns[:, columns.sum(0) > 0]
    if columns.shape[1] < 2:
        return 1.0
    if columns.shape[1] == 2 and columns.sum(0).min() * share < EXPECTED:
        return float(fisher_exact(columns).pvalue)
    return float(chi2_contingency(columns, correction=False).pvalue)


def psi(expected: Counts, found: Counts) -> float | None:
    """Population stability index of a window's counts; empty bins count as one in 10,000.

    The rule of thumb calls 0.1 to 0.25 a small change and more a large one, whatever the sample.

    Args:
        expected: int64 ``[bins]`` of the reference.
        found: int64 ``[bins]`` of the window.

    Returns:
        None below :data:`PSI_SAMPLES` samples in either.
    """
    if min(expected.sum(), found.sum()) < PSI_SAMPLES:
        return None
    a, b = (np.maximum(counts / counts.sum(), 1e-4) for counts in (expected, found))
    return float(((b - a) * np.log(b / a)).sum())


def psi_of_numbers(expected: Values, found: Values) -> float | None:
    """The same of numbers, in bins between the deciles of the reference."""
    edges = np.unique(np.quantile(expected, np.arange(1, 10) / 10))
    counts = (
        np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
        for values in (expected, found)
    )
    return psi(*counts)
