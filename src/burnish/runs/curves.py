"""What a run logged, read back from its ``metrics.csv`` while it goes on or after it ended."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from burnish.errors import RunError

# A million steps logged every 50 leave some 3 MB; more than this is no log of a training.
MOST_BYTES = 64_000_000


class Point(NamedTuple):
    """A logged value.

    Args:
        epoch: it was logged in, counted from 0; for rows that do not say, that of the next row
            which does.
        step: optimizer step that it was logged at, counted from 0.
        value: as logged; may be NaN or infinite.
    """

    epoch: int
    step: int
    value: float


@dataclass(frozen=True)
class Curves(Mapping[str, Sequence[Point]]):
    """Points of every metric under its logged name, steps rising; empty if nothing was logged.

    Args:
        series: name to points.
    """

    series: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> tuple[Point, ...]:
        return self.series[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)

    def epochs(self, name: str) -> tuple[Point, ...]:
        """The last value of each epoch; empty if ``name`` was not logged."""
        points = self.series.get(name, ())
        return tuple({point.epoch: point for point in points}.values())

    @property
    def rate(self) -> tuple[Point, ...]:
        """The learning rate, of the first group of parameters; empty if it was not logged."""
        names = [name for name in self.series if name.startswith(("lr-", "lr/")) or name == "lr"]
        names = [name for name in names if not name.endswith(("-momentum", "-weight_decay"))]
        return self.series[names[0]] if names else ()


def read_curves(run: Path) -> Curves:
    """The curves of a run folder; empty if the run wrote no ``metrics.csv`` (``logger=none``).

    A last line that is still being written, or was cut by a kill, is left out, and so are rows
    without a step and cells that are no numbers. Where steps go back, as when a run was resumed
    from an earlier step, the later rows count.

    Args:
        run: the run folder.

    Raises:
        RunError: if the file cannot be read, is a link, no file or no log, or is larger than a log
            of a training can be.
    """
    path = run / "metrics.csv"
    if not path.exists() and not path.is_symlink():
        return Curves()
    _refuse_what_is_no_log(path)
    try:
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            rows = csv.reader(line for line in file if line.endswith("\n"))
            columns = next(rows, None) or ["step"]
            if "step" not in columns or len({*columns}) < len(columns):
                raise RunError(
                    f"{path}: is no log of a run: line 1 must name the columns, each once, "
                    "step among them"
                )
            return Curves(_series(rows, columns))
    except (OSError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read ({error})") from error


def _refuse_what_is_no_log(path: Path) -> None:
    if path.is_symlink() or not path.is_file():
        raise RunError(f"{path}: is no file; a run folder holds its own metrics")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise RunError(f"{path}: holds {size:,} bytes, at most {MOST_BYTES:,} are read")


def _series(rows: Iterator[Sequence[str]], columns: Sequence[str]) -> dict[str, tuple[Point, ...]]:
    points: dict[str, list[Point]] = {}
    for epoch, step, cells in _in_order(rows, columns):
        for name, value in cells:
            own = points.setdefault(name, [])
            while own and own[-1].step >= step:
                own.pop()
            own.append(Point(epoch, step, value))
    return {name: tuple(points[name]) for name in columns if name in points}


Cells = list[tuple[str, float]]


def _in_order(
    rows: Iterable[Sequence[str]], columns: Sequence[str]
) -> Iterator[tuple[int, int, Cells]]:
    """Epoch, step and values of each row; rows within an epoch wait for the one that ends it."""
    waiting: list[tuple[int, Cells]] = []
    last = -1
    for row in rows:
        cells = {
            name: value
            for name, text in zip(columns, row, strict=False)
            if (value := _number(text)) is not None
        }
        step, epoch = _count(cells.pop("step", None)), _count(cells.pop("epoch", None))
        if step is None or len(row) != len(columns):
            continue
        waiting.append((step, [*cells.items()]))
        if epoch is not None:
            yield from ((epoch, *one) for one in waiting)
            waiting, last = [], epoch
    yield from ((last + 1, *one) for one in waiting)


def _number(text: str) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _count(value: float | None) -> int | None:
    return int(value) if value is not None and math.isfinite(value) and value >= 0 else None
