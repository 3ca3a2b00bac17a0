"""Verdicts on the terminal: a line as soon as one is known."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from burnish.diagnosis.page import summary
from burnish.diagnosis.verdict import Verdict
from burnish.runs.console import printable, short

COLOURS = {"ok": 32, "note": 33, "broken": 31}  # ANSI: green, yellow, red
STATUS, NAME = 8, 15  # columns


def say(verdict: Verdict) -> None:
    """Status, check and figure; the advice on a line of its own."""
    status = f"{verdict.status:<{STATUS}}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        status = f"\033[{COLOURS[verdict.status]}m{status}\033[0m"
    print(status + printable(f"{verdict.check:<{NAME}}{verdict.figure}"))
    if verdict.advice:
        print(" " * (STATUS + NAME) + printable(verdict.advice))
    sys.stdout.flush()


def end(verdicts: Sequence[Verdict], page: Path, seconds: float) -> None:
    """How many of each kind, and where to read more."""
    print(f"\n{summary(verdicts)} in {seconds:.1f} s")
    print(f"report  {short(page)}")
