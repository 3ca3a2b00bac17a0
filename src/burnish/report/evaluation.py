"""Everything that a report says about a run's predictions on one split.

It is handed arrays and plain facts, and knows nothing of data modules and nets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from burnish.report.calibration import Calibration, calibration
from burnish.report.predictions import Predictions
from burnish.report.ranking import Ranking, ranked, usable
from burnish.report.scores import Scores, as_json, scores

FEW = 30  # samples under which every figure is a guess


@dataclass(frozen=True)
class Evaluation:
    """A split's predictions, and what follows from them.

    Args:
        title: of the page.
        split: its name.
        checkpoint: that was scored, in words.
        names: of the K classes.
        metrics: that the run logged for the split, under their names.
        predictions: of at least one sample.
        notes: of the data and the run, one line each.
        seed: of the bootstrap.
    """

    title: str
    split: str
    checkpoint: str
    names: Sequence[str]
    metrics: Mapping[str, float]
    predictions: Predictions
    notes: Sequence[str] = ()
    seed: int = 0

    @cached_property
    def sound(self) -> Predictions:
        """The predictions that have probabilities."""
        return usable(self.predictions)

    @cached_property
    def scores(self) -> Scores:
        """Counts of right and wrong."""
        return scores(self.predictions, self.names, self.seed)

    @cached_property
    def ranking(self) -> Ranking | None:
        """Areas of curves; None if there are none."""
        return ranked(self.sound, self.seed) if self._tells_classes_apart else None

    @cached_property
    def calibration(self) -> Calibration | None:
        """Confidence against accuracy; None for a single class or without probabilities."""
        if not self._tells_classes_apart:
            return None
        return calibration(self.sound.confidence, self.sound.right)

    @property
    def _tells_classes_apart(self) -> bool:
        return len(self.names) > 1 and len(self.sound.targets) > 0

    def findings(self) -> Iterator[str]:
        """Sentences about what makes the figures doubtful."""
        samples, confusion = self.scores.samples, self.scores.confusion
        if lost := samples - len(self.sound.targets):
            yield (
                f"{lost:,} of {samples:,} outputs are not finite: they count by their largest "
                "value, as in the run's metrics, and are left out of curves and calibration"
            )
        if samples < FEW:
            yield f"{samples} samples are few: every figure here is a rough guess"
        support, answers = confusion.sum(1), confusion.sum(0)
        if absent := self._listed(support == 0):
            yield f"without samples in this split: {absent}"
        if unused := self._listed((answers == 0) & (support > 0)):
            yield f"never predicted: {unused}"

    def _listed(self, chosen: np.ndarray) -> str:
        found = [name for name, is_one in zip(self.names, chosen, strict=True) if is_one]
        rest = f" and {len(found) - 5:,} more" if len(found) > 5 else ""
        return ", ".join(found[:5]) + rest

    def to_json(self) -> dict[str, Any]:
        """Plain containers, without NaN, which JSON does not have."""
        facts: dict[str, Any] = {
            "split": self.split,
            "checkpoint": self.checkpoint,
            "metrics": dict(self.metrics),
            **as_json(self.scores),
            "findings": [*self.findings(), *self.notes],
        }
        if (ranking := self.ranking) is not None:
            areas = zip(
                ranking.roc_areas.tolist(), ranking.average_precisions.tolist(), strict=True
            )
            facts["classes"] = [
                {**row, "roc_auc": roc, "average_precision": precision}
                for row, (roc, precision) in zip(facts["classes"], areas, strict=True)
            ]
        if (found := self.calibration) is not None:
            facts["calibration"] = {
                "expected_calibration_error": found.error,
                "bins": len(found.counts),
                "mean_confidence_minus_accuracy": found.excess,
            }
        cleaned: dict[str, Any] = _finite(facts)
        return cleaned


def _finite(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {name: _finite(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_finite(value) for value in node]
    return None if isinstance(node, float) and not np.isfinite(node) else node
