"""Precision-recall and ROC curves, one class against the rest, and their areas.

Shapes: N samples, K classes, P points of a curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import auc, roc_curve

from burnish.report.predictions import Floats, Predictions

GRID = np.linspace(0, 1, 201)
# A class costs a sorting of all samples, 20 ms for 50,000: 20 s for this many probabilities. If
# there are more, a part of the samples is looked at.
MOST_SCORES = 50_000_000


@dataclass(frozen=True)
class ClassCurve:
    """How well the probability of one class tells its samples from the others.

    Args:
        false_positives: share of the other samples above a threshold, which falls, ``[P]``.
        recall: share of the class's samples above it (the true positive rate), ``[P]``.
        precision: share of the samples above it that are the class's, ``[P]``; 1 where none is.
    """

    false_positives: Floats
    recall: Floats
    precision: Floats

    @property
    def steps(self) -> tuple[Floats, Floats]:
        """Recall and precision without the thresholds above which no sample is the class's."""
        first = int(np.searchsorted(self.recall, 0.0, side="right"))
        recall, precision = self.recall[first:], self.precision[first:]
        return np.append(0.0, recall), np.append(precision[0], precision)

    def precision_at(self, recalls: Floats) -> Floats:
        """Precision at the highest threshold that reaches each recall: the steps of its area."""
        recall, precision = self.steps
        steps: Floats = precision[1:][np.searchsorted(recall[1:], recalls, side="left")]
        return steps

    @property
    def roc_area(self) -> float:
        """The chance that a sample of the class gets a larger probability than another."""
        return float(auc(self.false_positives, self.recall))

    @property
    def average_precision(self) -> float:
        """Mean precision over the steps of recall, without interpolation."""
        return float(np.sum(np.diff(self.recall) * self.precision[1:]))


@dataclass(frozen=True)
class Ranking:
    """Areas of all classes, and the mean curves.

    Args:
        roc_areas: float64 ``[K]``; NaN for classes without samples, or with all of them.
        average_precisions: likewise.
        mean_recall: mean over the classes at the false positive rates of :data:`GRID`.
        mean_precision: mean over the classes at the recalls of :data:`GRID`.
        samples: that were looked at; fewer than all if there are very many.
    """

    roc_areas: Floats
    average_precisions: Floats
    mean_recall: Floats
    mean_precision: Floats
    samples: int

    @property
    def known(self) -> list[int]:
        """Classes that have areas."""
        return [number for number, area in enumerate(self.roc_areas) if np.isfinite(area)]

    def worst(self, count: int) -> list[int]:
        """Classes with the smallest average precision, the worst first."""
        order = np.argsort(self.average_precisions, kind="stable")  # NaN comes last
        return [int(number) for number in order[: min(count, len(self.known))]]


def class_curve(predictions: Predictions, number: int) -> ClassCurve | None:
    """The curve of one class; None if it, or everything else, has no samples.

    Args:
        predictions: with usable probabilities only.
        number: of the class.
    """
    own = predictions.targets == number
    if own.all() or not own.any():
        return None
    # Every threshold: both curves come from one sorting.
    false, recall, _ = roc_curve(own, predictions.probability(number), drop_intermediate=False)
    hits, misses = recall * own.sum(), false * (~own).sum()
    chosen = hits + misses
    precision = np.divide(hits, chosen, out=np.ones_like(hits), where=chosen > 0)
    return ClassCurve(false, recall, precision)


def ranked(predictions: Predictions, seed: int = 0) -> Ranking | None:
    """Areas and mean curves; None if no class has a curve.

    Args:
        predictions: with usable probabilities only.
        seed: of the samples to look at where there are too many.
    """
    predictions = _bearable(predictions, seed)
    roc = np.full(predictions.num_classes, np.nan)
    precisions = roc.copy()
    mean_recall, mean_precision = np.zeros_like(GRID), np.zeros_like(GRID)
    for number in np.unique(predictions.targets).tolist():
        curve = class_curve(predictions, number)
        if curve is None:
            continue
        roc[number], precisions[number] = curve.roc_area, curve.average_precision
        mean_recall += np.interp(GRID, curve.false_positives, curve.recall)
        mean_precision += curve.precision_at(GRID)
    count = int(np.isfinite(roc).sum())
    if not count:
        return None
    return Ranking(
        roc, precisions, mean_recall / count, mean_precision / count, len(predictions.targets)
    )


def usable(predictions: Predictions) -> Predictions:
    """Those with finite probabilities."""
    return predictions if predictions.usable.all() else _at(predictions, predictions.usable)


def _at(predictions: Predictions, chosen: np.ndarray) -> Predictions:
    return Predictions(
        predictions.rows[chosen], predictions.targets[chosen], predictions.logits[chosen]
    )


def _bearable(predictions: Predictions, seed: int) -> Predictions:
    samples, classes = predictions.logits.shape
    if samples * classes <= MOST_SCORES:
        return predictions
    rng = np.random.default_rng(seed)
    return _at(predictions, rng.choice(samples, MOST_SCORES // classes, replace=False))
