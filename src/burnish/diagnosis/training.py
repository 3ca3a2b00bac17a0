"""What a run folder tells about its training, in plain values; whatever is missing stays open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from burnish.errors import RunError
from burnish.runs.curves import Curves, read_curves
from burnish.runs.reading import read_config, read_mapping, read_provenance


@dataclass(frozen=True)
class Training:
    """A training as its folder tells it.

    Args:
        path: the run folder.
        curves: what was logged.
        config: of the run.
        result: ``result.json``.
        counts: samples of each class by split.
    """

    path: Path
    curves: Curves
    config: Mapping[str, Any]
    result: Mapping[str, Any]
    counts: Mapping[str, Sequence[int]]

    def series(self, name: str) -> list[float]:
        """Finite values, one an epoch."""
        return [p.value for p in self.curves.epochs(name) if math.isfinite(p.value)]

    def pairs(self, name: str, other: str) -> tuple[list[float], list[float]]:
        """Finite values of two metrics in the epochs that have both."""
        values = {p.epoch: p.value for p in self.curves.epochs(other) if math.isfinite(p.value)}
        both = [p for p in self.curves.epochs(name) if p.epoch in values and math.isfinite(p.value)]
        return [p.value for p in both], [values[p.epoch] for p in both]

    def epoch(self, name: str, index: int) -> int:
        """The epoch, from 0, of the value that :meth:`series` has at ``index``."""
        points = [p for p in self.curves.epochs(name) if math.isfinite(p.value)]
        return points[max(0, min(index, len(points) - 1))].epoch

    def setting(self, key: str) -> Any:
        """A value of the configuration by its dotted key; None if it has none."""
        node: Any = self.config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return node

    def number(self, key: str) -> float | None:
        """A number of the configuration; None if there is none."""
        value = self.setting(key)
        known = isinstance(value, int | float) and not isinstance(value, bool)
        return float(value) if known and math.isfinite(value) else None

    @property
    def status(self) -> str:
        """running, finished, failed, interrupted or pruned; "" if it does not say."""
        status = self.result.get("status")
        return status if isinstance(status, str) else ""

    @property
    def monitor(self) -> str:
        """The metric that picks the best checkpoint."""
        name = self.setting("monitor")
        return name if isinstance(name, str) else "val/accuracy"

    def samples(self, split: str) -> int:
        """How many samples a split has; 0 if unknown."""
        return sum(self.counts.get(split, ()))

    @property
    def chance(self) -> float | None:
        """Accuracy of naming the class that is shown most often."""
        counts = self.counts.get("train")
        if not counts or not sum(counts):
            return None
        even = self.setting("data.sampler") in ("balanced", "undersample")
        shown = sum(count > 0 for count in counts)  # no sampler shows a class without samples
        return 1 / shown if even else max(counts) / sum(counts)

    @property
    def uniform(self) -> float | None:
        """Cross entropy of naming every class with the same probability; None for other losses."""
        target = str(self.setting("loss._target_"))
        counts = self.counts.get("train")
        return math.log(len(counts)) if counts and target.endswith("CrossEntropyLoss") else None

    def passed(self) -> list[float] | None:
        """Sum of the learning rates up to each epoch of train/loss, in epochs of the largest.

        None if no rate was logged. Epochs without one had the last rate before.
        """
        means: dict[int, list[float]] = {}
        for point in self.curves.rate:
            means.setdefault(point.epoch, []).append(point.value)
        largest = max((p.value for p in self.curves.rate if math.isfinite(p.value)), default=0.0)
        if largest <= 0:
            return None
        rate, total, sums = fmean(next(iter(means.values()))), 0.0, []
        for point in self.curves.epochs("train/loss"):
            rate = fmean(means.get(point.epoch, [rate]))
            total += rate / largest
            if math.isfinite(point.value):
                sums.append(total)
        return sums if all(map(math.isfinite, sums)) else None


def read_training(run: Path) -> Training:
    """Read a run folder, going on or ended; what cannot be read is left open.

    Args:
        run: the run folder.

    Raises:
        RunError: if its ``metrics.csv`` is refused.
    """
    data = read_provenance(run).get("data")
    counts = data.get("class_counts") if isinstance(data, Mapping) else None
    known = counts if isinstance(counts, Mapping) else {}
    return Training(
        run,
        read_curves(run),
        _config(run),
        read_mapping(run / "result.json"),
        {str(split): values for split, values in known.items() if _are_counts(values)},
    )


def _config(run: Path) -> dict[str, Any]:
    try:
        return read_config(run)
    except RunError:
        return {}


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
