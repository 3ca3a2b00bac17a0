"""What the runs of a multirun say together: mean and deviation over seeds and folds."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra.experimental.callback import Callback

from burnish.errors import RunError
from burnish.runs.console import open_log, say, short, table
from burnish.runs.folder import RunFolder, write_atomically

# Overrides by which runs of one and the same experiment differ.
REPEATS = ("seed", "data.fold", "data.split_seed", "data.shuffle_seed")
# Figures of the table, as far as the runs have them; the monitored one comes first.
SHOWN = ("test/accuracy", "test/f1", "test/loss")
BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


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
