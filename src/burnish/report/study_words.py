"""How trials, values and names are written, on the page and in the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from optuna.trial import FrozenTrial

from burnish.runs.console import printable

MOST_OF_A_REASON = 200  # characters


def reason(trial: FrozenTrial) -> str:
    """The first line of a failed trial's error, shortened."""
    lines = str(trial.user_attrs.get("error") or "").strip().splitlines()
    text = one_line(lines[0]) if lines else "no reason was recorded"
    return text if len(text) <= MOST_OF_A_REASON else text[: MOST_OF_A_REASON - 1] + "…"


def one_line(text: object) -> str:
    """A text without line breaks, runs of blanks and control characters."""
    return printable(" ".join(str(text).split()))


def whole(value: Any) -> int | None:
    """An attribute as a whole number; None if it is none."""
    return value if type(value) is int else None


def shown(value: Any) -> str:
    """A parameter's value as a configuration has it, fractions to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else category(value)


def category(value: Any) -> str:
    """A choice as a configuration has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return one_line(value)


def number(value: float) -> str:
    """A metric's value: whole numbers with separated thousands, others to five digits."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.5g}"


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each dotted name by the fewest last parts, not a bare index, that no other name ends in."""
    parts = {name: name.split(".") for name in names}

    def ending(name: str, length: int) -> str:
        return ".".join(parts[name][-length:])

    short = {}
    for name in names:
        lengths = range(1 + parts[name][-1].isdecimal(), len(parts[name]) + 1)
        alone = (n for n in lengths if [ending(o, n) for o in names].count(ending(name, n)) == 1)
        short[name] = ending(name, next(alone, len(parts[name])))
    return short
