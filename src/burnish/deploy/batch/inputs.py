"""From what a user typed to the things to classify: files, folders, tables, standard input."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from burnish.deploy.batch.items import Item
from burnish.deploy.batch.tables import Cell, cells_of_lines, column_of, decoded, is_table, lines_of
from burnish.deploy.batch.walking import walk
from burnish.errors import ConfigError, DataError

STDIN = "-"
# How picture files begin, strict enough that no list of paths begins so.
PICTURE = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....WEBP|BM....\0\0\0\0|II\*\0|MM\0\*|P[1-6]\s",
    re.DOTALL,
)
HEAD = 16  # bytes that tell


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
        items = of_stdin(sys.stdin.buffer, images)
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
            yield Item(text, text if folder is None else str(folder / text), line)


# --- pictures ------------------------------------------------------------------------------------


def _pictures(asked: str, path: Path, notes: list[str]) -> Iterator[Item]:
    if path.is_dir():
        return walk(str(path), notes)
    if path.exists():
        if path.name.lower().endswith((".txt", ".txt.gz")):
            return _of_cells(lines_of(path), path.parent)
        return iter([Item(asked, str(path))])
    if glob.has_magic(asked):
        return _matching(str(path))
    raise DataError(f"input: no such file or folder: {asked}")


def _matching(pattern: str) -> Iterator[Item]:
    """All files that a glob finds: what it names is read, whatever it ends in."""
    for name in sorted(glob.iglob(pattern, recursive=True)):  # noqa: PTH207
        if not os.path.isdir(name):  # noqa: PTH112
            yield Item(name, name)


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


def of_stdin(file: IO[bytes], images: bool) -> Iterator[Item]:
    """A text a line; for images a path a line, paths parted by NUL bytes, or one picture itself.

    Args:
        file: buffered, so that it can be peeked into.
        images: whether the net is one of images.
    """
    if not images:
        yield from _of_cells(cells_of_lines(decoded(file)), None)
        return
    head: bytes = file.peek(HEAD)  # type: ignore[attr-defined]
    if PICTURE.match(head):
        yield Item(STDIN, file.read())
        return
    for number, name in enumerate(_parted(file, b"\0" if b"\0" in head else b"\n"), 1):
        if name:
            path = os.fsdecode(name)
            yield Item(path, path, number)


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
