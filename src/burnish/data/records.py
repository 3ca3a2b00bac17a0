"""Labelled tables of text or file names: the columns wanted, and every row that is no use.

Standard library only, as in :mod:`burnish.data.rows`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import compress
from pathlib import Path
from typing import Any, Literal

from burnish.data.cleaning import clean
from burnish.data.rows import (
    DELIMITERS,
    JSON_LINES,
    Row,
    delimited_rows,
    json_rows,
    read_lines,
    suffix_of,
    undecodable,
)
from burnish.errors import ConfigError, DataError

EXAMPLES = 5  # rows named for each kind of problem; the rest are counted

Header = bool | Literal["auto"]
OnError = Literal["raise", "skip"]


@dataclass
class Records:
    """What a table holds.

    Args:
        path: the file.
        columns: role to the fields of its column, stripped; one for each row kept.
        lines: number of the first line of each row kept, from 1.
        raw: source text of each row kept, to copy it unchanged.
        heading: source text of the header, empty if there is none.
        names: names of all columns; empty if there is no header.
        width: number of fields a row.
        problems: kind to where it was found, for the rows that were not kept.
    """

    path: Path
    columns: dict[str, list[str]]
    lines: list[int] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    heading: str = ""
    names: list[str] = field(default_factory=list)
    width: int = 0
    problems: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def kept(self, wanted: Sequence[bool]) -> Records:
        """Only the rows that are wanted."""
        columns = {role: list(compress(column, wanted)) for role, column in self.columns.items()}
        lines, raw = list(compress(self.lines, wanted)), list(compress(self.raw, wanted))
        return replace(self, columns=columns, lines=lines, raw=raw)

    @property
    def notes(self) -> list[str]:
        """One sentence if rows were left out."""
        return [f"{self.path}: left out {_listed(self.problems)}"] if self.problems else []


def read_table(
    path: str | Path,
    columns: Mapping[str, str | int],
    *,
    header: Header = "auto",
    delimiter: str | None = None,
    on_error: OnError = "raise",
    option: Callable[[str], str] = "data.{}".format,
) -> Records:
    """Read some columns of a CSV, TSV or JSON-lines file in UTF-8, gzipped or not.

    Rows are useless if a wanted field is empty or missing, the number of fields is another than
    in the header (or first row), bytes are not UTF-8, quotes do not match or JSON does not parse.

    Args:
        path: ``.csv``, ``.tsv``, ``.txt`` (tabs), ``.jsonl`` or ``.ndjson``, also with ``.gz``.
        columns: role, such as ``text`` or ``label``, to the name of its column or its position
            from 0. The label may be a number or boolean in JSON; everything else is a string.
        header: whether the first row names the columns; "auto": if columns are given by name.
        delimiter: one character, or "tab"; None: by the suffix.
        on_error: "raise" names all useless rows at once; "skip" leaves them out.
        option: spells an argument for messages, where ``label_column`` is the one of ``label``.

    Raises:
        ConfigError: if an argument is out of range or does not suit the format.
        DataError: if the file is missing, empty or binary, a column is missing or named twice,
            no row is left, or rows are useless.
    """
    path = Path(path)
    _check_arguments(path, columns, header, delimiter, on_error, option)
    lines = read_lines(path)
    if suffix_of(path) in JSON_LINES:
        found, rows, positions = _of_json(path, lines, columns, option)
    else:
        by_suffix = DELIMITERS.get(suffix_of(path), "")
        separator = {"tab": "\t", "\\t": "\t", None: by_suffix}.get(delimiter, delimiter)
        found, rows, positions = _of_delimited(
            path, lines, columns, _has_header(columns, header), str(separator), option
        )
    _keep_good_rows(found, rows, positions)
    if found.problems and (on_error == "raise" or not found.lines):
        raise DataError(_refusal(found, option))
    if not found.lines:
        raise DataError(f"{path}: a header, but no rows below it")
    return found


# --- arguments -----------------------------------------------------------------------------------


def _check_arguments(
    path: Path,
    columns: Mapping[str, str | int],
    header: Header,
    delimiter: str | None,
    on_error: OnError,
    option: Callable[[str], str],
) -> None:
    problems = [
        f"{option(role + '_column')}: must be a name or a position from 0, found {column!r}"
        for role, column in columns.items()
        if not (column if isinstance(column, str) else _is_position(column))
    ]
    if header not in (True, False, "auto"):
        problems.append(f"{option('header')}: must be true, false or auto, found {header!r}")
    if on_error not in ("raise", "skip"):
        problems.append(f"{option('on_error')}: must be raise or skip, found {on_error!r}")
    named = [option(role + "_column") for role, c in columns.items() if isinstance(c, str)]
    if header is False and named:
        problems.append(
            f"{option('header')}: false, so {' and '.join(named)} must be positions from 0"
        )
    problems += _format_problems(path, columns, delimiter, option)
    if problems:
        raise ConfigError(problems)


def _is_position(column: object) -> bool:
    return isinstance(column, int) and not isinstance(column, bool) and column >= 0


def _format_problems(
    path: Path,
    columns: Mapping[str, str | int],
    delimiter: str | None,
    option: Callable[[str], str],
) -> list[str]:
    if suffix_of(path) in JSON_LINES:
        return [
            f"{option(role + '_column')}: JSON lines have keys, not positions; found {column}"
            for role, column in columns.items()
            if isinstance(column, int)
        ]
    if delimiter is None and suffix_of(path) not in DELIMITERS:
        known = ", ".join([*DELIMITERS, *JSON_LINES])
        return [f"{path}: must end in {known} (or .gz after it), or give {option('delimiter')}"]
    if delimiter not in (None, "tab", "\\t") and (len(delimiter) != 1 or delimiter in '"\r\n'):
        return [f"{option('delimiter')}: must be one character or tab, found {delimiter!r}"]
    return []


def _has_header(columns: Mapping[str, str | int], header: Header) -> bool:
    return any(isinstance(c, str) for c in columns.values()) if header == "auto" else header


# --- the two kinds of files ----------------------------------------------------------------------

_Opened = tuple[Records, Iterable[Row], dict[str, int]]  # and the position of each role


def _of_delimited(
    path: Path,
    lines: Sequence[str],
    columns: Mapping[str, str | int],
    has_header: bool,
    delimiter: str,
    option: Callable[[str], str],
) -> _Opened:
    rows = list(delimited_rows(lines, delimiter))
    first = rows[0]
    if first.fault and has_header:
        raise DataError(f"{path}: line {first.line}: {first.fault[0]} ({first.fault[1]})")
    width = len(first.cells)
    names = [clean(cell) for cell in first.cells] if has_header else []
    if repeated := sorted({name for name in names if name and names.count(name) > 1}):
        raise DataError(f"{path}: the header names {', '.join(map(repr, repeated))} twice")
    if width == 1 and not set(columns.values()) <= {0, *names}:
        raise DataError(f"{path}: {_one_column(first.raw, delimiter, option)}")
    _refuse_absent(path, columns, names, width, option)
    positions = {
        role: column if isinstance(column, int) else names.index(column)
        for role, column in columns.items()
    }
    heading = first.raw if has_header else ""
    found = Records(path, {r: [] for r in columns}, heading=heading, names=names, width=width)
    return found, rows[has_header:], positions


def _of_json(
    path: Path, lines: Sequence[str], columns: Mapping[str, Any], option: Callable[[str], str]
) -> _Opened:
    rows = list(json_rows(lines))
    names = list(dict.fromkeys(key for _, entry in rows for key in entry))
    if names:
        _refuse_absent(path, columns, names, len(names), option)
    found = Records(path, {role: [] for role in columns}, names=names, width=len(columns))
    picked = [_picked(row, entry, columns) for row, entry in rows]
    return found, picked, {role: i for i, role in enumerate(columns)}


def _picked(row: Row, entry: Mapping[str, Any], columns: Mapping[str, str]) -> Row:
    """The row with the values of the wanted keys as its cells."""
    cells = []
    for role, key in columns.items():
        value = entry.get(key, "")
        plain = role == "label" and isinstance(value, bool | int | float)
        if row.fault is None and key not in entry:
            row = row._replace(fault=(f"no key {key!r}", ""))
        elif value is not None and not isinstance(value, str) and not plain:
            row = row._replace(fault=(f"{key!r} is not a string", type(value).__name__))
        elif isinstance(value, str) and undecodable(value):
            row = row._replace(fault=(f"{key!r} has half of a surrogate pair", ""))
        cells.append(
            value if isinstance(value, str) else "" if value is None else json.dumps(value)
        )
    return row._replace(cells=cells)


def _refuse_absent(
    path: Path,
    columns: Mapping[str, str | int],
    names: Sequence[str],
    width: int,
    option: Callable[[str], str],
) -> None:
    problems = [
        f"{option(role + '_column')}: {path} has {wrong}"
        for role, column in columns.items()
        if (wrong := _absent(column, names, width))
    ]
    if problems:
        raise DataError("\n".join(problems))


def _absent(column: str | int, names: Sequence[str], width: int) -> str | None:
    if isinstance(column, int):
        return f"no column {column}, only 0 to {width - 1}" if column >= width else None
    if column in names:
        return None
    lower = {name.lower(): name for name in names}
    near = get_close_matches(column.lower(), lower, n=1)
    hint = f"; did you mean {lower[near[0]]!r}?" if near else ""
    return f"no column {column!r}, only {', '.join(names)}{hint}"


def _one_column(text: str, delimiter: str, option: Callable[[str], str]) -> str:
    other = [name for name, sign in _SIGNS.items() if sign in text and sign != delimiter]
    fits = f"; {option('delimiter')}={other[0]} may fit" if other else ""
    shown = text.strip()[:60]
    name = "tab" if delimiter == "\t" else repr(delimiter)
    return f"only one column with {name} as delimiter (line 1: {shown!r}){fits}"


_SIGNS = {"tab": "\t", "';'": ";", "','": ",", "'|'": "|"}


# --- rows ----------------------------------------------------------------------------------------


def _keep_good_rows(found: Records, rows: Iterable[Row], positions: Mapping[str, int]) -> None:
    columns = [(role, positions[role], found.columns[role]) for role in found.columns]
    for row in rows:
        fault = row.fault
        if fault is None and len(row.cells) != found.width:
            fault = (f"another number of fields than {found.width}", str(len(row.cells)))
        values = [] if fault else [clean(row.cells[position]) for _, position, _ in columns]
        if fault is None and not all(values):
            role = columns[values.index("")][0]
            fault = ("missing label" if role == "label" else f"empty {role}", "")
        if fault:
            where = f"{row.line} ({fault[1]})" if fault[1] else str(row.line)
            found.problems.setdefault(fault[0], []).append(where)
            continue
        found.lines.append(row.line)
        found.raw.append(row.raw)
        for (_, _, kept), value in zip(columns, values, strict=True):
            kept.append(value)


def _listed(problems: Mapping[str, Sequence[str]]) -> str:
    def kind(name: str, where: Sequence[str]) -> str:
        named = ", ".join(where[:EXAMPLES]) + (", ..." if len(where) > EXAMPLES else "")
        return f"{name}: {len(where)} (line {named})"

    total = sum(map(len, problems.values()))
    rows = "1 row" if total == 1 else f"{total:,} rows"
    return f"{rows} ({'; '.join(kind(*item) for item in problems.items())})"


def _refusal(found: Records, option: Callable[[str], str]) -> str:
    listed = _listed(found.problems)
    if not found.lines:
        return f"{found.path}: no row is of use: {listed}"
    return (
        f"{found.path}: of no use: {listed}\n"
        f"Mend them, or leave them out with {option('on_error')}=skip"
    )
