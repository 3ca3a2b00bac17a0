"""Where predictions go: a file that is whole or not there, a pipe or device, standard output."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from burnish.errors import DataError
from burnish.runs.folder import write_atomically

STDOUT = "-"
# Its names as a file: truncating what the shell has redirected there would lose what is before.
STREAMS = (STDOUT, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class Target:
    """What answers are written to.

    Args:
        name: for people.
        file: open for bytes.
        partial: what the file is called until it is whole; None if it is written in place.
    """

    def __init__(self, name: str, file: IO[bytes], partial: Path | None = None) -> None:
        self.partial = partial
        self._name = name
        self._file = file

    def write(self, text: str) -> None:
        """Write it, at once if somebody may be waiting at the other end.

        Raises:
            BrokenPipeError: if nobody listens any more.
            DataError: if the disk is full, and the like.
        """
        try:
            with _told(self._name):
                # Only paths that are not UTF-8 need the escapes, and JSON has its own.
                self._file.write(text.encode("utf-8", "backslashreplace"))
                if self.partial is None:
                    self._file.flush()
        except DataError:
            if self.partial is None:
                _abandon(self._file)
            raise


@contextmanager
def opened(output: str) -> Iterator[Target]:
    """Open what predictions are written to.

    A file is written under a name of its own, and renamed once it is whole; of a link what it
    points to. Pipes and devices are written in place: a rename would put a file where they are.

    Args:
        output: a file, a pipe, a device, or ``-`` for standard output.

    Raises:
        DataError: if it cannot be written.
    """
    if output in STREAMS:
        if sys.stdout is None:
            raise DataError("output: standard output is closed; give a file, output=FILE")
        yield Target("standard output", sys.stdout.buffer)
        return
    path = Path(output).expanduser()
    name, whole = f"output: {path}", path.resolve()
    partial = whole.with_name(f"{whole.name}.{secrets.token_hex(4)}.partial")
    if _in_place(path):
        whole, partial = path, path
    with _told(name):
        file = partial.open("wb")
    try:
        yield Target(name, file, None if partial is path else partial)
    except BaseException:
        with suppress(OSError):  # the disk is as full as it was
            file.close()
        raise
    with _told(name):
        file.close()
        if partial is not path:
            partial.replace(whole)


def save(key: str, path: Path, content: bytes) -> None:
    """Write a file at once, by the same rules.

    Args:
        key: that named it, for a message.
        path: where.
        content: all of it.

    Raises:
        DataError: if it cannot be written.
    """
    with _told(f"{key}: {path}"):
        if _in_place(path):
            path.write_bytes(content)
        else:
            write_atomically(path.resolve(), content)


def _in_place(path: Path) -> bool:
    return path.exists() and not path.is_file()


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}") from error


def _abandon(file: IO[bytes]) -> None:
    """What is left in the buffer would fail once more, with a comment, when Python ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), file.fileno())
