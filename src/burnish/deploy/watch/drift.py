"""Whether windows of the latest predictions differ from the reference saved at export.

Every window of one look is compared by confidence, class mix and every statistic of the inputs:
two-sample Kolmogorov-Smirnov tests, for the class mix a chi-square test of homogeneity. Holm's
correction over all of them keeps the probability of ANY false alarm in one look at or below
``alpha``, however the tests depend on each other, as long as the traffic is an independent sample
of what the reference was sampled from. Looks add up: one an hour at 0.01, each at new windows,
errs about once in four days at worst.

Repeats are no new evidence: a window holds a number of DISTINCT inputs, each counted once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from burnish.deploy.watch.hypotheses import holm, mix_test, psi, psi_of_numbers
from burnish.deploy.watch.reading import Logged, Values
from burnish.deploy.watch.reference import Reference
from burnish.deploy.watch.statistics import rounded

MOST_WINDOWS = 20  # of one look: each makes the others' tests stricter
CLASSES = "classes"


@dataclass(frozen=True)
class Test:
    """One comparison of a window with the reference.

    Args:
        name: ``confidence``, ``classes`` or a statistic of the inputs.
        distance: in [0, 1]: the largest gap between the two cumulative distributions; of classes
            the share of predictions that would have to change.
        p_value: of the test alone.
        adjusted: the same after Holm's correction over all tests of the look.
        drifted: whether ``adjusted`` is at most ``alpha``.
        psi: population stability index, for people used to it; None below 500 samples.
        mean: of the window; None for classes.
        reference: mean of the reference.
    """

    __test__ = False  # no test of pytest's

    name: str
    distance: float
    p_value: float
    adjusted: float = 1.0
    drifted: bool = False
    psi: float | None = None
    mean: float | None = None
    reference: float | None = None


@dataclass(frozen=True)
class Window:
    """Some consecutive predictions.

    Args:
        start: time of the first, seconds since 1970.
        end: of the last.
        predictions: how many, repeats included.
        tests: each against the reference.
    """

    start: float
    end: float
    predictions: int
    tests: tuple[Test, ...]

    @property
    def drifted(self) -> tuple[str, ...]:
        """Names of the tests that found a difference."""
        return tuple(test.name for test in self.tests if test.drifted)


def compare(logged: Logged, reference: Reference, size: int, alpha: float) -> tuple[Window, ...]:
    """Test the latest full windows, oldest first; the newest ends with the last prediction.

    Args:
        logged: predictions.
        reference: what they should be like.
        size: distinct inputs of a window.
        alpha: highest probability of any false alarm among all tests.
    """
    raw = []
    for start, stop, rows in cut(logged.hashes, size):
        tests = _tests(logged, rows, reference)
        times = logged.times[start:stop]  # a clock may have been set back meanwhile
        raw.append(Window(float(times.min()), float(times.max()), stop - start, tests))
    adjusted = iter(holm([test.p_value for window in raw for test in window.tests]))
    return tuple(
        replace(window, tests=tuple(_judged(test, next(adjusted), alpha) for test in window.tests))
        for window in raw
    )


def cut(
    hashes: Sequence[str], size: int, most: int = MOST_WINDOWS
) -> list[tuple[int, int, list[int]]]:
    """Consecutive stretches of ``size`` distinct inputs each, counted from the end.

    Returns:
        First row, row behind the last, and one row of each distinct input; oldest first.
    """
    found: list[tuple[int, int, list[int]]] = []
    seen: dict[str, int] = {}
    stop = len(hashes)
    for row in range(len(hashes) - 1, -1, -1):
        seen.setdefault(hashes[row], row)
        if len(seen) == size:
            found.append((row, stop, sorted(seen.values())))
            seen, stop = {}, row
            if len(found) == most:
                break
    return found[::-1]


def since(windows: Sequence[Window], name: str) -> tuple[float, bool] | None:
    """When the latest drift of one kind began, and whether it lasts.

    Args:
        windows: oldest first.
        name: of the test.

    Returns:
        Start of the first window of the last unbroken stretch, and whether that stretch reaches
        the newest window; None if there was no drift.
    """
    drifted = [name in window.drifted for window in windows]
    if not any(drifted):
        return None
    last = len(drifted) - 1 - drifted[::-1].index(True)
    first = last
    while first and drifted[first - 1]:
        first -= 1
    return windows[first].start, last == len(drifted) - 1


def _tests(logged: Logged, rows: list[int], reference: Reference) -> tuple[Test, ...]:
    tests = [_mix([logged.labels[row] for row in rows], reference.classes)]
    for name, expected in reference.values.items():
        values = logged.values.get(name, np.empty(0))
        values = values[rows] if len(values) else values
        values = values[np.isfinite(values)]
        if len(values):
            tests.append(_numbers(name, expected, values))
    return tuple(tests)


def _numbers(name: str, expected: Values, values: Values) -> Test:
    from scipy.stats import ks_2samp

    expected, values = rounded(expected), rounded(values)
    # Conservative where values repeat, as numbers of tokens do. The exact p-value is slower and
    # no different at hundreds of samples.
    found = ks_2samp(expected, values, method="asymp")
    return Test(
        name, float(found.statistic), float(found.pvalue), psi=psi_of_numbers(expected, values),
        mean=float(values.mean()), reference=float(expected.mean()),
    )  # fmt: skip


def _mix(labels: Sequence[str], expected: Mapping[str, int]) -> Test:
    counts = Counter(labels)
    names = [*expected, *sorted(counts.keys() - expected.keys())]
    known = np.array([expected.get(name, 0) for name in names])
    found = np.array([counts[name] for name in names])
    distance = float(np.abs(known / known.sum() - found / found.sum()).sum() / 2)
    return Test(CLASSES, distance, mix_test(known, found), psi=psi(known, found))


def _judged(test: Test, adjusted: float, alpha: float) -> Test:
    return replace(test, adjusted=adjusted, drifted=adjusted <= alpha)
