"""The runs that a verb of ``burnish runs`` was asked for: ``--root`` and ``--where``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from burnish.errors import ConfigError
from burnish.runs.conditions import conditions, filtered
from burnish.runs.listing import Run, find
from burnish.runs.words import one_line

SKIPPED = 3  # folders named


def add_where(parser: argparse.ArgumentParser) -> None:
    """The option ``--where``."""
    parser.add_argument(
        "--where", nargs="+", action="extend", default=[], metavar="CONDITION",
        help="only runs that meet all, like model=mlp 'test/accuracy>0.9'",
    )  # fmt: skip


def found(options: argparse.Namespace) -> list[Run]:
    """The runs asked for; folders that are none are told of.

    Raises:
        ConfigError: if a condition is none, or no run has its key.
        RunError: if the root is no folder.
    """
    wanted = conditions(options.where)
    runs, skipped = find(Path(options.root))
    tell_skipped(skipped)
    return filtered(runs, wanted)


def tell_skipped(skipped: Sequence[str]) -> None:
    """A word on stderr for each of the first, and a count of the others."""
    for line in skipped[:SKIPPED]:
        print(one_line(f"skipped {line}"), file=sys.stderr)
    if (rest := len(skipped) - SKIPPED) > 0:
        print(f"skipped {rest:,} more", file=sys.stderr)


def none_found(options: argparse.Namespace) -> str:
    """Why there is nothing to see."""
    if options.where:
        return f"no such run below {one_line(options.root)}"
    return f"no run below {one_line(options.root)} yet"


def refuse_below(least: int, value: int, option: str) -> None:
    """Raises: ConfigError: if the option's value is smaller."""
    if value < least:
        raise ConfigError(f"{option}: must be at least {least}, found {value}")
