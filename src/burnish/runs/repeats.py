"""What the runs of a multirun say together: mean and deviation over seeds and folds."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from burnish.errors import RunError
from burnish.runs.console import open_log, say, short, table
from burnish.runs.folder import write_atomically
from burnish.runs.grouping import repeats_table
from burnish.runs.listing import Run, read

BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class RepeatsTable(Callback):
    """Hydra callback: prints the table at the end of a multirun and keeps it as summary.csv."""

    def on_multirun_end(self, config: Any, **kwargs: Any) -> None:
        """Read what the jobs left; a sweeper with an objective of its own reports by itself."""
        if config.hydra.sweeper._target_ != BASIC_SWEEPER:
            return
        where = Path(config.hydra.sweep.dir).absolute()
        folders = sorted(
            (path.parent for path in where.glob("*/overrides.yaml")), key=lambda f: _number(f.name)
        )
        if len(folders) < 2:
            return
        rows = repeats_table(list(_runs(folders)))
        written = io.StringIO()
        csv.writer(written).writerows(rows)
        write_atomically(where / "summary.csv", written.getvalue())
        open_log(None)
        say(f"\nmean ± standard deviation over {len(folders)} runs, {short(where)}/summary.csv")
        say(table(rows))


def _runs(folders: Sequence[Path]) -> Iterator[Run]:
    for folder in folders:
        with suppress(RunError):  # a job that was killed before it wrote anything
            yield read(folder)


def _number(name: str) -> tuple[int, str]:
    return (int(name), "") if name.isdecimal() else (10**9, name)
