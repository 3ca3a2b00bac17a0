"""What a check found: said on the terminal, drawn on a page, kept as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # verdicts are read where nothing is drawn
    from burnish.report.figures import Drawn

Status = Literal["ok", "note", "broken"]
Row = tuple[str | int, ...]


@dataclass(frozen=True)
class Verdict:
    """The outcome of one check.

    Args:
        check: its name, a word or three, the same in every run: ``initial loss``.
        status: ``ok``; ``note``: worth a person's eye; ``broken``: training would not work.
        figure: what was measured, in one line: ``2.31, ln(10) is 2.30``.
        advice: what to do about it; "" if nothing.
        values: the figures as plain values, for ``diagnosis.json``.
        rows: of a table for the page, its heading first; empty for none.
        drawing: for the page.
    """

    check: str
    status: Status
    figure: str
    advice: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    drawing: Drawn | None = None


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """1 if anything is broken, else 0."""
    return int(any(verdict.status == "broken" for verdict in verdicts))
