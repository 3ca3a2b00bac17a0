"""Rows and anybody's texts as Markdown and as CSV, where they are text and nothing else."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence

from burnish.runs.words import one_line

# Within a word an underscore is one to Markdown too, and stays readable: simple_cnn.
_MARKUP = re.compile(r"[\\|`*\[\]~]|(?<![^\W_])_|_(?![^\W_])")


def escaped(text: object) -> str:
    """A text of Markdown that reads as it was, in one line; not at the beginning of a line."""
    return _MARKUP.sub(r"\\\g<0>", one_line(text).replace("&", "&amp;").replace("<", "&lt;"))


def code(text: object) -> str:
    """The text as code within a line: its fence is longer than any backticks in it."""
    line = one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line[:1] == "`" or line[-1:] == "`" else ""
    return f"{fence}{space}{line}{space}{fence}"


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The rows as a table, the heading first; the first column to the left, the rest right."""
    cells = [[escaped(cell) for cell in row] for row in rows]
    rule = [":--", *("--:" for _ in cells[0][1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:]))


def as_csv(rows: Sequence[Sequence[str]]) -> str:
    """The rows as CSV; no cell is a formula to a spreadsheet."""
    written = io.StringIO()
    safe = [
        [f"'{one_line(c)}" if c[:1] in ("=", "@") else one_line(c) for c in row] for row in rows
    ]
    csv.writer(written, lineterminator="\n").writerows(safe)
    return written.getvalue().rstrip("\n")
