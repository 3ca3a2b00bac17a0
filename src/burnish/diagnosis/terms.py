"""What the checks of a run's curves share: names, the rate in words, an error of measurement."""

from __future__ import annotations

import math
from statistics import median

from burnish.diagnosis.training import Training

TRAIN, VAL = "train/loss", "val/loss"


def rate_now(run: Training) -> str:
    """The learning rate as it is configured, in brackets; empty if unknown."""
    rate = run.number("optimizer.lr")
    return "" if rate is None else f" (now {rate:g})"


def rate_times(run: Training, factor: float) -> str:
    """The override for a multiple of the learning rate."""
    rate = run.number("optimizer.lr")
    return f"{factor:g} times optimizer.lr" if rate is None else f"optimizer.lr={rate * factor:.3g}"


def standard_error(run: Training, series: list[float]) -> float | None:
    """Binomial standard error of a share measured on the validation split."""
    samples, level = run.samples("val"), median(series[-5:])
    share = run.monitor.startswith("val/") and run.monitor != VAL and 0 <= level <= 1
    return math.sqrt(max(level * (1 - level), 1 / samples) / samples) if share and samples else None
