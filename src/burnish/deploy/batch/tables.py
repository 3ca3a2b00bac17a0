"""One column of a table, or the lines of a text file, block by block: files need not fit in memory.

Rows that are no use come with their fault, for the rest to go on.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from difflib import get_close_matches
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from burnish.data.cleaning import clean
from burnish.data.rows import (
    DELIMITERS,
    JSON_LINES,
    Row,
    delimited_rows,
    json_rows,
    suffix_of,
    undecodable,
)
from burnish.deploy.batch.signatures import HEAD, is_binary_picture
from burnish.errors import DataError

BLOCK = 4096  # lines
# Lines, all of them not UTF-8, that tell a file in another encoding from one with damaged rows.
FOREIGN = 3


class Cell(NamedTuple):
    """One field of a column, or one line.

    Args:
        line: where its row begins, from 1.
        text: stripped.
        fault: what is wrong with it, if it is no use.
    """

    line: int
    text: str
    fault: str | None = None


def is_table(path: Path) -> bool:
    """Whether the end of the name says that rows have columns; ``.txt`` may or may not."""
    return suffix_of(path) in (*DELIMITERS, *JSON_LINES) and suffix_of(path) != ".txt"


def column_of(path: Path, column: str | int) -> Iterator[Cell]:
    """One column of a CSV, TSV or JSON-lines file, gzipped or not.

    Args:
        path: whose name says what it is.
        column: its name in the first row, or its position from 0, a number or its digits, in a
            file without such a row.

    Raises:
        DataError: if the file cannot be read, or has no such column.
    """
    if suffix_of(path) in JSON_LINES:
        return _of_json(path, column)
    return _of_delimited(path, column, DELIMITERS[suffix_of(path)])


def lines_of(path: Path) -> Iterator[Cell]:
    """The lines of a text file that are not blank.

    Raises:
        DataError: if it cannot be read.
    """
    return cells_of_lines(_lines(path))


def cells_of_lines(lines: Iterable[str]) -> Iterator[Cell]:
    """The same of lines as :func:`decoded` makes them."""
    for number, raw in enumerate(lines, 1):
        if text := raw.strip():
            yield Cell(number, text, _fault(text))


def decoded(file: IO[bytes]) -> TextIOWrapper:
    """UTF-8 line by line; bytes that are none become lone surrogates (PEP 383)."""
    # A byte-order mark goes; U+2028, form feeds and the like stay inside their line.
    return TextIOWrapper(cast(Any, file), "utf-8-sig", errors="surrogateescape", newline="")


def _lines(path: Path) -> Iterator[str]:
    packed = path.suffix.lower() == ".gz"
    try:
        with closing(gzip.open(path) if packed else path.open("rb")) as file:
            _refuse_binary(path, file.peek(HEAD))
            yield from decoded(cast(IO[bytes], file))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _refuse_binary(path: Path, head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: the text is UTF-16; save it as UTF-8")
    if head.startswith(b"PK\x03\x04"):
        raise DataError(f"{path}: not a text file but a workbook or zip; export it as CSV")
    if is_binary_picture(head):
        raise DataError(f"{path}: is a picture; a text file was expected")
    *lines, _ = head.split(b"\n")
    foreign = [line for line in lines if not line.isascii()]
    if len(foreign) >= FOREIGN and not any(map(_is_utf8, foreign)):
        raise DataError(f"{path}: the file is not UTF-8 (GBK or Latin-1?); save it as UTF-8")


def _is_utf8(line: bytes) -> bool:
    return undecodable(line.decode(errors="surrogateescape")) is None


def _fault(text: str) -> str | None:
    if "\0" in text:
        return "not text: it holds a NUL byte"
    wrong = undecodable(text)
    return f"not UTF-8: {wrong}" if wrong else None


# --- CSV and TSV ---------------------------------------------------------------------------------


def _of_delimited(path: Path, column: str | int, delimiter: str) -> Iterator[Cell]:
    rows = _rows(_lines(path), delimiter)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    if isinstance(column, str) and column.isdecimal() and column not in map(clean, first.cells):
        column = int(column)
    if isinstance(column, int):
        rows = chain([first], rows)
    elif first.fault:
        raise DataError(f"{path}: line {first.line}: {first.fault[0]} ({first.fault[1]})")
    names = None if isinstance(column, int) else [clean(name) for name in first.cells]
    position, width = _position(path, column, names, len(first.cells)), len(first.cells)
    for row in rows:
        fault = f"{row.fault[0]} ({row.fault[1]})" if row.fault else None
        if fault is None and len(row.cells) != width:
            fault = f"{len(row.cells)} fields instead of {width}"
        text = clean(row.cells[position]) if fault is None else row.raw.strip()
        yield Cell(row.line, text, fault or _fault(text) or (None if text else "empty"))


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[Row]:
    """The rows of :func:`delimited_rows`, of a block of lines at a time.

    A row in quotes that the end of a block cuts is tried again with twice as many lines behind
    it: only a quote that is never closed holds the rest of its file.
    """
    before, size = 0, BLOCK
    carried: list[str] = []
    while True:
        fresh = list(islice(lines, size))
        block = carried + fresh
        rows = list(delimited_rows(block, delimiter))
        cut = _unclosed(rows) if len(fresh) == size else None
        end = len(block) if cut is None else cut - 1
        for row in rows:
            if row.line <= end:
                yield row._replace(line=before + row.line)
        if len(fresh) < size:
            return
        before, carried = before + end, block[end:]
        size = 2 * size if carried else BLOCK


def _unclosed(rows: Iterable[Row]) -> int | None:
    return next((row.line for row in rows if row.fault and "never closed" in row.fault[1]), None)


def _position(path: Path, column: str | int, names: Sequence[str] | None, width: int) -> int:
    if isinstance(column, int):
        if not 0 <= column < width:
            raise DataError(f"column: {path} has no column {column}, only 0 to {width - 1}")
        return column
    assert names is not None
    if names.count(column) > 1:
        raise DataError(f"column: the header of {path} names {column!r} twice")
    if column in names:
        return names.index(column)
    if len(names) == 1 and ";" in names[0]:
        raise DataError(f"{path}: fields are parted by semicolons; part them by commas")
    raise DataError(_absent(path, column, names))


def _absent(path: Path, column: str, names: Sequence[str]) -> str:
    lower = {name.lower(): name for name in names}
    near = get_close_matches(column.lower(), lower, n=1)
    hint = f"; did you mean {lower[near[0]]!r}?" if near else ""
    shown = ", ".join(name[:40] for name in names[:20])
    return f"column: {path} has no column {column!r}, only {shown}{hint}"


# --- JSON lines ----------------------------------------------------------------------------------


def _of_json(path: Path, column: str | int) -> Iterator[Cell]:
    if isinstance(column, int):
        raise DataError(f"column: {path}: JSON lines have keys, not positions; found {column}")
    lines, before = _lines(path), 0
    while block := list(islice(lines, BLOCK)):
        rows = list(json_rows(block))
        if before == 0:  # a wrong name is one message, not one a row
            names = list(dict.fromkeys(key for _, entry in rows for key in entry))
            if names and column not in names:
                raise DataError(_absent(path, column, names))
        for row, entry in rows:
            value = entry.get(column)
            fault = _fault_of_entry(row, value, column)
            text = value.strip() if isinstance(value, str) and fault is None else row.raw.strip()
            yield Cell(before + row.line, text, fault)
        before += len(block)


def _fault_of_entry(row: Row, value: object, column: str) -> str | None:
    if row.fault:
        return f"{row.fault[0]} ({row.fault[1]})"
    if value is None:
        return f"no key {column!r}"
    if not isinstance(value, str):
        return f"{column!r} is not a string but {type(value).__name__}"
    return _fault(value) or (None if value.strip() else "empty")
