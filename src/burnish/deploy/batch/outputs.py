"""Predictions as JSON lines, CSV or a table, batch by batch.

Shapes: N items of a batch, K classes.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from burnish.deploy.batch.items import Item
from burnish.runs.console import table

# JSON leaves these as they are: control characters would reach the terminal, halves of surrogate
# pairs (bytes of a path that are not UTF-8) cannot be encoded.
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
LONGEST = 40  # letters of a text in a table


class Answer(NamedTuple):
    """What the net says of one item.

    Args:
        item: with its error if there is no answer.
        probabilities: float32 ``[K]``.
    """

    item: Item
    probabilities: NDArray[np.float32] | None


# Batches of answers to what is written of them; None: what comes before the first.
Writer = Callable[[Sequence[Answer] | None], str]


class JsonLines:
    """One JSON object a line: input, line, class, confidence, top, probabilities; or error.

    Args:
        names: of the K classes.
        top: how many classes are listed.
        probabilities: whether those of all classes are.
    """

    def __init__(self, names: Sequence[str], top: int, probabilities: bool) -> None:
        self._names = [json.dumps(name, ensure_ascii=False) for name in names]
        self._top = top
        # One format for a whole row: five times as fast as rounding numbers one by one.
        row = ", ".join(f"{name.replace('%', '%%')}: %.6g" for name in self._names)
        self._row = f', "probabilities": {{{row}}}' if probabilities else None

    def __call__(self, answers: Sequence[Answer] | None) -> str:
        """Their lines."""
        return "".join(self._line(answer) for answer in answers or ())

    def _line(self, answer: Answer) -> str:
        item, row = answer
        line = f'{{"input": {json.dumps(item.name, ensure_ascii=False)}'
        if item.line is not None:
            line += f', "line": {item.line}'
        if row is None:
            line += f', "error": {json.dumps(item.error, ensure_ascii=False)}}}\n'
        else:
            line += self._said(row) + "}\n"
        return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)

    def _said(self, row: NDArray[np.float32]) -> str:
        values = row.tolist()
        best = _order(values, max(1, self._top))
        first = best[0]
        text = f', "class": {self._names[first]}, "confidence": {values[first]:.6g}'
        if self._top:
            pairs = ", ".join(f"[{self._names[i]}, {values[i]:.6g}]" for i in best)
            text += f', "top": [{pairs}]'
        return text if self._row is None else text + self._row % tuple(values)


class Csv:
    """A table for other programs: a column for each of the likeliest classes, and for all.

    Args:
        names: of the K classes.
        top: how many classes are listed.
        probabilities: whether there is a column for each class.
    """

    def __init__(self, names: Sequence[str], top: int, probabilities: bool) -> None:
        self._names, self._top = names, max(1, min(top, len(names)))
        self._all = probabilities

    def __call__(self, answers: Sequence[Answer] | None) -> str:
        """Their rows; without any the header."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        if answers is None:
            more = [f"{word}_{k}" for k in range(2, self._top + 1) for word in _FIRST]
            every = [f"probability of {name}" for name in self._names] if self._all else []
            writer.writerow(["input", "line", *_FIRST, *more, *every, "error"])
        writer.writerows(map(self._cells, answers or ()))
        return buffer.getvalue()

    def _cells(self, answer: Answer) -> list[Any]:
        item, row = answer
        width = 2 * self._top + len(self._names) * self._all
        if row is None:
            return [item.name, item.line, *[""] * width, item.error]
        values = row.tolist()
        top = [x for i in _order(values, self._top) for x in (self._names[i], f"{values[i]:.6g}")]
        every = [f"{value:.6g}" for value in values] if self._all else []
        return [item.name, item.line, *top, *every, ""]


_FIRST = ("class", "confidence")


class Table:
    """Aligned columns for a person; each batch in columns of its own width.

    Args:
        names: of the K classes.
        top: how many classes are listed.
    """

    def __init__(self, names: Sequence[str], top: int) -> None:
        self._names, self._top = names, max(1, min(top, len(names)))

    def __call__(self, answers: Sequence[Answer] | None) -> str:
        """Their rows, with a heading."""
        if not answers:
            return ""
        heading = ["input", "class", "confidence", *["next"] * (self._top > 1)]
        return table([heading, *map(self._cells, answers)], indent=0) + "\n"

    def _cells(self, answer: Answer) -> list[str]:
        item, row = answer
        shown = _shortened(item.name)
        if row is None:
            cells = [shown, "", "", *[""] * (self._top > 1)]
            cells[1] = f"error: {item.error}"[: 2 * LONGEST]
            return cells
        values = row.tolist()
        first, *rest = _order(values, self._top)
        others = ", ".join(f"{self._names[i]} {values[i]:.1%}" for i in rest)
        return [
            shown, self._names[first], f"{values[first]:.1%}", *[others] * (self._top > 1)
        ]  # fmt: skip


FORMATS = ("jsonl", "csv", "table")


def writer(format: str, names: Sequence[str], top: int, probabilities: bool) -> Writer:
    """What writes a format of :data:`FORMATS`."""
    if format == "table":
        return Table(names, top)
    return (JsonLines if format == "jsonl" else Csv)(names, top, probabilities)


def _order(values: Sequence[float], top: int) -> list[int]:
    """Classes, the likeliest first."""
    # Not NumPy's: it lets go of the interpreter, and the reading threads are slow to return it.
    return sorted(range(len(values)), key=values.__getitem__, reverse=True)[:top]


def _shortened(text: str) -> str:
    """Both ends of a long text: of a path the last part tells most."""
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= LONGEST else f"{text[:12]}…{text[13 - LONGEST :]}"
