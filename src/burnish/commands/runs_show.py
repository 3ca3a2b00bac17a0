"""runs show: all that one run says of itself."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from burnish.runs.console import short, table
from burnish.runs.folder import RunFolder
from burnish.runs.listing import Run, pick, read
from burnish.runs.origin import commit_of, repeat_command, samples_of
from burnish.runs.reading import read_provenance
from burnish.runs.words import cell, one_line, size, span

HELP = "all that one run says of itself"

Fact = tuple[str, object]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``runs show``."""
    parser.add_argument("run", metavar="RUN")


def run(options: argparse.Namespace) -> int:
    """Show it."""
    folder = pick(Path(options.root), options.run)
    one = read(folder.path)
    for name, text in _facts(one, folder):
        if text:
            print(f"{name:<12}{one_line(text)}")
    if one.metrics:
        print("\nmetrics")
        print(table([[one_line(name), cell(value)] for name, value in one.metrics.items()]))
    return 0


def _facts(one: Run, folder: RunFolder) -> Iterator[Fact]:
    origin = read_provenance(folder.path)
    status, known = one.fate
    yield "run", short(one.path)
    yield "status", status + (f": {known}" if known else "")
    yield "began", one.began and datetime.fromtimestamp(one.began, UTC).isoformat(" ", "seconds")
    yield "heard of", f"{span(one.age)} ago"
    yield "exception", one.result.get("exception")
    yield "best", _best(one)
    for name in ("seconds", "epochs", "steps"):
        if (number := one.value(name)) is not None:
            yield name, cell(number, ".6g")
    yield "data", samples_of(origin)
    yield "commit", commit_of(origin)
    yield "checkpoints", _checkpoints(folder)
    yield "repeat", repeat_command(one, origin)


def _best(one: Run) -> str:
    if one.best is None:
        return ""
    epoch = "" if one.best_epoch is None else f" in epoch {one.best_epoch}"
    return f"{one.monitor} {cell(one.best)}{epoch}"


def _checkpoints(folder: RunFolder) -> str:
    found = sorted(folder.checkpoints.glob("*.ckpt"))
    return ", ".join(f"{file.name} {size(file.stat().st_size)}" for file in found)
