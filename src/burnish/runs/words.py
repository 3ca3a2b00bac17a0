"""Figures and anybody's texts as a person reads them in one line of a terminal."""

from __future__ import annotations

import math
from typing import Any

from burnish.runs.console import printable

WIDEST = 72  # characters of a value or of a run's overrides in a line


def number(value: Any) -> float | None:
    """The value as a float, if it is a number or the text of one; no truth value is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if isinstance(value, int) and value > 0 else -math.inf
    except ValueError:
        return None


def one_line(value: Any) -> str:
    """Anybody's value as text in one line that every terminal and file takes."""
    try:
        text = str(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists without end
        return "(cannot be said)"
    text = text.encode(errors="backslashreplace").decode()  # half a character, as JSON may hold
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def cell(value: Any, form: str = ".4f") -> str:
    """A value of a table; ``-`` for none.

    Args:
        value: a figure or a text.
        form: of a float.
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        # A learning rate of 0.00003 must not become 0.0000, nor 1e300 a line of its digits.
        return f"{value:g}" if 0 < abs(value) < 0.001 or abs(value) >= 1e9 else f"{value:{form}}"
    return clipped(one_line(value))


def clipped(text: str, most: int = WIDEST) -> str:
    """At most so many characters of it."""
    return text if len(text) <= most else text[: most - 3] + "..."


def span(seconds: float) -> str:
    """``41 s``, ``7 min``, ``3 h`` or ``12 d``."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """``1.2 MB`` for so many bytes, in powers of 1,000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
