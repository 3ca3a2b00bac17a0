"""From what a user typed to the things to classify: files, folders, tables, standard input."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from burnish.data.rows import suffix_of
from burnish.deploy.batch.items import Item
from burnish.deploy.batch.signatures import HEAD, is_binary, is_binary_picture, is_picture
from burnish.deploy.batch.tables import Cell, cells_of_lines, column_of, decoded, is_table, lines_of
from burnish.deploy.batch.walking import walk
from burnish.errors import ConfigError, DataError

STDIN = "-"


def items_of(
    asked: str, column: str | int | None, images: bool, notes: list[str]
) -> Iterator[Item]:
    """Everything that there is to classify, lazily and in a fixed order.

    Args:
        asked: a file, folder, glob or table, or ``-`` for standard input.
        column: of a table; None: ``image`` or ``text``.
        images: whether the net is one of images.
        notes: gets a line on what was left out, once all was seen.

    Raises:
        ConfigError: if ``column`` is given for what has none.
        DataError: if there is no such file or column, or nothing to predict.
    """
    path = Path(asked).expanduser()
    if suffix_of(path) == ".json":
        raise DataError(f"input: {asked} is JSON; use .jsonl, an object a line")
    table = asked != STDIN and path.is_file() and (is_table(path) or _is_text_table(path, column))
    if column is not None and not table:
        raise ConfigError(
            f"column: goes with a table (.csv, .tsv, .txt, .jsonl, .ndjson, also .gz), not with "
            f"input={asked}"
        )
    if table:
        cells = column_of(path, column if column is not None else "image" if images else "text")
        items = _of_cells(cells, path.parent if images else None)
    elif asked == STDIN:
        items = _of_stdin(images)
    else:
        items = _pictures(asked, path, notes) if images else _texts(asked, path)
    return _some(items, asked, notes)


def _is_text_table(path: Path, column: str | int | None) -> bool:
    return column is not None and path.name.lower().endswith((".txt", ".txt.gz"))


def _some(items: Iterator[Item], asked: str, notes: list[str]) -> Iterator[Item]:
    """The same items, of which there must be one: said before anything is computed."""
    first = next(items, None)
    if first is None:
        found = f" ({'; '.join(notes)})" if notes else ""
        name = "standard input" if asked == STDIN else asked
        raise DataError(f"input: there is nothing to predict in {name}{found}")
    return chain([first], items)


def _of_cells(cells: Iterable[Cell], folder: Path | None) -> Iterator[Item]:
    """Texts; file names if a folder is given, which they are relative to."""
    for line, text, fault in cells:
        if fault:
            yield Item(text, None, line, fault)
        else:
            yield Item(text, text, line) if folder is None else _listed(text, folder / text, line)


def _listed(name: str, path: str | Path, line: int | None = None) -> Item:
    """A file that is one of many: they may hold pipes, which would be waited for."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):  # said when it is read
        mode = stat.S_IFREG
    odd = not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    return Item(name, None, line, "not a regular file") if odd else Item(name, str(path), line)


# --- pictures ------------------------------------------------------------------------------------


def _pictures(asked: str, path: Path, notes: list[str]) -> Iterator[Item]:
    if path.is_dir():
        return walk(str(path), notes)
    if path.exists():
        if path.name.lower().endswith((".txt", ".txt.gz")):
            return _of_cells(lines_of(path), path.parent)
        # A pipe, <(...) say, can be read once, and a figure shows the picture again.
        return iter([Item(asked, path.read_bytes() if path.is_fifo() else str(path))])
    if glob.has_magic(asked):
        return _matching(str(path))
    raise DataError(f"input: no such file or folder: {asked}")


def _matching(pattern: str) -> Iterator[Item]:
    """All files that a glob finds: what it names is read, whatever it ends in."""
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207
        if not os.path.isdir(name):  # noqa: PTH112
            yield _listed(name, name)


# --- texts ---------------------------------------------------------------------------------------


def _texts(asked: str, path: Path) -> Iterator[Item]:
    if path.is_dir():
        raise DataError(
            f"input: {asked} is a folder, and this net classifies texts: give a file with a text a "
            "line, or a table with column=..."
        )
    if not path.exists():
        raise DataError(f"input: no such file: {asked}; to classify a text itself: text='...'")
    return _of_cells(lines_of(path), None)


# --- standard input ------------------------------------------------------------------------------


def _of_stdin(images: bool) -> Iterator[Item]:
    if sys.stdin is None:
        raise DataError("input: standard input is closed")
    try:
        yield from of_stdin(sys.stdin.buffer, images)
    except OSError as error:
        raise DataError(f"input: standard input cannot be read: {error.strerror}") from error


def of_stdin(file: IO[bytes], images: bool) -> Iterator[Item]:
    """A text a line; for images a path a line, paths parted by NUL bytes, or one picture itself.

    Args:
        file: buffered, so that it can be peeked into.
        images: whether the net is one of images.

    Raises:
        DataError: if it is something else.
    """
    head: bytes = file.peek(HEAD)  # type: ignore[attr-defined]
    if not images:
        if is_binary_picture(head):
            raise DataError("input: standard input is a picture; this net classifies texts")
        yield from _of_cells(cells_of_lines(decoded(file)), None)
        return
    if is_picture(head):
        yield Item(STDIN, file.read())
        return
    if is_binary(head):
        raise DataError(
            "input: standard input is neither a list of paths nor a picture of a usual format; "
            "give the file: input=FILE"
        )
    for number, name in enumerate(_parted(file, b"\0" if b"\0" in head else b"\n"), 1):
        if name:
            path = os.fsdecode(name)
            yield _listed(path, path, number)


def _parted(file: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """As ``find`` prints paths, with or without ``-print0``."""
    if separator == b"\n":
        for line in file:
            yield line.rstrip(b"\r\n")
        return
    rest = b""
    while chunk := file.read1(1 << 16):  # type: ignore[attr-defined]
        *whole, rest = (rest + chunk).split(separator)
        yield from whole
    yield rest
