"""The log of all experiments: a table, then what each run's experiment.md says.

The plain Markdown that runs write, and that people write below it, becomes paragraphs, lists,
tables and code; anything else stays the text that it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import unescape
from itertools import groupby

from burnish.report.page import Cell, Number, Page
from burnish.runs.console import printable
from burnish.runs.listing import Run
from burnish.runs.story import EMPTY, KEPT
from burnish.runs.words import cell, one_line

Story = tuple[Run, str | None]


def log_page(stories: Sequence[Story], count: int, root: str) -> Page:
    """The page.

    Args:
        stories: runs, the newest first, each with its ``experiment.md``, or None if it has none.
        count: how many runs there are in all.
        root: where they lie, as typed.
    """
    shown = "" if count == len(stories) else f", the {len(stories):,} newest of {count:,}"
    page = Page("Experiments", "burnish runs log", f"The runs below {root}{shown}.")
    page.section("All runs")
    metrics = _metrics(run for run, _ in stories)
    monitors = sorted({one_line(run.monitor) for run, _ in stories if run.best is not None})
    best = f"best {monitors[0]}" if len(monitors) == 1 else "best"
    page.table(
        ["run", "began (UTC)", "status", best, *metrics],
        [_row(run, metrics, told=len(monitors) > 1) for run, _ in stories],
    )
    for run, text in stories:
        page.section(one_line(run.name))
        if text is None:
            page.text(f"{run.status}; no experiment.md was written.")
        else:
            _tell(page, text)
    return page


def _metrics(runs: Iterable[Run]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.metrics)
    return [name for name in ("test/accuracy", "test/f1") if name in names]


def _row(run: Run, metrics: Sequence[str], *, told: bool) -> list[Cell]:
    began = "-" if run.began is None else f"{datetime.fromtimestamp(run.began, UTC):%Y-%m-%d %H:%M}"
    best = cell(run.best) + (f" {one_line(run.monitor)}" if told and run.best is not None else "")
    figures = [Number(text) for text in (best, *(cell(run.metrics.get(name)) for name in metrics))]
    return [one_line(run.name), Number(began), run.status, *figures]


# --- Markdown ------------------------------------------------------------------------------------

_KINDS = (
    ("fence", re.compile(r"\s*(```|~~~)")),
    ("code", re.compile(r"(    |\t)")),
    ("heading", re.compile(r"#+ ")),
    ("point", re.compile(r"\s*[-*+] ")),
    ("row", re.compile(r"\s*\|")),
    ("blank", re.compile(r"\s*$")),
)
_RULE = re.compile(r"[\s|:-]+")
_CELL = re.compile(r"(?<!\\)\|")
# Escapes, code, emphasis: their signs go, their texts stay. Bounded: a stranger's line of a million
# signs shall not be searched a million times.
_INLINE = re.compile(
    r"\\([!-/:-@\[-`{-~])"
    r"|(`{1,3}) ?(.{1,300}?) ?\2(?!`)"
    r"|\*\*(.{1,300}?)\*\*"
    r"|(?<!\w)([*_])(?! )(.{1,300}?)\5(?!\w)"
)
MOST = 200_000  # characters of a story that are told; they take a few thousand


def _tell(page: Page, text: str) -> None:
    """Append the blocks of a Markdown text, without what is for the writer's eyes alone."""
    text = text.replace(KEPT, "").replace(EMPTY, "")
    lines = [printable(line) for line in text[:MOST].splitlines()]
    for kind, block in _blocks(lines):
        if kind == "heading":
            page.heading(_plain(block[0].lstrip("# ")))
        elif kind == "code":
            page.code("\n".join(block))
        elif kind == "point":
            page.points(_plain(line.strip()[2:]) for line in block)
        elif kind == "row":
            _table(page, block)
        else:
            page.text(_plain(" ".join(line.strip() for line in block)))


def _blocks(lines: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Kinds and lines of the blocks; a point goes on in the lines that follow it."""
    for kind, group in groupby(_marked(lines), key=lambda pair: pair[0]):
        block = [line for _, line in group]
        if kind == "heading":
            yield from ((kind, [line]) for line in block if not line.startswith("# "))
        elif kind != "blank":
            yield kind, block


def _marked(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    fence, last = "", "blank"
    for line in lines:
        kind = next((name for name, form in _KINDS if form.match(line)), "text")
        if kind == "fence":
            fence = "" if fence else line.strip()[:3]
            last = "blank"
        elif fence:
            yield "code", line
        else:
            if kind == "code" and last not in ("blank", "code"):
                kind = "text"  # an indented line that goes on with what stands above
            yield kind, line[4:] if kind == "code" else line
            last = kind


def _table(page: Page, lines: Sequence[str]) -> None:
    rows = [[_plain(c) for c in _cells(line)] for line in lines if not _RULE.fullmatch(line)]
    width = max(map(len, rows), default=0)
    head, *body = [[*row, *[""] * (width - len(row))] for row in rows] or [[]]
    page.table(head, body)


def _cells(line: str) -> list[str]:
    parts = [part.strip() for part in _CELL.split(line.strip())]
    return parts[1:-1] if parts[-1:] == [""] else parts[1:]


def _plain(text: str) -> str:
    """The text without the signs of its markup."""
    shown = _INLINE.sub(lambda m: m[1] or m[3] or _plain(m[4] or m[6] or ""), text)
    return unescape(shown).strip()
