"""Reads the prediction log back, while services write it."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.errors import DataError

MOST = 100_000  # of the latest predictions: a look takes seconds, whatever the log holds
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Logged:
    """Predictions of one model in the order they were written, N in all.

    Args:
        times: seconds since 1970, float64 ``[N]``.
        hashes: of the inputs.
        labels: classes predicted.
        truths: what people said the inputs were; None where nobody did.
        values: ``milliseconds``, ``confidence`` and every statistic, float64 ``[N]`` each, NaN
            where a row has none.
        others: predictions of other models in the same time.
        cut: whether there are more than were to be read.
        future: predictions dated later than was to be read; left out.
    """

    times: Values
    hashes: Sequence[str]
    labels: Sequence[str]
    truths: Sequence[str | None]
    values: dict[str, Values]
    others: int
    cut: bool
    future: int = 0

    def __len__(self) -> int:
        return len(self.times)


def read_log(
    path: Path, model: str, since: float = 0.0, most: int = MOST, until: float = math.inf
) -> Logged:
    """The latest predictions of one model, by the order they were written in: clocks go wrong.

    Args:
        path: the log.
        model: version of the bundle.
        since: seconds since 1970; earlier ones are left out.
        most: to be read.
        until: seconds since 1970; later ones are left out.

    Raises:
        DataError: if it is no prediction log.
    """
    if not path.is_file():
        raise DataError(
            f"{path}: there is no such prediction log; burnish serve log=FILE writes one"
        )
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT p.time, input_hash, class, f.label, milliseconds, confidence, statistics "
                "FROM predictions p LEFT JOIN feedback f ON f.number = p.number "
                "WHERE model = ? AND p.time BETWEEN ? AND ? ORDER BY p.number DESC LIMIT ?",
                (model, since, until, most + 1),
            ).fetchall()
            others, future = connection.execute(
                "SELECT count(*) FILTER (WHERE model <> ? AND time <= ?),"
                " count(*) FILTER (WHERE model = ? AND time > ?) FROM predictions WHERE time >= ?",
                (model, until, model, until, since),
            ).fetchone()
        return _columns(rows[:most][::-1], others, len(rows) > most, future)
    except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: cannot be read as a prediction log ({error})") from error


def _columns(rows: Sequence[tuple[Any, ...]], others: int, cut: bool, future: int) -> Logged:
    empty: list[tuple[Any, ...]] = [()] * 7
    times, hashes, labels, truths, milliseconds, confidence, texts = (
        zip(*rows, strict=True) if rows else empty
    )
    found = [json.loads(text) for text in texts]
    names = sorted({name for row in found for name in row})
    columns = {name: [row.get(name) for row in found] for name in names}
    values = {**columns, "milliseconds": milliseconds, "confidence": confidence}
    return Logged(
        _floats(times),
        list(map(str, hashes)),
        list(map(str, labels)),
        truths,
        {name: _floats(column) for name, column in values.items()},
        others,
        cut,
        future,
    )


def _floats(column: Sequence[Any]) -> Values:
    return np.array(column, dtype=np.float64)  # None becomes NaN
