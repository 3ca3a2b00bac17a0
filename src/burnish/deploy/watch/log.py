"""The prediction log: one SQLite file that several processes write and others read meanwhile.

It is in WAL mode: a process that is killed loses what it had not committed, and the file stays
whole. Its size is bounded: the oldest predictions make room, and SQLite uses their pages again.
The write-ahead file beside it cannot shrink while somebody reads, and is bounded too.
Works without torch.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import ConfigError

VERSION = 1
BUSY_SECONDS = 5.0  # that a writer waits for the others
FORGOTTEN = 0.1  # share of the predictions that makes room at once: making room is not free
FULL = 0.9  # of the limit: pages are never quite full
ROW_BYTES = 500  # of the file, indices included, for all but the input
MEGABYTE = 1_000_000
LEAST_MB = 1  # some 2,000 predictions
AHEAD = 3  # limits that the write-ahead file may take; in use it takes a megabyte or two

SCHEMA = """
CREATE TABLE IF NOT EXISTS predictions (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    time REAL NOT NULL,
    model TEXT NOT NULL,
    input_hash TEXT NOT NULL,
    class TEXT NOT NULL,
    confidence REAL NOT NULL,
    milliseconds REAL NOT NULL,
    statistics TEXT NOT NULL,
    input BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS by_time ON predictions (time);
CREATE INDEX IF NOT EXISTS by_id ON predictions (id);
CREATE TABLE IF NOT EXISTS feedback (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    label TEXT NOT NULL,
    time REAL NOT NULL
) STRICT;
CREATE TRIGGER IF NOT EXISTS forgotten AFTER DELETE ON predictions
BEGIN DELETE FROM feedback WHERE number = OLD.number; END;
"""


@dataclass(frozen=True)
class Row:
    """One prediction.

    Args:
        id: names it; feedback comes with it. Clients may use one twice.
        time: seconds since 1970.
        model: version of the bundle.
        input_hash: of :func:`~burnish.deploy.watch.statistics.digest`.
        label: class predicted.
        confidence: its probability.
        milliseconds: that the answer took.
        statistics: of the input.
        input: pixels or text, if inputs are kept.
    """

    id: str
    time: float
    model: str
    input_hash: str
    label: str
    confidence: float
    milliseconds: float
    statistics: Mapping[str, float]
    input: bytes | None = None


def open_log(
    path: Path, busy_seconds: float = BUSY_SECONDS, make: bool = True
) -> sqlite3.Connection:
    """Open the log for writing.

    Args:
        path: the file; files of SQLite's with the endings ``-wal`` and ``-shm`` lie beside it.
        busy_seconds: to wait for other processes.
        make: it if there is none, for its owner's eyes only: inputs may be in it.

    Raises:
        sqlite3.Error: if it cannot be written, is something else, or is missing.
    """
    if make:  # never opened here if it exists: to close it would undo SQLite's locks
        with suppress(OSError):  # SQLite says what is wrong
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", timeout=busy_seconds, isolation_level=None,
        check_same_thread=False, uri=True,
    )  # fmt: skip
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # A power cut may lose the last commits, a kill nothing; and no commit waits for the disk.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA wal_autocheckpoint = 250")  # 1 MB
        connection.execute(f"PRAGMA journal_size_limit = {MEGABYTE}")
        # In this order, since another process may be making the same log.
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            if tables:
                raise sqlite3.DatabaseError("it is a database of another kind")
            connection.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;"
            )
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def check_log(path: Path, max_mb: float) -> None:
    """Make sure that predictions can be logged there, before a service starts.

    Args:
        path: the file; made if there is none.
        max_mb: that it may have.

    Raises:
        ConfigError: naming the key ``log`` or ``log_max_mb``, and what is wrong.
    """
    if max_mb < LEAST_MB:
        raise ConfigError(f"log_max_mb: must be at least {LEAST_MB}, found {max_mb:g}")
    if not path.parent.is_dir():
        raise ConfigError(f"log: there is no folder {path.parent} for the file {path.name}")
    try:
        with closing(open_log(path)) as connection:
            connection.executescript("BEGIN IMMEDIATE; SELECT 1 FROM predictions; ROLLBACK;")
    except sqlite3.Error as error:
        raise ConfigError(
            f"log: {path} cannot be used as a prediction log ({error}); name a new file"
        ) from error


def append(
    connection: sqlite3.Connection, rows: Sequence[Row], most_rows: int, most_bytes: int
) -> None:
    """Write predictions in one transaction, and forget the oldest if there are too many.

    Args:
        connection: of :func:`open_log`.
        rows: to be written.
        most_rows: that the log may hold.
        most_bytes: that its file may have.

    Raises:
        sqlite3.Error: if the disk is full, the file gone, and the like; nothing was written then.
    """
    page = connection.execute("PRAGMA page_size").fetchone()[0]
    # Holds for this connection; SQLite keeps it above what is there, if a limit was lowered.
    connection.execute(f"PRAGMA max_page_count = {most_bytes // page}")
    connection.execute("BEGIN IMMEDIATE")
    try:
        coming = sum(ROW_BYTES + len(row.input or b"") for row in rows) // page
        _make_room(connection, len(rows), most_rows, coming, most_bytes // page)
        connection.executemany(
            "INSERT INTO predictions (id, time, model, input_hash, class, confidence,"
            " milliseconds, statistics, input) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            map(_cells, rows),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def overgrown(connection: sqlite3.Connection, path: Path, most_bytes: int) -> bool:
    """Whether the write-ahead file is too large, and somebody who reads keeps it so.

    Args:
        connection: of :func:`open_log`.
        path: of the log.
        most_bytes: that the log may have; the write-ahead file :data:`AHEAD` times that.

    Raises:
        sqlite3.Error: as the file system has it.
    """
    try:
        size = path.with_name(path.name + "-wal").stat().st_size
    except OSError:
        return False
    if size <= AHEAD * most_bytes:
        return False
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")  # other writers would have to wait as well
    try:
        return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")


class Ambiguous(Exception):  # noqa: N818
    """Several inputs were predicted under one id."""


def label(connection: sqlite3.Connection, id: str, name: str, time: float) -> bool:
    """Keep what a person says an input was; a later word replaces an earlier one.

    Args:
        connection: of :func:`open_log`.
        id: of the prediction; of several of one input the latest.
        name: the class.
        time: seconds since 1970.

    Returns:
        False if there is no such prediction (any more).

    Raises:
        Ambiguous: if several inputs have the id, which clients may choose: whose is it?
        sqlite3.Error: if it cannot be written.
    """
    inputs = connection.execute(
        "SELECT count(DISTINCT input_hash) FROM predictions WHERE id = ?", (id,)
    ).fetchone()[0]
    if inputs > 1:
        raise Ambiguous
    made = connection.execute(
        "INSERT OR REPLACE INTO feedback SELECT number, id, ?, ? FROM predictions WHERE id = ? "
        "ORDER BY number DESC LIMIT 1",
        (name, time, id),
    )
    return made.rowcount > 0


def _make_room(
    connection: sqlite3.Connection, rows: int, most_rows: int, pages: int, most_pages: int
) -> None:
    """For so many rows and pages to come."""
    while True:
        oldest, newest = connection.execute(
            "SELECT min(number), max(number) FROM predictions"
        ).fetchone()
        if oldest is None:
            return
        held = newest - oldest + 1  # numbers grow by one: nothing need be counted
        if held + rows > most_rows:
            leaving = max(held + rows - most_rows, FORGOTTEN * most_rows)
        elif _used_pages(connection) + pages > FULL * most_pages:
            leaving = FORGOTTEN * held
        else:
            return
        connection.execute("DELETE FROM predictions WHERE number <= ?", (oldest + int(leaving),))


def _used_pages(connection: sqlite3.Connection) -> int:
    pages: int = connection.execute("PRAGMA page_count").fetchone()[0]
    free: int = connection.execute("PRAGMA freelist_count").fetchone()[0]
    return pages - free


def _cells(row: Row) -> tuple[object, ...]:
    return (
        row.id, row.time, row.model, row.input_hash, row.label, row.confidence,
        row.milliseconds, json.dumps(row.statistics), row.input,
    )  # fmt: skip
