"""What a prediction log says of one model: for the terminal, JSON, gauges and pages alike."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from burnish.deploy.bundle import Bundle
from burnish.deploy.watch.drift import Window, compare, since
from burnish.deploy.watch.reading import MOST, Logged, Values, read_log
from burnish.deploy.watch.reference import Reference, reference_of

DAY = 86_400.0
FUTURE_SECONDS = 60.0  # that clocks of several machines may differ
CERTAINTY = 0.95  # of the intervals of accuracy


@dataclass(frozen=True)
class Settings:
    """How to look at a log.

    Args:
        window: distinct inputs that are compared with the reference at a time.
        since_seconds: before now; what is older is left out.
        alpha: highest probability of a false alarm in one look.
        min_confidence: below it a prediction counts as one of low confidence.
        most: predictions to be read, the latest.
    """

    window: int = 500
    since_seconds: float = DAY
    alpha: float = 0.01
    min_confidence: float = 0.5
    most: int = MOST


@dataclass(frozen=True)
class Latency:
    """Percentiles, in milliseconds."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Confidence:
    """How sure the net is.

    Args:
        mean: of all predictions.
        deciles: the nine.
        low_share: of predictions below ``min_confidence``.
        reference_low_share: the same of the reference; None without one.
    """

    mean: float
    deciles: tuple[float, ...]
    low_share: float
    reference_low_share: float | None


@dataclass(frozen=True)
class Accuracy:
    """How often predictions were right, where people said what was.

    Args:
        labelled: predictions with feedback.
        right: of those.
        share: right / labelled.
        low: lower end of Wilson's 95 % interval (1927, https://doi.org/10.2307/2276774).
        high: its upper end. Neither allows for feedback that comes of some inputs rather than
            others.
    """

    labelled: int
    right: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Class:
    """One class.

    Args:
        name: of it.
        predicted: how often.
        share: of all predictions.
        reference: its share among the predictions of the reference; None without one.
        accuracy: among inputs that are of this class by feedback.
    """

    name: str
    predicted: int
    share: float
    reference: float | None
    accuracy: Accuracy | None


@dataclass(frozen=True)
class Drift:
    """One kind of drift.

    Args:
        name: ``confidence``, ``classes`` or a statistic of the inputs.
        since: start of the first window of the latest unbroken stretch, seconds since 1970.
        lasts: whether the newest window is part of it.
    """

    name: str
    since: float
    lasts: bool


@dataclass(frozen=True)
class Summary:
    """A look at a log.

    Args:
        name: of the bundle.
        version: of the bundle; predictions of others are left out.
        settings: how it was looked.
        looked: when, seconds since 1970.
        first: time of the earliest prediction; None if there are none.
        last: of the latest.
        predictions: how many.
        distinct: inputs among them.
        others: predictions of other versions.
        cut: whether older predictions were left out because there are too many.
        future: predictions left out since they are dated after ``looked``.
        uncompared: predictions before ``compared_since``, which no window holds.
        compared_since: start of the first window; None without windows.
        latency: None if there are no predictions.
        confidence: None if there are no predictions.
        accuracy: None without feedback.
        classes: in the order of the spec.
        reference: samples in it; None if the bundle has none.
        windows: compared with it, oldest first.
        drifts: what was found.
    """

    name: str
    version: str
    settings: Settings
    looked: float
    first: float | None
    last: float | None
    predictions: int
    distinct: int
    others: int
    cut: bool
    future: int
    uncompared: int
    compared_since: float | None
    latency: Latency | None
    confidence: Confidence | None
    accuracy: Accuracy | None
    classes: tuple[Class, ...]
    reference: int | None
    windows: tuple[Window, ...]
    drifts: tuple[Drift, ...]

    @property
    def tested(self) -> bool:
        """Whether anything was compared with the reference."""
        return bool(self.windows)

    @property
    def drifted(self) -> bool:
        """Whether any window of the look differs."""
        return bool(self.drifts)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, for JSON."""
        return {**asdict(self), "tested": self.tested, "drifted": self.drifted}


def summarise(
    log: Path, bundle: Bundle, settings: Settings | None = None, now: float | None = None
) -> Summary:
    """Look at the latest predictions of one bundle.

    Args:
        log: the file.
        bundle: which made them, with its reference.
        settings: how to look.
        now: seconds since 1970; None: this moment.

    Raises:
        BundleError: if the bundle's reference is damaged.
        DataError: if there is no such log.
    """
    settings = settings or Settings()
    now = time.time() if now is None else now
    since_when, until = now - settings.since_seconds, now + FUTURE_SECONDS
    logged = read_log(log, bundle.version, since_when, settings.most, until)
    reference = reference_of(bundle)
    windows = compare(logged, reference, settings.window, settings.alpha) if reference else ()
    names = sorted({name for window in windows for name in window.drifted})
    return Summary(
        bundle.name,
        bundle.version,
        settings,
        now,
        float(logged.times.min()) if len(logged) else None,
        float(logged.times.max()) if len(logged) else None,
        len(logged),
        len(set(logged.hashes)),
        logged.others,
        logged.cut,
        logged.future,
        len(logged) - sum(window.predictions for window in windows),
        windows[0].start if windows else None,
        _latency(logged),
        _confidence(logged, reference, settings.min_confidence),
        _accuracy([label == truth for label, truth in _labelled(logged)]),
        _classes(logged, reference, bundle.spec.class_names),
        reference.samples if reference else None,
        windows,
        tuple(Drift(name, *found) for name in names if (found := since(windows, name))),
    )


def _latency(logged: Logged) -> Latency | None:
    if not len(logged):
        return None
    return Latency(*np.percentile(logged.values["milliseconds"], (50, 90, 99)).tolist())


def _confidence(logged: Logged, reference: Reference | None, low: float) -> Confidence | None:
    if not len(logged):
        return None
    values = logged.values["confidence"]
    deciles = np.quantile(values, np.arange(1, 10) / 10).tolist()
    expected = _below(reference.values["confidence"], low) if reference else None
    return Confidence(float(values.mean()), tuple(deciles), _below(values, low), expected)


def _below(values: Values, low: float) -> float:
    return float((values < low).mean())


def _labelled(logged: Logged) -> list[tuple[str, str]]:
    """Class predicted and class by feedback, of those that have some."""
    pairs = zip(logged.labels, logged.truths, strict=True)
    return [(label, truth) for label, truth in pairs if truth is not None]


def _accuracy(right: list[bool]) -> Accuracy | None:
    if not right:
        return None
    from scipy.stats import binomtest  # a second

    count = sum(right)
    interval = binomtest(count, len(right)).proportion_ci(CERTAINTY, method="wilson")
    return Accuracy(
        len(right), count, count / len(right), float(interval.low), float(interval.high)
    )


def _classes(
    logged: Logged, reference: Reference | None, names: tuple[str, ...]
) -> tuple[Class, ...]:
    predicted = Counter(logged.labels)
    right: dict[str, list[bool]] = {}
    for label, truth in _labelled(logged):
        right.setdefault(truth, []).append(label == truth)
    expected = reference.classes if reference else {}
    total = sum(expected.values())
    return tuple(
        Class(
            name,
            predicted[name],
            predicted[name] / max(len(logged), 1),
            expected.get(name, 0) / total if total else None,
            _accuracy(right.get(name, [])),
        )
        for name in names
    )
