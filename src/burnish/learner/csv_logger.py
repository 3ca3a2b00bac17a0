"""``metrics.csv``: one row per logged step, readable while the run goes on and after a kill."""

from __future__ import annotations

import csv
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor


class MetricsCSV(Logger):
    """Appends every logged step to ``<folder>/metrics.csv`` and flushes it at once.

    Lightning's CSVLogger rewrites the whole file at each save and deletes it when a run is
    resumed; here rows are appended, a new column rewrites the file once, and a resumed run goes on
    after the rows up to its checkpoint.

    Args:
        folder: the run folder.
        resume_step: rows of later steps are dropped first: the resumed run will log them again.
    """

    def __init__(self, folder: str, resume_step: int | None = None) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"
        self._columns = ["step"]
        self._resume_step = resume_step
        self._opened = False

    @property
    def name(self) -> str:
        """Lightning's name of the logger."""
        return "csv"

    @property
    def version(self) -> str:
        """One file a run: no versions."""
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kw: Any) -> None:
        """Nothing: the run folder holds config.yaml."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float | Tensor], step: int | None = None) -> None:
        """Append a row; values under their logged names, ``step`` in optimizer steps."""
        if not self._opened:
            self._open()
        new = [name for name in metrics if name not in self._columns]
        if new:
            self._rewrite(self._read(), [*self._columns, *new])
        row = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns, restval="").writerow(row)

    def _open(self) -> None:
        self._opened = True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = self._read() if self._resume_step is not None else []
        limit = self._resume_step or 0
        self._rewrite([row for row in rows if int(row["step"]) < limit], self._columns)

    def _read(self) -> list[dict[str, str]]:
        """Whole rows only: a kill may have cut the last one."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [
                row
                for row in reader
                if (row.get("step") or "").isdigit() and None not in row.values()
            ]
            self._columns = list(reader.fieldnames or ["step"])
        return rows

    def _rewrite(self, rows: list[dict[str, str]], columns: list[str]) -> None:
        self._columns = columns
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(self.path)
