"""Checkpoints that nobody will want again: those of failed runs, and of runs that others beat."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import RunError
from burnish.runs.conditions import lower_is_better
from burnish.runs.folder import find_run
from burnish.runs.groups import REPEATS
from burnish.runs.listing import Run


@dataclass(frozen=True)
class Removable:
    """Checkpoints of one run that may go.

    Args:
        run: whose they are.
        why: in words.
        files: the checkpoints.
        size: bytes of all.
    """

    run: Run
    why: str
    files: tuple[Path, ...]
    size: int

    def remove(self) -> None:
        """Delete them."""
        for file in self.files:
            file.unlink(missing_ok=True)


def removable(runs: Sequence[Run], keep: int) -> tuple[list[Removable], list[str]]:
    """What may go, and what was left alone: ``<path>: <why>``.

    Runs that are running or interrupted keep theirs: they go on from them.

    Args:
        runs: to look at.
        keep: so many of the best finished runs of each data set keep theirs.
    """
    reasons = {run.path: (run, "failed") for run in runs if run.status == "failed"}
    for run in _dominated(runs, keep):
        reasons[run.path] = (run, run.status if run.status == "pruned" else "dominated")
    found, skipped = [], []
    for run, why in reasons.values():
        try:
            files = _checkpoints(run.path)
        except RunError as error:
            skipped.append(str(error))
            continue
        if files:
            size = sum(file.lstat().st_size for file in files)
            found.append(Removable(run, why, files, size))
    return found, skipped


def _checkpoints(folder: Path) -> tuple[Path, ...]:
    """The files ``checkpoints/*.ckpt`` of a run.

    Raises:
        RunError: if there is a link in the run's folder: it may lead out of it.
    """
    if not (folder / "checkpoints").exists():
        return ()
    where = find_run(str(folder))[0].checkpoints
    return tuple(f for f in sorted(where.glob("*.ckpt")) if stat.S_ISREG(f.lstat().st_mode))


def _dominated(runs: Sequence[Run], keep: int) -> list[Run]:
    """Finished runs that at least ``keep`` others beat, on the same data by the same metric."""
    rivals: dict[str, list[tuple[float, Run]]] = {}
    for run in runs:
        if run.status in ("finished", "pruned") and run.best is not None and run.config:
            value = run.best if _mode(run) == "min" else -run.best
            if run.status == "pruned" or math.isnan(value):
                value = math.inf  # a pruned run was judged already
            rivals.setdefault(_contest(run), []).append((value, run))
    return [
        run
        for members in rivals.values()
        for place, (_, run) in enumerate(sorted(members, key=lambda m: (m[0], str(m[1].path))))
        if place >= keep
    ]


def _mode(run: Run) -> str:
    mode = run.config.get("mode")
    if mode in ("min", "max"):
        return str(mode)
    return "min" if lower_is_better(run.monitor or "") else "max"


def _contest(run: Run) -> str:
    """What runs must have in common to be compared: data, metric, and how it is judged."""
    data = run.config.get("data")
    settings = data if isinstance(data, dict) else {}
    kept = {key: value for key, value in settings.items() if f"data.{key}" not in REPEATS}
    try:
        return json.dumps([kept, run.monitor, _mode(run)], default=str, sort_keys=True)
    except (TypeError, ValueError, RecursionError):  # no config that was ever built
        return str(run.path)
