"""Findings against curves made to have them, and against healthy ones with the same noise."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from statistics import stdev

import pytest

from burnish.diagnosis.curves import (
    diverging,
    improving,
    noise,
    overfitting,
    plateau,
    slope,
    slow,
    smoothed,
)
from burnish.diagnosis.training import Training
from burnish.runs.curves import Curves

RUNS = 100
Curve = list[float]


def noisy(random_: random.Random, curve: Curve, most: float = 0.05) -> Curve:
    spread = random_.uniform(0.01, most)
    return [value * math.exp(random_.gauss(0, spread)) for value in curve]


def wandering(rng: random.Random, curve: Curve, spread: float = 0.03, stays: float = 0.9) -> Curve:
    """Noise of which a part stays from epoch to epoch, as that of a small validation set."""
    off, values = rng.gauss(0, spread), []
    for value in curve:
        values.append(value * math.exp(off))
        off = stays * off + rng.gauss(0, spread * math.sqrt(1 - stays**2))
    return values


def falling(rng: random.Random, epochs: int, slowest: float = 1 / 6) -> Curve:
    """From ln(10) to a floor, as an exponential or a power of the epoch."""
    start, floor = rng.uniform(0.6, 1) * math.log(10), rng.uniform(0.02, 0.25)
    pace, power = rng.uniform(1, max(1.1, epochs * slowest)), rng.uniform(0.8, 2)
    if rng.random() < 0.5:
        return [floor + (start - floor) * math.exp(-e / pace) for e in range(epochs)]
    return [floor + (start - floor) * (1 + e / pace) ** -power for e in range(epochs)]


def share(finds: Callable[[random.Random, int], object]) -> float:
    """Of runs of 12 to 60 epochs in which something is found."""
    found = 0
    for seed in range(RUNS):
        rng = random.Random(seed)
        found += finds(rng, rng.randint(12, 60)) is not None
    return found / RUNS


def test_noise_is_that_of_the_values_around_a_trend():
    rng = random.Random(0)
    values = [rng.gauss(0, 0.1) for _ in range(2000)]
    assert noise(values) == pytest.approx(stdev(values), rel=0.05)
    assert noise([v + 0.01 * i for i, v in enumerate(values)]) == pytest.approx(0.1, rel=0.05)
    assert noise([*values, 1e6]) == pytest.approx(0.1, rel=0.05)
    assert math.isnan(noise([1.0, 2.0]))


def test_slope_and_its_standard_errors():
    rng = random.Random(0)
    # Var(slope) = s^2 / sum (x - mean)^2 = 0.01 / 82.5 for ten values one apart
    ratios = [slope([3 - 0.1 * i + rng.gauss(0, 0.1) for i in range(10)]) for _ in range(300)]
    assert sum(r for r, _ in ratios) / 300 == pytest.approx(-0.1, abs=0.003)
    assert sorted(t for _, t in ratios)[150] == pytest.approx(-0.1 / 0.1 * math.sqrt(82.5), rel=0.1)
    assert slope([1.0, 3.0, 5.0], [0.0, 0.5, 1.0])[0] == pytest.approx(4)
    assert smoothed([0.0, 3.0, 6.0]) == [1.5, 3.0, 4.5]


def test_healthy_curves_raise_no_alarm():
    uniform = math.log(10)
    assert share(lambda rng, n: diverging(noisy(rng, falling(rng, n)), uniform)) == 0
    assert share(lambda rng, n: slow(noisy(rng, falling(rng, n)))) == 0

    def overfits(rng: random.Random, epochs: int) -> object:
        train = falling(rng, epochs)
        return overfitting(noisy(rng, train), noisy(rng, [0.2 + 0.8 * v for v in train]))

    def improves(rng: random.Random, epochs: int) -> object:
        curve = [0.1 + math.exp(-6 * e / epochs) for e in range(2 * epochs)]
        return improving(noisy(rng, curve), up=False, least=0.002)

    assert share(overfits) == 0
    assert share(improves) <= 0.05


def test_a_loss_that_comes_back_is_diverging():
    def come_back(rng: random.Random, epochs: int) -> object:
        curve, at = falling(rng, epochs), rng.randint(4, epochs - 4)
        tops = [rng.uniform(1, 4) * math.log(10) for _ in curve[at:]]
        return diverging(noisy(rng, [*curve[:at], *tops]), math.log(10))

    def never_came_down(rng: random.Random, epochs: int) -> object:
        return diverging([rng.uniform(5, 80) for _ in range(epochs)], math.log(10))

    assert share(come_back) >= 0.97
    assert share(never_came_down) >= 0.95
    found = diverging([2.3, 1.5, 1.0, 0.8, 0.7, 0.6, 9.0, 8.0, 9.5, 9.0])
    assert found is not None
    assert (found.since, found.before, found.after) == (5, 0.6, 9.25)


def test_a_net_that_does_not_move_has_not_diverged():
    assert diverging([3.54, 3.53, 3.55, 3.54, 3.54], math.log(10)) is None


def overfits(rng: random.Random, epochs: int) -> object:
    train, turn = falling(rng, epochs), epochs // 3
    val = [0.1 + v for v in train[: turn + 1]]
    rise = rng.uniform(0.3, 1)
    val += [val[-1] * (1 + rise * i / epochs) for i in range(1, epochs - turn)]
    return overfitting(noisy(rng, train), noisy(rng, val))


@pytest.mark.parametrize("epochs", [15, 30, 60])
@pytest.mark.parametrize("base", [lambda v: 1.0, lambda v: 0.2 + 0.8 * v])
def test_noise_that_wanders_is_no_overfitting_and_what_rises_is(epochs, base):
    def wanders(rng: random.Random, _: int) -> object:
        train = falling(rng, epochs)
        return overfitting(train, wandering(rng, [base(v) for v in train]))

    assert share(wanders) <= 0.05
    assert share(lambda rng, _: overfits(rng, epochs)) >= 0.8


def test_a_rising_validation_loss_is_overfitting_only_under_a_falling_training_loss():
    assert share(overfits) >= 0.9
    train = [2.0, 1.5, 1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    val = [2.0, 1.5, 1.2, 1.0, 0.9, 1.0, 1.2, 1.3, 1.4, 1.5]
    found = overfitting(train, val)
    assert found is not None
    assert found.since == 4
    assert found.after == pytest.approx(1.45)
    assert overfitting(val, val) is None


def test_a_curve_that_stays_is_a_plateau_from_there_on():
    def stays(rng: random.Random, epochs: int) -> object:
        level, at = rng.uniform(0.4, 0.8), epochs // 3
        curve = [2.3 * (1 - (1 - level) * min(1, (e + 1) / at)) for e in range(epochs)]
        return plateau(noisy(rng, curve, 0.03))

    assert share(stays) >= 0.85
    found = plateau([2.3, 2.0, 1.7, 1.4, *[1.2] * 10])
    assert found is not None
    assert found.since == 4
    assert found.after == pytest.approx(1.2)
    assert plateau([2.3 * 0.9**e for e in range(30)]) is None


def test_an_even_and_little_fall_is_slow():
    def creeps(rng: random.Random, epochs: int) -> object:
        fall = rng.uniform(0.05, 0.25)
        return slow(noisy(rng, [2.3 * (1 - fall * e / epochs) for e in range(epochs)], 0.012))

    assert share(creeps) >= 0.9
    assert slow([2.3, 2.2, 2.1]) is None


def test_a_small_rate_that_runs_down_is_slow_by_the_rate_it_had():
    rates = [0.5 * (1 + math.cos(math.pi * e / 20)) for e in range(20)]
    passed = [sum(rates[: e + 1]) for e in range(20)]
    loss = [2.3 - 0.02 * p for p in passed]
    assert slow(loss) is None
    assert slow(loss, passed) is not None


def test_what_still_rises_at_the_end_is_improving():
    def rises(rng: random.Random, epochs: int) -> object:
        pace = epochs * rng.uniform(0.4, 1.2)
        curve = [0.9 - 0.6 * math.exp(-e / pace) + rng.gauss(0, 0.005) for e in range(epochs)]
        return improving(curve, up=True, least=0.01)

    assert share(rises) >= 0.9
    assert improving([0.5, 0.6, 0.7], up=True, least=0.03) is not None
    assert improving([0.5, 0.6, 0.65], up=True, least=0.03) is None
    assert improving([0.5, 0.6, 0.7], up=False, least=0.03) is None


@pytest.mark.parametrize(
    ("sampler", "counts", "chance"),
    [
        ("none", [60, 30, 10], 0.6),
        ("balanced", [60, 30, 10], 1 / 3),
        ("undersample", [60, 30, 10], 1 / 3),
        ("balanced", [60, 0, 40], 1 / 2),
        ("none", [0, 0, 0], None),
    ],
)
def test_chance_is_of_the_classes_that_are_shown(sampler, counts, chance):
    run = Training(Path(), Curves(), {"data": {"sampler": sampler}}, {}, {"train": counts})
    assert run.chance == (chance and pytest.approx(chance))


@pytest.mark.parametrize("series", [[], [1.0], [1.0, 1.0], [0.0, 0.0, 0.0], [1.0] * 5, [-1.0] * 9])
def test_short_and_even_series_are_no_error(series):
    assert diverging(series, 2.3) is None
    assert overfitting(series, series) is None
    assert slow(series) is None
    assert improving(series, up=True, least=0.0) is None
    found = plateau(series)
    assert (found is not None) == (len(series) >= 6)
