"""Runs that repeat one experiment, summed up: mean and deviation over seeds and folds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

# Overrides by which runs of one and the same experiment differ.
REPEATS = ("seed", "data.fold", "data.split_seed", "data.shuffle_seed")
# Figures of the table, as far as the runs have them; the monitored one comes first.
SHOWN = ("test/accuracy", "test/f1", "test/loss")


@dataclass
class Group:
    """Runs that differ by seed or fold only.

    Args:
        overrides: what they have in common, as typed.
        runs: how many were started.
        figures: metric name to its value in each finished run.
    """

    overrides: tuple[str, ...]
    runs: int = 0
    figures: dict[str, list[float]] = field(default_factory=dict)

    @property
    def finished(self) -> int:
        """How many gave figures."""
        return max((len(values) for values in self.figures.values()), default=0)


def mean_and_deviation(values: Sequence[float]) -> str:
    """``0.9512 ± 0.0034``, with the deviation of a sample (n - 1); the value alone if one."""
    mean = statistics.fmean(values)
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return f"{mean:.4f}"
    return f"{mean:.4f} ± {statistics.stdev(values):.4f}"


def summary(groups: Sequence[Group]) -> list[tuple[str, ...]]:
    """Rows of a table, the heading first: overrides that differ, runs, mean and deviation."""
    common = set.intersection(*(set(group.overrides) for group in groups))
    names = list(dict.fromkeys(name for group in groups for name in group.figures))
    rows: list[tuple[str, ...]] = [("runs of", "finished", *names)]
    for group in groups:
        differing = " ".join(o for o in group.overrides if o not in common)
        figures = [
            mean_and_deviation(group.figures[name]) if name in group.figures else "-"
            for name in names
        ]
        rows.append((differing or "all", f"{group.finished} of {group.runs}", *figures))
    return rows
