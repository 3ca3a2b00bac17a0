"""A log held open for long, whose file may be moved or deleted meanwhile."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from burnish.deploy.watch.log import open_log

logger = logging.getLogger("burnish.service")


class HeldLog:
    """The connection of one process to a log; opened anew when its path leads elsewhere.

    SQLite goes on writing to a file that was moved or deleted, and nobody would find it.

    Args:
        path: of the log; made if there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._left: list[sqlite3.Connection] = []

    def connection(self) -> sqlite3.Connection:
        """To the file that is at the path now.

        Raises:
            sqlite3.Error: if there is none and none can be made.
        """
        if self._connection is not None and _identity(self.path) != self._file:
            logger.warning("log: %s was moved or deleted; a new one begins there", self.path)
            self._leave()
        if self._connection is None:
            with _alone(self.path.parent):
                _clear(self.path)
                self._connection = open_log(self.path)
            self._file = _identity(self.path)
        return self._connection

    def close(self) -> None:
        """Close the file; the next :meth:`connection` opens it again."""
        if self._connection is not None and _identity(self.path) != self._file:
            self._leave()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _leave(self) -> None:
        """Bring what was written into the file, wherever it is, but never close it.

        The last connection to be closed deletes the file's write-ahead log BY NAME: by now that
        may be the one of the new log, which another process has made.
        """
        assert self._connection is not None
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        self._left.append(self._connection)
        self._connection = None


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _clear(path: Path) -> None:
    """What a log that is gone has left beside it belongs to no new one."""
    if not path.exists():
        for ending in ("-wal", "-shm"):
            with suppress(OSError):
                path.with_name(path.name + ending).unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time, so that none clears what another has just made."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # there is no such folder: SQLite says so
        yield
        return
    import fcntl  # not on Windows, where no folder can be opened, and no file in use moved

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
