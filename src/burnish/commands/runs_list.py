"""runs list: one line a run, as text, CSV or JSON."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from burnish.commands.runs_found import add_where, found, none_found, refuse_below
from burnish.runs.conditions import conditions, ordered
from burnish.runs.console import short, table
from burnish.runs.listing import Run
from burnish.runs.tables import as_csv
from burnish.runs.words import cell, clipped, one_line, span

HELP = "status, age, best and test metrics, seconds and overrides of each"

SHOWN_FIELDS = ("status", "age", "best", "seconds")  # by every list
TEST_COLUMNS = 3  # metrics of the test in a list; `show` has all
LINES = 30  # a screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``runs list``."""
    add_where(parser)
    parser.add_argument(
        "--sort", metavar="KEY", help="the better or smaller first (default: the newest)"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N",
        help=f"runs at most, 0 for all (default {LINES}, as csv and json all)",
    )  # fmt: skip
    parser.add_argument("--format", choices=("text", "csv", "json"), default="text",
        help="json has all metrics, csv those of the test and the keys named")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """List them."""
    limit = options.limit if options.limit is not None else LINES * (options.format == "text")
    refuse_below(0, limit, "--limit")
    runs = found(options)
    if not runs and options.format == "text":
        print(none_found(options))
        return 0
    runs = ordered(runs, options.sort or "age", option="--sort")
    shown = runs[: limit or None]
    keys = [options.sort] if options.sort else []
    keys += [condition.key for condition in conditions(options.where)]
    written = {"text": _text, "csv": _csv, "json": _json}[options.format]
    print(written(shown, keys))
    if options.format == "text" and (rest := len(runs) - len(shown)):
        print(f"and {rest:,} more: --limit 0 shows all")
    return 0


def _tests(runs: Sequence[Run]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    return [name for name in names if name.startswith("test/")]


def _text(runs: Sequence[Run], keys: Sequence[str]) -> str:
    tests = _tests(runs)
    asked = [k for k in keys if k not in SHOWN_FIELDS and not any(k in run.typed for run in runs)]
    columns = list(dict.fromkeys([*asked, *[t for t in tests if t not in asked][:TEST_COLUMNS]]))
    rows = [["run", "status", "age", "best", *map(one_line, columns), "seconds"]]
    for one in runs:
        figures = [cell(one.value(c), ".4f" if c in tests else ".6g") for c in columns]
        seconds = cell(one.value("seconds"), ".1f")
        name = one_line(short(one.path))
        rows.append([name, one.status, span(one.age), cell(one.best), *figures, seconds])
    lines = table(rows, indent=0).split("\n")
    common = set.intersection(*(set(one.overrides) for one in runs)) if len(runs) > 1 else set()
    typed = [_joined(o for o in one.overrides if o not in common) for one in runs]
    wide = [
        f"{line}  {text}".rstrip() for line, text in zip(lines, ["overrides", *typed], strict=True)
    ]
    return "\n".join(wide + ([f"all with {_joined(sorted(common))}"] if common else []))


def _joined(overrides: Iterable[str]) -> str:
    return clipped(one_line(" ".join(overrides)))


def _csv(runs: Sequence[Run], keys: Sequence[str]) -> str:
    own = ("run", "status", "age", "monitor", "best", "seconds", "overrides")
    columns = [c for c in dict.fromkeys([*_tests(runs), *keys]) if c not in own]
    rows = [[*own[:-1], *columns, own[-1]]]
    for one in runs:
        figures = [one.best, one.value("seconds"), *(one.value(column) for column in columns)]
        known = [str(one.path), one.status, f"{one.age:.0f}", one.monitor, *figures]
        rows.append([*("" if v is None else str(v) for v in known), " ".join(one.overrides)])
    return as_csv(rows)


def _json(runs: Sequence[Run], keys: Sequence[str]) -> str:
    return json.dumps([_record(one, keys) for one in runs], indent=1)


def _record(one: Run, keys: Sequence[str]) -> dict[str, Any]:
    """Names as in ``result.json``; what is no number (nan, inf) is null, as JSON has none."""
    began = None if one.began is None else datetime.fromtimestamp(one.began, UTC).isoformat()
    return {
        "run": str(one.path),
        "status": one.status,
        "age": round(one.age),
        "began": began,
        "seconds": _finite(one.value("seconds")),
        "monitor": one.monitor,
        "best": _finite(one.best),
        "metrics": {name: _finite(value) for name, value in one.metrics.items()},
        "values": {key: _finite(one.value(key)) for key in keys},
        "overrides": list(one.overrides),
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
