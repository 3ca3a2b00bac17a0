"""Lines for the person at the terminal, kept in ``train.log`` as well."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from unicodedata import east_asian_width

_log = logging.getLogger("burnish")

# Class names and texts are anybody's: no control character of theirs reaches the terminal.
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]
_VISIBLE = {code: f"\\x{code:02x}" for code in _CONTROLS if chr(code) not in "\n\t"}
_BREAKS = {ord("\n"): "\\n", ord("\t"): "\\t"}


def say(text: str = "") -> None:
    """One message, to the terminal and to the open log."""
    _log.info(printable(text))


def printable(text: str) -> str:
    """The text with its control characters, line breaks and tabs aside, spelled out."""
    return text.translate(_VISIBLE)


def open_log(path: Path | None, *, quiet: bool = False) -> None:
    """Say things on the terminal and append them, with the time, to ``path``.

    Args:
        path: the log file; None for none.
        quiet: nothing on the terminal (processes of a distributed run but the first).
    """
    for handler in list(_log.handlers):
        _log.removeHandler(handler)
        handler.close()
    _log.setLevel(logging.INFO)
    _log.propagate = False
    if not quiet:
        terminal = logging.StreamHandler(sys.stdout)
        terminal.setFormatter(logging.Formatter("%(message)s"))
        _log.addHandler(terminal)
    if path is not None:
        file = logging.FileHandler(path, encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
        _log.addHandler(file)
    if not _log.handlers:
        _log.addHandler(logging.NullHandler())


def short(path: Path) -> str:
    """A path as a person would type it: relative to the current folder if it lies below."""
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


def table(rows: Iterable[Sequence[str]], *, indent: int = 2) -> str:
    """Rows of cells in aligned columns: the first to the left, the rest to the right."""
    cells = [[cell.translate(_VISIBLE | _BREAKS) for cell in row] for row in rows]
    widths = [max(_width(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = []
    for row in cells:
        first, *rest = (
            c + " " * (w - _width(c)) if i == 0 else " " * (w - _width(c)) + c
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        lines.append(" " * indent + "  ".join([first, *rest]).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Columns of a terminal: Chinese and other wide characters take two."""
    return sum(1 + (east_asian_width(character) in "WF") for character in text)
