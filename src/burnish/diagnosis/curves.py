"""What the numbers of a curve say, told apart from its noise.

A series is one value an epoch, all finite. Its noise is estimated from second differences, which a
slow trend hardly touches; a finding must stand out of it. Each function answers None where there
is nothing to say, too few epochs included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, linear_regression, median

Series = Sequence[float]

# Standard errors by which a slope must differ from nothing. Three: by chance once in 700 looks,
# and a run is looked at some five times.
SURE = 3.0
# Noise that wanders from epoch to epoch (0.9 of it stays, deviation 3 %) rises from its lowest by
# more than 5 % in most runs of 60 epochs, by more than 10 % and steadily in 3 of 100.
LEAST_RISE = 0.1
STEADY = 4  # parts of the epochs after the lowest, each of them above the one before,
STEP = 0.05  # by so much of the whole rise
FLAT = 0.02  # change over the window of a plateau
BAND = 0.05  # around the level of a plateau; a curve that falls into it still falls by less
LINEAR = 0.4  # late slope as a share of the early one; an exponential fall by a half has 0.5
SLOW = 0.7  # share of the first loss that is left
STILL = 1.15  # largest over smallest loss of a run that does not move
GIVEN_BACK = 0.3  # share of what was learned that a diverging loss loses again


def noise(series: Series) -> float:
    """Standard deviation of the values around their trend, by the median: robust to single jumps.

    The second difference of independent values of deviation s has deviation s times the root of 6.
    At least a thousandth of the level, so that what is exact can be compared at all.

    Args:
        series: at least 3 values, else NaN.
    """
    if len(series) < 3:
        return math.nan
    second = [abs(a - 2 * b + c) for a, b, c in zip(series, series[1:], series[2:], strict=False)]
    floor = 1e-3 * abs(median(series))
    return max(1.4826 * median(second) / math.sqrt(6), floor, 1e-12)


def smoothed(series: Series) -> list[float]:
    """Mean of each value and its two neighbours; the ends have one neighbour."""
    return [fmean(series[max(0, i - 1) : i + 2]) for i in range(len(series))]


def slope(series: Series, places: Series | None = None) -> tuple[float, float]:
    """Least-squares slope, and by how many standard errors it differs from nothing.

    Args:
        series: at least 3 values.
        places: where they lie; None: one unit apart.
    """
    x = list(places or range(len(series)))
    middle = fmean(x)
    spread = math.sqrt(math.fsum((value - middle) ** 2 for value in x))
    if not spread:
        return 0.0, 0.0
    rise = linear_regression(x, series).slope
    return rise, rise * spread / noise(series)


@dataclass(frozen=True)
class Change:
    """From a place in the series to its end.

    Args:
        since: index.
        before: the level there.
        after: the level at the end.
    """

    since: int
    before: float
    after: float


def _lowest(series: Series) -> int:
    """Where the lowest stretch of the series is lowest."""
    even = smoothed(series)
    low = even.index(min(even))
    return min(range(max(0, low - 1), min(low + 2, len(series))), key=series.__getitem__)


def diverging(train: Series, uniform: float | None = None) -> Change | None:
    """A training loss that ends far above what it had reached, or worse than a uniform guess.

    Args:
        train: training losses.
        uniform: what naming every class with the same probability would cost, if known.
    """
    if len(train) < 3:
        return None
    end = median(train[-max(1, len(train) // 5) :])
    low = _lowest(train)
    fallen, risen = train[0] - train[low], end - train[low]
    scatter = noise(train[: low + 1] if low >= 4 else train)  # what follows is no noise
    sure = max(GIVEN_BACK * fallen, 6 * scatter, (STILL - 1) * abs(train[low]))
    if low < len(train) - 1 and fallen > 0 and risen > sure:
        return Change(low, train[low], end)
    usual = uniform or max(train[0], 0)
    falls = slope(train[-max(3, len(train) // 3) :])[1] < -SURE
    # A net that does not move stays at its first loss, which may be a little above the usual one.
    still = max(train) < STILL * min(train) and end < 3 * usual
    if usual and end > 1.2 * usual and not falls and not still:
        return Change(0, usual, end)
    return None


def overfitting(train: Series, val: Series) -> Change | None:
    """A validation loss that rises steadily from its lowest while that of training goes on falling.

    Args:
        train: training losses of the same epochs.
        val: validation losses.
    """
    if len(val) < 6 or len(train) != len(val):
        return None
    even = smoothed(val)
    low = even.index(min(even))
    after = len(val) - 1 - low
    if after < 3:
        return None
    last = max(2, after // 3)
    end = fmean(val[-last:])
    error = noise(val) * math.sqrt(1 / 3 + 1 / last)
    risen = end - even[low]
    if risen < max(SURE * error, LEAST_RISE * abs(even[low])):
        return None
    if not _steady(val[low + 1 :], STEP * risen):
        return None
    falls = fmean(train[-last:]) < smoothed(train)[low]
    return Change(low, even[low], end) if falls else None


def _steady(series: Series, least: float) -> bool:
    """Whether each part of it, of two values at least, is so much above the one before."""
    size, parts = len(series), min(STEADY, max(1, len(series) // 2))
    means = [fmean(series[i * size // parts : (i + 1) * size // parts]) for i in range(parts)]
    return all(after - before >= least for before, after in pairwise(means))


def plateau(train: Series) -> Change | None:
    """A loss that has stopped falling, for a third of the run and five epochs at least."""
    window = max(5, math.ceil(len(train) / 3))
    if len(train) < window + 1:
        return None
    last = train[-window:]
    level = fmean(last)
    rise, sure = slope(last)
    change = abs(rise) * (window - 1)
    if change > (BAND if abs(sure) < SURE else FLAT) * abs(level):
        return None
    band = max(2.5 * noise(train), BAND / 2 * abs(level))
    even = smoothed(train)
    since = len(train)
    while since and min(abs(even[since - 1] - level), abs(train[since - 1] - level)) <= band:
        since -= 1
    return Change(since, even[since], level) if since <= len(train) - window else None


def slow(train: Series, places: Series | None = None) -> Change | None:
    """A loss that falls surely, evenly and little: a learning rate that is too small.

    Args:
        train: training losses.
        places: sum of the learning rates up to each; a loss that falls evenly falls with it.
    """
    if len(train) < 4:
        return None
    x = list(places or range(len(train)))
    half = len(train) // 2 + 1
    early, _ = slope(train[:half], x[:half])
    late, _ = slope(train[-half:], x[-half:])
    _, sure = slope(train, x)
    last = fmean(train[-2:])
    if sure > -SURE or last < SLOW * train[0] or early >= 0 or late / early < LINEAR:
        return None
    return Change(0, train[0], last)


def improving(series: Series, *, up: bool, least: float) -> Change | None:
    """A metric that was still getting better when the run ended.

    Args:
        series: of the metric.
        up: whether larger is better.
        least: gain over the window that is worth a word.
    """
    sign = 1 if up else -1
    values = [sign * value for value in series]
    if 2 <= len(values) < 4:
        gains = [after - before for before, after in pairwise(values)]
        # Too few to tell the noise from: each step must be beyond doubt.
        return Change(0, series[0], series[-1]) if min(gains) > SURE * least else None
    if len(values) < 4:
        return None
    window = max(4, math.ceil(len(values) / 3))
    last = values[-window:]
    rise, _ = slope(last)
    middle = math.sqrt(math.fsum((i - (window - 1) / 2) ** 2 for i in range(window)))
    sure = rise * middle / noise(values)
    if sure < SURE or rise * (window - 1) < least or max(values) > max(last[-3:]):
        return None
    return Change(len(values) - window, series[-window], series[-1])
