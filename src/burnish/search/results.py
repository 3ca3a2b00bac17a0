"""What a person sees of a sweep while it runs, and what it leaves beside its trials."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from burnish.runs.console import say
from burnish.runs.folder import write_atomically

STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


def is_finished(trial: FrozenTrial) -> bool:
    """Whether it counts against the total: an interrupted one does not, it is tried again."""
    return trial.state.is_finished() and not trial.user_attrs.get("interrupted")


def best_trials(study: optuna.Study, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The best trial, or with several objectives the Pareto front; empty if none completed."""
    if len(study.directions) > 1:
        return study.best_trials
    complete = [t for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
    if not complete:
        return []
    sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
    return [min(complete, key=lambda t: (sign * t.value, t.number))]  # type: ignore[operator]


class LiveTable:
    """One line a trial, as it ends.

    Args:
        metrics: names of the objectives.
        total: trials asked for.
    """

    def __init__(self, metrics: Sequence[str], total: int) -> None:
        self._metrics = metrics
        self._total = total
        self._titled = False

    def row(self, study: optuna.Study, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> None:
        """Say how a trial ended."""
        if not self._titled:
            names = [name.rjust(13) for name in (*self._metrics, "best")]
            say(" trial  state   " + " ".join(names) + "  left  seconds  parameters")
            self._titled = True
        best = best_trials(study, trials)
        values = [f"{v:13.6g}" for v in trial.values or ()]
        cells = (values + [" " * 13] * len(self._metrics))[: len(self._metrics)]
        top = " " * 13
        if best:
            top = f"{best[0].value:13.6g}" if len(self._metrics) == 1 else f"front of {len(best):4}"
        left = max(0, self._total - sum(map(is_finished, trials)))
        seconds = trial.user_attrs.get("seconds") or 0.0
        state = STATES[trial.state]
        say(
            f"{trial.number:6}  {state:<8}{' '.join(cells)} {top}  {left:4}  {seconds:7.1f}  "
            + shortly(trial.params)
        )
        if error := trial.user_attrs.get("error"):
            say(f"        {error[:300]}")


def shortly(params: dict[str, Any]) -> str:
    """Parameters in one line, numbers with four digits."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )


def write_results(
    study: optuna.Study, trials: Sequence[FrozenTrial], folder: Path, metrics: Sequence[str]
) -> None:
    """Write ``trials.csv`` and, in the stock sweeper's form, ``optimization_results.yaml``."""
    parameters = list(dict.fromkeys(name for trial in trials for name in trial.params))
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["trial", "state", *metrics, "epochs", "seconds", *parameters, "error"])
    for trial in trials:
        attrs = trial.user_attrs
        values = [*(trial.values or ()), *[""] * len(metrics)][: len(metrics)]
        state = "interrupted" if attrs.get("interrupted") else STATES[trial.state]
        writer.writerow(
            [
                trial.number,
                state,
                *values,
                attrs.get("epochs", ""),
                attrs.get("seconds", ""),
                *(trial.params.get(name, "") for name in parameters),
                attrs.get("error", ""),
            ]
        )
    write_atomically(folder / "trials.csv", table.getvalue())
    best = best_trials(study, trials)
    if best:
        found = [{"trial": t.number, "params": t.params, "values": t.values} for t in best]
        single = {
            "name": "optuna",
            "best_params": best[0].params,
            "best_value": best[0].value if len(metrics) == 1 else None,
            "best_trial": best[0].number,
        }
        plain = single if len(metrics) == 1 else {"name": "optuna", "solutions": found}
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        write_atomically(folder / "optimization_results.yaml", text)


def drop_checkpoints(folder: Path, trials: Iterable[int]) -> None:
    """Delete the checkpoints of trials, by number."""
    for number in trials:
        shutil.rmtree(folder / str(number) / "checkpoints", ignore_errors=True)
