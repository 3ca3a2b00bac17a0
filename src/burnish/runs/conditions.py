"""Runs filtered and sorted by what was typed: ``model=mlp``, ``test/accuracy>0.9``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from burnish.errors import ConfigError
from burnish.runs.listing import FIELDS, Run
from burnish.runs.words import number

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
    "=": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_CONDITION = re.compile(r"([^=<>!\s]+)\s*(==|!=|>=|<=|=|>|<)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """``model=mlp`` or ``test/accuracy>0.9``.

    Args:
        key: see :meth:`Run.value`.
        sign: ``=``, ``==``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        value: to compare with: as a number if both are, as a name otherwise.
    """

    key: str
    sign: str
    value: str

    def holds(self, run: Run) -> bool:
        """Whether the run meets it; a run without the key meets ``!=`` alone."""
        found = run.value(self.key)
        if found is None:
            return self.sign == "!="
        numbers = number(found), number(self.value)
        if None not in numbers:
            return _COMPARE[self.sign](*numbers)
        if self.sign not in ("=", "==", "!="):
            return False
        return _COMPARE[self.sign](_name(str(found)), _name(self.value))


def _name(text: str) -> str:
    """``simple_cnn`` and ``SimpleCNN`` name one net: the file's name and the class's."""
    return text.replace("_", "").casefold()


def conditions(texts: Sequence[str]) -> list[Condition]:
    """Conditions as typed.

    Raises:
        ConfigError: if one is none, or compares order with what is no number.
    """
    return [_condition(text) for text in texts]


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"--where: {text!r} is no condition; like 'model=mlp' 'test/loss<0.1'")
    condition = Condition(found[1], found[2], found[3].strip().strip("'\""))
    if condition.sign[0] in "<>" and number(condition.value) is None:
        raise ConfigError(f"--where: {text}: {condition.sign} needs a number")
    return condition


def filtered(runs: Sequence[Run], wanted: Sequence[Condition]) -> list[Run]:
    """Those that meet all conditions.

    Raises:
        ConfigError: if no run has the key of a condition.
    """
    for condition in wanted:
        _refuse_unknown(runs, condition.key, "--where")
    return [run for run in runs if all(condition.holds(run) for condition in wanted)]


def ordered(runs: Sequence[Run], key: str, *, option: str = "--sort") -> list[Run]:
    """Sorted by a key: the better metric first, otherwise the smaller; without it last.

    Raises:
        ConfigError: if no run has the key.
    """
    _refuse_unknown(runs, key, option)
    rising = (key in FIELDS and key != "best") or not any(key in run.metrics for run in runs)
    if key == "best":
        names = {run.monitor for run in runs if run.monitor}
        rising = bool(names) and all(map(lower_is_better, names))
    sign = 1 if rising or lower_is_better(key) else -1

    def rank(run: Run) -> tuple[int, float, str]:
        value = run.value(key)
        figure = number(value)
        if value is None or (figure is not None and math.isnan(figure)):
            return 2, 0.0, ""
        return (0, sign * figure, "") if figure is not None else (1, 0.0, str(value))

    return sorted(runs, key=rank)


def lower_is_better(metric: str) -> bool:
    """Whether the name is that of a loss or an error; other metrics are good if they are high."""
    return re.search(r"loss|error|perplexity", metric) is not None


def _refuse_unknown(runs: Sequence[Run], key: str, option: str) -> None:
    if not runs or any(run.value(key) is not None for run in runs):
        return
    known = {*FIELDS, *(name for run in runs for name in (*run.metrics, *run.typed))}
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "a metric, a key of the config, or one of "
    raise ConfigError(f"{option}: no run has {key}; {hint}{'' if near else ', '.join(FIELDS)}")
