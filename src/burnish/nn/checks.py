"""Checks of configured numbers, each answering with a sentence or with nothing.

A constructor collects the answers and reports them together::

    report(not_positive("model.hidden", hidden), not_fraction("model.dropout", dropout))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from burnish.errors import ConfigError


def report(*problems: str | None) -> None:
    """Raise one error that lists every problem; do nothing where there is none.

    Raises:
        ConfigError: with one line a problem.
    """
    found = [problem for problem in problems if problem]
    if found:
        raise ConfigError(found)


def not_positive(key: str, value: object) -> str | None:
    """A sentence unless ``value`` is a whole number from 1 upwards."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return None
    return f"{key}: must be a whole number of at least 1, found {value!r}"


def not_all_positive(key: str, values: object) -> str | None:
    """A sentence unless ``values`` is a list, maybe empty, of whole numbers from 1 upwards."""
    if isinstance(values, Sequence) and not any(not_positive(key, value) for value in values):
        return None
    return f"{key}: must be a list of whole numbers of at least 1, found {values!r}"


def not_between(key: str, value: object, low: float, high: float) -> str | None:
    """A sentence unless ``value`` is a finite number in the closed range [low, high]."""
    if _is_number(value) and low <= value <= high and math.isfinite(value):
        return None
    limits = f"at least {low:g}" if math.isinf(high) else f"between {low:g} and {high:g}"
    return f"{key}: must be a number {limits}, found {value!r}"


def not_fraction(key: str, value: object) -> str | None:
    """A sentence unless ``value`` is a number in [0, 1): a share that leaves something over."""
    if _is_number(value) and 0 <= value < 1:
        return None
    return f"{key}: must be a number from 0 to below 1, found {value!r}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
