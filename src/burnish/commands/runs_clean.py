"""runs clean: remove checkpoints of failed and dominated runs, if told to."""

from __future__ import annotations

import argparse

from burnish.commands.runs_found import add_where, found, refuse_below, tell_skipped
from burnish.runs.cleaning import removable
from burnish.runs.console import short, table
from burnish.runs.words import cell, one_line, size

HELP = "remove checkpoints of failed and dominated runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``runs clean``."""
    add_where(parser)
    parser.add_argument("--keep", type=int, default=3, metavar="N",
        help="the best N of each data set keep their checkpoints (default 3)")  # fmt: skip
    parser.add_argument("--yes", action="store_true", help="remove; without it nothing is touched")


def run(options: argparse.Namespace) -> int:
    """Say what would go, or remove it."""
    refuse_below(1, options.keep, "--keep")
    going, skipped = removable(found(options), options.keep)
    tell_skipped(skipped)
    if not going:
        print("nothing to remove")
        return 0
    rows = [[one_line(short(r.run.path)), r.why, cell(r.run.best), size(r.size)] for r in going]
    print(table([["run", "why", "best", "checkpoints"], *rows], indent=0))
    if options.yes:
        for checkpoints in going:
            checkpoints.remove()
    total = sum(r.size for r in going)
    said = "removed" if options.yes else "would remove"
    files = sum(len(r.files) for r in going)
    print(f"{said} {files:,} checkpoints of {len(going):,} runs: {total:,} bytes ({size(total)})")
    if not options.yes:
        print("nothing was touched: --yes removes them")
    return 0
