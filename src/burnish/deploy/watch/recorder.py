"""Writes predictions to the log beside the service: no request waits for it."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread

from burnish.data.decode import Pixels
from burnish.deploy.preprocess import Preprocess
from burnish.deploy.watch.held import HeldLog
from burnish.deploy.watch.log import MEGABYTE, Row, append, overgrown
from burnish.deploy.watch.statistics import DIGITS, content, digest, statistics

COMMIT_SECONDS = 0.2  # what a killed process loses at most, and how late feedback finds its row
COMMIT_ROWS = 500
WAITING_BYTES = 64 * MEGABYTE  # that inputs may take before they are written
ROW_BYTES = 1000  # of memory, for all but the input
MOST_ROWS = 1_000_000
STOP_SECONDS = 10.0
INPUT_SHARE = 0.01  # of the log, that an input may take: larger ones would drive out all others
BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

logger = logging.getLogger("burnish.service")

# What becomes of a prediction that was to be logged.
WRITTEN, DROPPED, FAILED = "written", "dropped", "failed"


@dataclass(frozen=True)
class Answered:
    """A prediction that was given to somebody.

    Args:
        id: of the item, as it was answered.
        model: version of the bundle.
        preprocess: of the net.
        item: what ``preprocess.read`` returned; must not be changed afterwards.
        label: class predicted.
        confidence: its probability.
        milliseconds: that the answer took.
        time: seconds since 1970.
    """

    id: str
    model: str
    preprocess: Preprocess
    item: Pixels | str
    label: str
    confidence: float
    milliseconds: float
    time: float

    @property
    def held_bytes(self) -> int:
        """Memory while it waits."""
        size = 4 * len(self.item) if isinstance(self.item, str) else self.item.nbytes
        return ROW_BYTES + size


class Recorder:
    """One of each process: :meth:`record` queues, a thread computes statistics and writes.

    What cannot be written, because the queue or the disk is full or the folder is gone, is counted
    and forgotten: the service goes on. While others lock the log, predictions wait in the queue.

    Args:
        path: of the log; many processes may share it.
        max_mb: that the file may have, in megabytes of 10^6 bytes, at least 1.
        inputs: whether pixels and texts themselves are kept as well.
        max_rows: that the log may hold.
        count: told what became of how many: ``written``, ``dropped`` (the queue was full,
            or the write-ahead file too large) or ``failed`` (they could not be written).

    Attributes:
        counts: the same, of this process.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_mb: float = 100.0,
        inputs: bool = False,
        max_rows: int = MOST_ROWS,
        count: Callable[[str, int], None] = lambda outcome, number: None,
    ) -> None:
        self.path = path
        self.counts: Counter[str] = Counter()
        self._tell = count
        self._most_bytes = int(max_mb * MEGABYTE)
        self._most_rows = max_rows
        self._inputs = inputs
        self._waiting: SimpleQueue[Answered | None] = SimpleQueue()
        self._waiting_bytes = 0
        self._lock = Lock()
        self._log = HeldLog(path)
        self._silent = False
        self._stopping = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = Thread(target=self._work, name="prediction-log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and end the thread."""
        if self._thread is not None:
            self._stopping.set()
            self._waiting.put(None)
            self._thread.join(STOP_SECONDS)
            self._thread = None

    def record(self, answered: Answered) -> None:
        """Queue a prediction; never waits and never raises."""
        size = answered.held_bytes
        with self._lock:
            fits = self._waiting_bytes + size <= WAITING_BYTES
            self._waiting_bytes += size * fits
        if fits:
            self._waiting.put(answered)
        else:
            self._count(DROPPED, 1)

    def _work(self) -> None:
        going = True
        while going:
            some, going = self._gathered()
            if some:
                self._write(some)
                with self._lock:
                    self._waiting_bytes -= sum(answered.held_bytes for answered in some)
        self._log.close()

    def _gathered(self) -> tuple[list[Answered], bool]:
        """Predictions for one commit; False at the end."""
        some: list[Answered] = []
        size = 0
        until = None
        while len(some) < COMMIT_ROWS and size < self._most_bytes / 20:
            try:
                left = None if until is None else max(0.0, until - time.monotonic())
                answered = self._waiting.get(timeout=left)
            except Empty:
                break
            if answered is None:
                return some, False
            some.append(answered)
            size += answered.held_bytes
            until = until or time.monotonic() + COMMIT_SECONDS
        return some, True

    def _write(self, some: Sequence[Answered]) -> None:
        try:
            outcome = self._appended([self._row(answered) for answered in some])
        except Exception as error:  # whatever it is, the service goes on
            self._say(f"cannot be written ({error}); predictions go unlogged")
            outcome = FAILED
            self._log.close()  # the file may be another when it works again
        self._silent &= outcome != WRITTEN
        self._count(outcome, len(some))

    def _appended(self, rows: Sequence[Row]) -> str:
        """Write rows, however long others lock the log; more of them wait meanwhile."""
        while True:
            try:
                connection = self._log.connection()
                if overgrown(connection, self.path, self._most_bytes):
                    self._say("is being read all the time and grows; predictions go unlogged")
                    return DROPPED
                append(connection, rows, self._most_rows, self._most_bytes)
            except sqlite3.OperationalError as error:
                # The low byte of SQLite's code is its kind.
                if self._stopping.is_set() or error.sqlite_errorcode & 0xFF not in BUSY:
                    raise
                self._say("is locked by somebody else; predictions wait for it")
            else:
                return WRITTEN

    def _say(self, problem: str) -> None:
        """Once until it works again."""
        if not self._silent:
            logger.warning("log: %s %s", self.path, problem)
        self._silent = True

    def _count(self, outcome: str, number: int) -> None:
        self.counts[outcome] += number
        self._tell(outcome, number)

    def _row(self, answered: Answered) -> Row:
        item = answered.item
        kept = content(item) if self._inputs else None
        if kept is not None and len(kept) > INPUT_SHARE * self._most_bytes:
            kept = None
        found = statistics(answered.preprocess, item)
        return Row(
            answered.id, answered.time, answered.model, digest(item), answered.label,
            answered.confidence, answered.milliseconds,
            {name: round(value, DIGITS) for name, value in found.items()}, kept,
        )  # fmt: skip
