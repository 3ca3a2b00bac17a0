"""runs diff: what differs between two runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from burnish.runs.compare import compared
from burnish.runs.console import short, table
from burnish.runs.listing import pick
from burnish.runs.words import clipped, one_line

HELP = "what differs between two: configuration, provenance, result"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``runs diff``."""
    parser.add_argument("a", metavar="A", help="a run")
    parser.add_argument("b", metavar="B", help="another")


def run(options: argparse.Namespace) -> int:
    """Tell them apart."""
    root = Path(options.root)
    a, b = pick(root, options.a), pick(root, options.b)
    print(one_line(f"A  {short(a.path)}"))
    print(one_line(f"B  {short(b.path)}"))
    differing = {name: rows for name, rows in compared(a, b).items() if rows}
    for name, rows in differing.items():
        print(f"\n{name}")
        cells = [[clipped(one_line(cell)) for cell in row] for row in rows]
        print(table([["", "A", "B"], *cells]))
    if not differing:
        print("\nno difference")
    return 0
