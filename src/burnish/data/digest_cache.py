"""Hashes of files, remembered between runs so that unchanged files are read once.

One SQLite file in the user's cache folder. It only saves time: if it cannot be read or written,
the files are read again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

# Absolute path, inode, size in bytes, modification time in ns. The inode tells a file from another
# that was moved to its place: unpacked archives often give all their files one time.
Key = tuple[bytes, int, int, int]
Result = TypeVar("Result")

# A file that changes again within the clock's tick keeps its time; so the young are not stored.
SETTLED_SECONDS = 2.0
FILE = "digests-1.sqlite"  # the number goes up with every change of the columns
_CREATE = (
    "CREATE TABLE IF NOT EXISTS digests "
    "(path BLOB PRIMARY KEY, inode INTEGER, size INTEGER, mtime_ns INTEGER, digest BLOB) "
    "WITHOUT ROWID"
)


def user_cache() -> Path:
    """``$XDG_CACHE_HOME/burnish``, by default ``~/.cache/burnish``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "burnish"


def digests(paths: Sequence[Path], database: Path | None = None) -> list[str]:
    """BLAKE2b of each file's content, as 32 hexadecimal digits.

    Args:
        paths: the files.
        database: remembers digests by path, inode, size and time; None: in :func:`user_cache`.
    """
    database = database or user_cache() / FILE
    keys = [_key(path) for path in paths]
    known = _attempt(database, lambda connection: _look_up(connection, keys)) or {}
    missing = {key: path for key, path in zip(keys, paths, strict=True) if key not in known}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashing lets go of the interpreter
        new = dict(zip(missing, pool.map(_hash, missing.values()), strict=True))
    settled = time.time_ns() - int(SETTLED_SECONDS * 1e9)
    if old := {key: digest for key, digest in new.items() if key[-1] < settled}:
        _attempt(database, lambda connection: _remember(connection, old))
    known |= new
    return [known[key].hex() for key in keys]


def _key(path: Path) -> Key:
    stat = path.stat()
    # An inode may use all of 64 bits, SQLite has 63 and a sign.
    return os.fsencode(path.absolute()), stat.st_ino % 2**63, stat.st_size, stat.st_mtime_ns


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def _attempt(database: Path, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
    """What ``work`` returns; None, and a fresh start next time, if the database is damaged."""
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(database, timeout=10)) as connection, connection:
            connection.execute(_CREATE)
            return work(connection)
    except (sqlite3.OperationalError, OSError):  # not writable, locked, disk full
        return None
    except sqlite3.Error:
        with suppress(OSError):
            database.unlink()
        return None


def _look_up(connection: sqlite3.Connection, keys: Sequence[Key]) -> dict[Key, bytes]:
    query = "SELECT digest FROM digests WHERE path = ? AND inode = ? AND size = ? AND mtime_ns = ?"
    found = ((key, connection.execute(query, key).fetchone()) for key in keys)
    return {key: row[0] for key, row in found if row}


def _remember(connection: sqlite3.Connection, new: dict[Key, bytes]) -> None:
    rows = [(*key, digest) for key, digest in new.items()]
    connection.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)", rows)
