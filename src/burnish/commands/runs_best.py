"""runs best: the best finished run by a metric."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from burnish.commands.runs_found import add_where, found
from burnish.errors import RunError
from burnish.runs.conditions import lower_is_better, ordered
from burnish.runs.console import short
from burnish.runs.listing import Run
from burnish.runs.origin import repeat_command
from burnish.runs.reading import read_provenance
from burnish.runs.words import cell, one_line

HELP = "the best finished run by a metric"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``runs best``."""
    add_where(parser)
    parser.add_argument("--metric", default="best", metavar="KEY",
        help="(default: the monitored one)")  # fmt: skip
    parser.add_argument("--mode", choices=("min", "max"),
        help="which end is good (default: min for a loss or an error, else max)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Name it; exit code 1 if there is none."""
    runs = [one for one in found(options) if one.status == "finished"]
    runs = [one for one in ordered(runs, options.metric, option="--metric")
            if isinstance(one.value(options.metric), float)]  # fmt: skip
    monitors = {one.monitor for one in runs}
    if options.metric == "best" and len(monitors) > 1:
        named = ", ".join(sorted(map(str, monitors)))
        raise RunError(
            f"--metric: these runs monitor different metrics ({one_line(named)}): name one"
        )
    if not runs:
        print("no such finished run")
        return 1
    best = _first(runs, options)
    metric = best.monitor if options.metric == "best" else options.metric
    value = cell(best.value(options.metric))
    print(one_line(f"{metric} {value}, of {len(runs):,} finished runs"))
    print(one_line(short(best.path)))
    print(one_line(f"  repeat  {repeat_command(best, read_provenance(best.path))}"))
    return 0


def _first(runs: Sequence[Run], options: argparse.Namespace) -> Run:
    """The best: first, unless the other end was asked for; ``nan`` is never it."""
    name = (runs[0].monitor or "") if options.metric == "best" else options.metric
    mode = options.mode or ("min" if lower_is_better(name) else "max")
    numbers = [(value, one) for one in runs if (value := one.value(options.metric)) == value]
    if not numbers:
        return runs[0]
    pick_one = min if mode == "min" else max
    return pick_one(numbers, key=lambda pair: float(pair[0] or 0.0))[1]
