"""Runs beside each other: what differs between two, and mean and deviation over repeats."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from burnish.errors import RunError
from burnish.runs.folder import RunFolder
from burnish.runs.listing import Run, one_line, read, read_config, read_provenance
from burnish.runs.repeats import REPEATS, SHOWN, Group, summary

# Of every run its own: no difference between experiments.
ITS_OWN = ("pid", "started", "status", "exception")


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values; lists are values."""
    if not isinstance(node, dict) or (prefix and not node):
        return {prefix: node}
    found: dict[str, Any] = {}
    for name, value in node.items():
        found |= flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Key and both values where they differ, in the order of the keys; ``-`` for a missing one."""
    left, right = flat(dict(a)), flat(dict(b))
    keys = dict.fromkeys((*left, *right))
    return [
        (key, left.get(key, "-"), right.get(key, "-"))
        for key in keys
        if key not in left or key not in right or not _same(left[key], right[key])
    ]


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b or (a != a and b != b))  # nan is like nan


def compared(a: RunFolder, b: RunFolder) -> dict[str, list[tuple[str, Any, Any]]]:
    """Differences of two runs by what they are of: ``config``, ``provenance``, ``result``.

    Raises:
        RunError: if a config or a result cannot be read.
    """
    results = [{k: v for k, v in read(f.path).result.items() if k not in ITS_OWN} for f in (a, b)]
    origins = [
        {k: v for k, v in read_provenance(f.path).items() if k not in ITS_OWN} for f in (a, b)
    ]
    configs = [read_config(folder.path) for folder in (a, b)]
    pairs = {"config": configs, "provenance": origins, "result": results}
    try:
        return {name: differences(*pair) for name, pair in pairs.items()}
    except RecursionError as error:
        raise RunError(f"{a.path} or {b.path}: nested deeper than any run writes") from error


def repeats_table(runs: Sequence[Run], metrics: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Rows, the heading first: what was typed, n of how many runs, mean ± standard deviation.

    Runs that differ by seed or fold only make one row; only finished ones give figures.

    Args:
        runs: at least one.
        metrics: names of columns; empty for the monitored one and the usual ones of the test.
    """
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        key = tuple(o for o in run.overrides if o.lstrip("+~").partition("=")[0] not in REPEATS)
        group = groups.setdefault(key, Group(key))
        group.runs += 1
        if run.status == "finished":
            for name, value in _figures(run, metrics):
                group.figures.setdefault(name, []).append(value)
    return summary(list(groups.values()))


def _figures(run: Run, metrics: Sequence[str]) -> list[tuple[str, float]]:
    if metrics:
        found = [(name, run.best if name == "best" else run.metrics.get(name)) for name in metrics]
    else:
        found = [(f"best {run.monitor}", run.best if run.monitor else None)]
        found += [(name, run.metrics.get(name)) for name in SHOWN]
    return [(name, value) for name, value in found if value is not None]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a table of Markdown; their texts are text there, no markup."""
    cells = [[_markdown_cell(cell) for cell in row] for row in rows]
    rule = [":--", *("--:" for _ in cells[0][1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:]))


def _markdown_cell(text: str) -> str:
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;")
    return "".join(f"\\{c}" if c in "\\|`*[]" else c for c in line)


def as_csv(rows: Sequence[Sequence[str]]) -> str:
    """The rows as CSV; no cell is a formula to a spreadsheet."""
    written = io.StringIO()
    safe = [
        [f"'{one_line(c)}" if c[:1] in ("=", "@") else one_line(c) for c in row] for row in rows
    ]
    csv.writer(written, lineterminator="\n").writerows(safe)
    return written.getvalue().rstrip("\n")
