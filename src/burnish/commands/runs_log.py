"""runs log: what all runs say of themselves, in one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from burnish.commands.runs_found import add_where, found, none_found, refuse_below
from burnish.errors import ConfigError, RunError
from burnish.runs.conditions import ordered
from burnish.runs.console import short
from burnish.runs.folder import write_atomically
from burnish.runs.listing import Run
from burnish.runs.reading import small_text
from burnish.runs.story import STORY
from burnish.runs.words import one_line

HELP = "all experiment.md in one HTML page, the newest first, with a table on top"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``runs log``."""
    add_where(parser)
    parser.add_argument("--limit", type=int, default=50, metavar="N",
        help="runs at most, the newest; 0 for all (default 50)")  # fmt: skip
    parser.add_argument("--output", metavar="FILE",
        help="the page, .html (default: experiments.html in the folder of the runs)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Write the page; exit code 1 if there is no run.

    Raises:
        ConfigError: if the file is no page.
    """
    refuse_below(0, options.limit, "--limit")
    output = Path(options.output or Path(options.root) / "experiments.html")
    if output.suffix != ".html":
        raise ConfigError(f"--output: {options.output} does not end in .html")
    if options.output and not output.parent.is_dir():
        raise ConfigError(f"--output: {output.parent} is no folder")
    runs = ordered(found(options), "age")
    if not runs:
        print(none_found(options))
        return 1
    shown = runs[: options.limit or None]
    from burnish.report.runs_log import log_page

    stories = [(one, _story(one)) for one in shown]
    write_atomically(output, log_page(stories, len(runs), one_line(options.root)).html())
    told = sum(text is not None for _, text in stories)
    print(f"{one_line(short(output.absolute()))}: {len(shown):,} runs, {told:,} with {STORY}")
    if rest := len(runs) - len(shown):
        print(f"and {rest:,} older: --limit 0 takes all")
    return 0


def _story(one: Run) -> str | None:
    try:
        return small_text(one.path / STORY)[0]
    except RunError:  # of an older version, or it has not ended
        return None
