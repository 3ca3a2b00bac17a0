"""What the runs of a multirun say together: mean and deviation over seeds and folds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.experimental.callback import Callback

from burnish.errors import RunError
from burnish.runs.console import open_log, say, short, table
from burnish.runs.folder import RunFolder, write_atomically
from burnish.runs.groups import REPEATS, SHOWN, Group, summary

__all__ = ["Group", "RepeatsTable", "grouped", "summary"]

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def grouped(folders: Sequence[Path]) -> list[Group]:
    """The runs by what was typed, seed and fold aside, in the order of the folders."""
    groups: dict[tuple[str, ...], Group] = {}
    for folder in folders:
        typed = yaml.safe_load((folder / "overrides.yaml").read_text(encoding="utf-8")) or []
        key = tuple(o for o in typed if o.lstrip("+~").partition("=")[0] not in REPEATS)
        group = groups.setdefault(key, Group(key))
        group.runs += 1
        for name, value in _figures(RunFolder(folder)):
            group.figures.setdefault(name, []).append(value)
    return list(groups.values())


def _figures(run: RunFolder) -> Iterator[tuple[str, float]]:
    try:
        result = run.read_json("result")
    except RunError:
        return
    best: Mapping[str, Any] = result.get("best") or {}
    if result.get("status") != "finished" or best.get("value") is None:
        return
    yield f"best {best['monitor']}", float(best["value"])
    for name in SHOWN:
        if name in result.get("metrics", {}):
            yield name, float(result["metrics"][name])


class RepeatsTable(Callback):
    """Hydra callback: prints the table at the end of a multirun and keeps it as summary.csv."""

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        """Read what the jobs left; a sweeper with an objective of its own reports by itself."""
        if config.hydra.sweeper._target_ != BASIC_SWEEPER:
            return
        where = Path(config.hydra.sweep.dir).absolute()
        folders = sorted(
            (path.parent for path in where.glob("*/overrides.yaml")), key=lambda f: _number(f.name)
        )
        if len(folders) < 2:
            return
        rows = summary(grouped(folders))
        written = io.StringIO()
        csv.writer(written).writerows(rows)
        write_atomically(where / "summary.csv", written.getvalue())
        open_log(None)
        say(f"\nmean ± standard deviation over {len(folders)} runs, {short(where)}/summary.csv")
        say(table(rows))


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (10**9, name)
