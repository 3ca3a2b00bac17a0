"""Whether a net's confidence can be believed.

Shapes: N samples, M bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from burnish.report.predictions import Floats, Ints

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Confidence, the probability of the predicted class, against accuracy in equal bins.

    Args:
        counts: samples of each bin, int64 ``[M]``; bin m holds confidences in (m / M, (m + 1) / M].
        accuracy: of each bin, float64 ``[M]``; 0 where it is empty.
        confidence: mean of each bin, likewise.
    """

    counts: Ints
    accuracy: Floats
    confidence: Floats

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap, weighted by the bins' samples.

        ``sum_m n_m / N |accuracy_m - confidence_m|``; Naeini et al. 2015, Guo et al. 2017
        (https://arxiv.org/abs/1706.04599).
        """
        return float(np.average(np.abs(self.gap), weights=self.counts))

    @property
    def gap(self) -> Floats:
        """Confidence minus accuracy of each bin."""
        return self.confidence - self.accuracy

    @property
    def excess(self) -> float:
        """Mean confidence minus accuracy over all samples; above 0: too confident."""
        return float(np.average(self.gap, weights=self.counts))


def calibration(confidence: ArrayLike, right: ArrayLike, bins: int = BINS) -> Calibration:
    """Bin samples by their confidence.

    Args:
        confidence: in [0, 1], at least one, ``[N]``.
        right: whether the prediction was, bool ``[N]``.
        bins: M.
    """
    values, hits = np.asarray(confidence, dtype=np.float64), np.asarray(right)
    place = np.digitize(values, np.linspace(0, 1, bins + 1)[1:-1], right=True)
    counts = np.bincount(place, minlength=bins)
    at_least_one = np.maximum(counts, 1)
    return Calibration(
        counts,
        np.bincount(place, hits, bins) / at_least_one,
        np.bincount(place, values, bins) / at_least_one,
    )
