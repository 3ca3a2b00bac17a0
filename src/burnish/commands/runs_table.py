"""runs table: mean and deviation over the runs of each experiment."""

from __future__ import annotations

import argparse

from burnish.commands.runs_found import add_where, found, none_found
from burnish.runs.console import table
from burnish.runs.grouping import repeats_table
from burnish.runs.tables import as_csv, markdown
from burnish.runs.words import one_line

HELP = "mean ± standard deviation over runs that differ by seed or fold only"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``runs table``."""
    add_where(parser)
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="markdown")
    parser.add_argument("--metric", nargs="+", action="extend", default=[], metavar="KEY",
        help="columns (default: the monitored one, accuracy, F1 and loss of the test)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Print it; exit code 1 if there is no run."""
    runs = sorted(found(options), key=lambda one: one.heard)
    if not runs:
        print(none_found(options))
        return 1
    rows = repeats_table(runs, options.metric)
    written = {"markdown": markdown, "csv": as_csv, "text": table}[options.format]
    print(written([[one_line(cell) for cell in row] for row in rows]))
    return 0
