"""A diagnosis on a page and as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from burnish.diagnosis.verdict import Row, Verdict
from burnish.report.page import Noted, Page, chart

LIMIT = 200  # rows of a table that a page shows
BETWEEN_NUMBERS = re.compile(r"(?<=\d) x (?=\d)")


def summary(verdicts: Sequence[Verdict]) -> str:
    """``2 broken, 1 note, 9 ok``."""
    counts = [(status, sum(v.status == status for v in verdicts)) for status in
              ("broken", "note", "ok")]  # fmt: skip
    said = [f"{n} {s}{'s' if s == 'note' and n > 1 else ''}" for s, n in counts if n]
    return ", ".join(said)


def as_json(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """What ``diagnosis.json`` holds; numbers that JSON has no word for become null."""
    return {
        "summary": summary(verdicts),
        "checks": [
            {
                "check": verdict.check,
                "status": verdict.status,
                "figure": verdict.figure,
                "advice": verdict.advice,
                "values": _finite(verdict.values),
            }
            for verdict in verdicts
        ],
    }


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(title: str, lead: str, verdicts: Sequence[Verdict]) -> Page:
    """What to do, a table of the verdicts, then a section a check with its figures."""
    made = Page(title, "Diagnosis", f"{summary(verdicts)}. {lead}".strip())
    # "broken" comes before "note" in the alphabet, too.
    if odd := sorted((v for v in verdicts if v.status != "ok"), key=lambda v: v.status):
        texts = [f"{v.status}: {v.check}: {v.advice or v.figure}" for v in odd]
        made.points(texts, kind="findings")
    found = [(v.status, v.check, Noted(v.figure, v.advice)) for v in verdicts]
    made.table(("", "check", "what was found"), found)
    for verdict in verdicts:
        _section(made, verdict)
    return made


def _section(made: Page, verdict: Verdict) -> None:
    made.section(verdict.check, f"{verdict.status}: {verdict.figure}")
    if verdict.advice:
        made.points([verdict.advice], kind="findings" if verdict.status != "ok" else "")
    if verdict.drawing is not None:
        name = verdict.check.replace(" ", "-")
        made.pictures([chart(verdict.drawing, name, f"{verdict.check}: {verdict.figure}")])
    if len(verdict.rows) > 1:
        header, *rows = verdict.rows
        more = len(rows) - LIMIT
        caption = f"The first {LIMIT}; {more} more are not shown." if more > 0 else ""
        made.table([str(name) for name in header], map(_unbroken, rows[:LIMIT]), caption)


def _unbroken(row: Row) -> list[str | int]:
    """A shape, ``16 x 8 x 8``, stays on one line."""
    return [BETWEEN_NUMBERS.sub("\u00a0x\u00a0", c) if isinstance(c, str) else c for c in row]
