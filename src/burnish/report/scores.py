"""How good predictions are: the figures of an evaluation report, from its predictions alone.

Shapes: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from burnish.report.predictions import Ints, Predictions

LEVEL = 0.95
RESAMPLES = 10_000
MOST_PAIRS = 10  # confused pairs that are named
TOP = 5

ClassRow = dict[str, Any]


@dataclass(frozen=True)
class Interval:
    """A confidence interval of an accuracy.

    Args:
        low: its lower end.
        high: its upper end.
        method: how it was found, in words.
    """

    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Confused:
    """Samples of one class that were taken for another.

    Args:
        true: their class.
        predicted: what they were taken for.
        count: how many.
        of: samples of their class.
    """

    true: str
    predicted: str
    count: int
    of: int

    def __str__(self) -> str:
        return (
            f"{self.true} taken for {self.predicted}: {self.count:,} of {self.of:,} "
            f"({self.count / self.of:.1%})"
        )


@dataclass(frozen=True)
class Scores:
    """What counts of right and wrong answers say.

    Args:
        samples: N.
        accuracy: share of right answers.
        interval: of the accuracy.
        top5: share of samples whose class is among the five likeliest; None up to five classes.
        confusion: int64 ``[true class, predicted class]``.
        classes: see :func:`class_rows`.
        macro: means over the classes that occur, among the samples or the answers, as the run's
            own metrics take them.
        weighted: means over the classes weighted by their samples.
        confused: the most frequent mistakes, at most 10.
    """

    samples: int
    accuracy: float
    interval: Interval
    top5: float | None
    confusion: Ints
    classes: list[ClassRow]
    macro: dict[str, float]
    weighted: dict[str, float]
    confused: list[Confused]


def scores(predictions: Predictions, names: Sequence[str], seed: int = 0) -> Scores:
    """The figures of some predictions.

    Args:
        predictions: of at least one sample.
        names: of the K classes.
        seed: of the bootstrap.
    """
    right = predictions.right
    confusion = confusion_matrix(predictions)
    rows = class_rows(confusion, names)
    support = confusion.sum(1)
    many = predictions.num_classes > TOP
    return Scores(
        len(right),
        float(right.mean()),
        accuracy_interval(int(right.sum()), len(right), seed),
        float(predictions.hits_among(TOP).mean()) if many else None,
        confusion,
        rows,
        _means(rows, support + confusion.sum(0) > 0),
        _means(rows, support),
        most_confused(confusion, names),
    )


def confusion_matrix(predictions: Predictions) -> Ints:
    """Counts, int64 ``[true class, predicted class]``."""
    size = predictions.num_classes
    cells = predictions.targets * size + predictions.predicted
    counts: Ints = np.bincount(cells, minlength=size * size).reshape(size, size)
    return counts


def class_rows(confusion: ArrayLike, names: Sequence[str]) -> list[ClassRow]:
    """``class``, ``precision``, ``recall``, ``f1`` and ``support`` of each class.

    What would be divided by zero is 0.

    Args:
        confusion: counts ``[true class, predicted class]``.
        names: of the K classes.
    """
    counts = np.asarray(confusion)
    true, predicted = np.nonzero(counts)
    if not len(true):  # scikit-learn refuses to score nothing
        return [
            {"class": name, "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
            for name in names
        ]
    precision, recall, f1, support = precision_recall_fscore_support(
        true,
        predicted,
        labels=range(len(names)),
        sample_weight=counts[true, predicted],
        zero_division=0,
    )
    columns = zip(names, precision, recall, f1, support, strict=True)
    return [
        {"class": n, "precision": float(p), "recall": float(r), "f1": float(f), "support": int(s)}
        for n, p, r, f, s in columns
    ]


def _means(rows: Sequence[ClassRow], weights: NDArray[Any]) -> dict[str, float]:
    return {
        name: float(np.average([row[name] for row in rows], weights=weights))
        for name in ("precision", "recall", "f1")
    }


def accuracy_interval(hits: int, samples: int, seed: int = 0) -> Interval:
    """A confidence interval of 95 % for an accuracy: the percentile bootstrap (Efron 1979).

    The hits of a resample are binomially distributed with the observed share, so they are drawn
    at once, not sample by sample. Without a hit or without a mistake every resample is the same
    and the bootstrap says nothing: then the exact interval of Clopper and Pearson (1934).

    Args:
        hits: right answers.
        samples: all answers, at least 1.
        seed: of the resamples.
    """
    if hits in (0, samples):
        exact = binomtest(hits, samples).proportion_ci(LEVEL, method="exact")
        return Interval(float(exact.low), float(exact.high), "exact (Clopper and Pearson)")
    drawn = np.random.default_rng(seed).binomial(samples, hits / samples, RESAMPLES) / samples
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    method = f"percentile bootstrap, {RESAMPLES:,} resamples, seed {seed}"
    return Interval(float(low), float(high), method)


def most_confused(confusion: Ints, names: Sequence[str]) -> list[Confused]:
    """The most frequent mistakes, the largest first."""
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:MOST_PAIRS]
    cells = zip(*np.unravel_index(largest, wrong.shape), strict=True)
    support = confusion.sum(1)
    return [
        Confused(names[true], names[predicted], int(wrong[true, predicted]), int(support[true]))
        for true, predicted in cells
        if wrong[true, predicted]
    ]


def as_json(found: Scores) -> Mapping[str, Any]:
    """The figures as plain containers; the confusion matrix follows from the predictions."""
    return {
        "samples": found.samples,
        "accuracy": found.accuracy,
        "accuracy_interval": {"level": LEVEL, **vars(found.interval)},
        "top5_accuracy": found.top5,
        "macro": found.macro,
        "weighted": found.weighted,
        "classes": found.classes,
        "most_confused": [vars(pair) for pair in found.confused],
    }
