"""The rows of a table file, one after the other, each with the line it begins in.

Standard library only: commands that must start at once read tables too. What is wrong with a
single row is kept beside it, so that a reader can name everything that it finds at once.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from burnish.errors import DataError

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
JSON_LINES = (".jsonl", ".ndjson")

# Reviews longer than the 128 KiB that the csv module allows exist; it takes a C long.
csv.field_size_limit(2**31 - 1)


class Row(NamedTuple):
    """One row as it stands in the file.

    Args:
        line: number of its first line, from 1.
        raw: its text, line ends included.
        cells: the fields; of a JSON line the values of the keys that were asked for.
        fault: kind and detail of what is wrong with it; None if it could be read.
    """

    line: int
    raw: str
    cells: list[str]
    fault: tuple[str, str] | None = None


def suffix_of(path: Path) -> str:
    """``.csv`` of ``a.csv`` and ``a.CSV.gz``."""
    return Path(path.stem if path.suffix.lower() == ".gz" else path).suffix.lower()


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, gzipped or not, their ends kept and a byte-order mark dropped.

    Bytes that are not UTF-8 become lone surrogates (PEP 383), for :func:`undecodable` to find.

    Raises:
        DataError: if the file is missing, empty, damaged or binary.
    """
    try:
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    _refuse_binary(path, content)
    text = content.decode("utf-8-sig", errors="surrogateescape")
    if not text.strip():
        raise DataError(f"{path}: the file is empty")
    # Unlike str.splitlines this leaves U+2028, form feeds and the like inside their line.
    return list(io.StringIO(text, newline=""))


def _refuse_binary(path: Path, content: bytes) -> None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{path}: the text is UTF-16; save it as UTF-8")
    where = content.find(b"\0")
    if content.startswith(b"PK\x03\x04"):
        raise DataError(f"{path}: not a text file but a workbook or zip; export it as CSV")
    if where >= 0:
        line = content.count(b"\n", 0, where) + 1
        raise DataError(f"{path}: not a text file: line {line} holds a NUL byte (offset {where})")


def undecodable(text: str) -> str | None:
    """Where a text read by :func:`read_lines` has its first byte that is not UTF-8."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        offset = len(text[: error.start].encode())
        return f"byte {offset} is 0x{ord(text[error.start]) & 0xFF:02x}"
    return None


def delimited_rows(lines: Sequence[str], delimiter: str) -> Iterator[Row]:
    """Rows of comma-, tab- or otherwise separated lines; blank lines are passed over.

    With commas as RFC 4180 has it: fields in quotes may hold line breaks, quotes are doubled.
    With tabs a row is one line and quotes are ordinary characters, because sentences begin with
    them, except around a whole field.
    """
    rows = _tab_rows(lines) if delimiter == "\t" else _quoted_rows(lines, delimiter)
    for row in rows:
        if row.cells or row.fault:
            wrong = undecodable(row.raw)
            yield row._replace(fault=("not UTF-8", wrong)) if wrong else row


def _quoted_rows(lines: Sequence[str], delimiter: str) -> Iterator[Row]:
    """A row with broken quotes is its first line alone: the next line begins a row again.

    Otherwise a quote that is never closed would take all rows behind it along.
    """
    begin = 0
    while begin < len(lines):
        first = begin
        rest = (lines[number] for number in range(first, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                end = first + reader.line_num
                yield Row(begin + 1, "".join(lines[begin:end]), cells)
                begin = end
        except csv.Error as error:
            never = "unexpected end" in str(error)
            fault = ("broken quotes", "opened and never closed" if never else str(error))
            yield Row(begin + 1, lines[begin], [], fault)
            begin += 1


def _tab_rows(lines: Sequence[str]) -> Iterator[Row]:
    for number, raw in enumerate(lines, 1):
        line = raw.rstrip("\r\n")
        yield Row(number, raw, [_unquoted(cell) for cell in line.split("\t")] if line else [])


def _unquoted(cell: str) -> str:
    if len(cell) > 1 and cell[0] == cell[-1] == '"':
        inner = cell[1:-1].replace('""', "\0")
        return cell if '"' in inner else inner.replace("\0", '"')
    return cell


def json_rows(lines: Sequence[str]) -> Iterator[tuple[Row, dict[str, Any]]]:
    """Rows of JSON lines, without cells, each with its object; ``{}`` where there is none."""
    for number, raw in enumerate(lines, 1):
        if raw.strip():
            fault, found = None, None
            try:
                found = json.loads(raw)
            except (ValueError, RecursionError) as error:
                fault = ("not JSON", getattr(error, "msg", "cannot be parsed"))
            if wrong := undecodable(raw):
                fault = ("not UTF-8", wrong)
            elif fault is None and not isinstance(found, dict):
                fault = ("not a JSON object", type(found).__name__)
            yield Row(number, raw, [], fault), found if isinstance(found, dict) else {}
