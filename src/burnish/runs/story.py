"""experiment.md: what a run was and gave, in plain Markdown, with a place for what comes next."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from burnish.runs.folder import write_atomically
from burnish.runs.listing import Run
from burnish.runs.origin import commit_of, repeat_command, samples_of
from burnish.runs.tables import code, escaped, markdown
from burnish.runs.words import cell, clipped, number, one_line

STORY = "experiment.md"
NEXT = "## Next step"
EMPTY = f"{NEXT}\n\nWhat to try next, and why:\n"
KEPT = "*If the run goes on, all above this line is written anew; what stands below stays.*"
_NEXT_LINE = re.compile(rb"^## Next step[ \t]*\r?$", re.MULTILINE)

REASON = 400  # characters of an exception; train.log has all
MOST_CHANGED = 25  # rows; config.yaml has the rest


@dataclass(frozen=True)
class Story:
    """What is told of a run.

    Args:
        run: that ended.
        origin: of ``provenance.json``.
        changed: key, value and default of what is not as the defaults have it.
        so_far: the best monitored value, of a run that did not come to write it down.
        observed: name and sentence of each observation.
    """

    run: Run
    origin: Mapping[str, Any] = field(default_factory=dict)
    changed: Sequence[tuple[str, Any, Any]] = ()
    observed: Sequence[tuple[str, str]] = ()
    so_far: tuple[str, float] | None = None

    def text(self) -> str:
        """All of it, up to the heading of the next step."""
        blocks = [
            f"# {escaped(self.run.name)}",
            _sentence(self.run),
            f"```sh\n{one_line(repeat_command(self.run, self.origin))}\n```",
            "## Configuration",
            *_configuration(self.run, self.changed),
            "## Results",
            markdown([("figure", "value"), *_results(self)]),
            "## Observations",
            "\n".join(f"- **{escaped(n)}**: {escaped(text)}" for n, text in self.observed)
            or "None.",
            KEPT,
        ]
        return "\n\n".join(blocks) + "\n\n"


def _sentence(run: Run) -> str:
    moment = run.began if run.began is not None else run.written
    when = f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC"
    reason = run.result.get("exception")
    if isinstance(reason, str):
        reason = " ".join(reason.split())
    said = f": {escaped(clipped(one_line(reason), REASON))}" if reason else ""
    return f"Began {when}, **{run.status}**{said.removesuffix('.')}."


def _configuration(run: Run, changed: Sequence[tuple[str, Any, Any]]) -> Iterator[str]:
    typed = ", ".join(map(code, run.overrides))
    yield f"Typed: {typed}." if typed else "Nothing was typed."
    if changed:
        rows = [
            (clipped(one_line(key)), cell(value, "g"), cell(default, "g"))
            for key, value, default in changed[:MOST_CHANGED]
        ]
        yield markdown([("not as by default", "here", "default"), *rows])
    if (rest := len(changed) - MOST_CHANGED) > 0:
        yield f"And {rest} more, in `config.yaml`."


def _results(story: Story) -> Iterator[tuple[str, str]]:
    run = story.run
    if run.best is None and story.so_far is not None:
        yield f"best {story.so_far[0]} so far", cell(story.so_far[1])
    if run.best is not None:
        epoch = "" if run.best_epoch is None else f" in epoch {run.best_epoch}"
        yield f"best {run.monitor}", f"{cell(run.best)}{epoch}"
    for name in sorted(run.metrics):
        if name.startswith("test/"):
            yield name, cell(run.metrics[name])
    for name, form in (("epochs", ",.0f"), ("seconds", ",.1f"), ("parameters", ",.0f")):
        if (value := number(run.result.get(name))) is not None:
            yield name, cell(value, form)
    if samples := samples_of(story.origin):
        yield "samples", samples
    if commit := commit_of(story.origin):
        yield "commit", commit


def write_story(folder: Path, story: Story) -> None:
    """Write ``experiment.md``, keeping what a person wrote from the heading of the next step on.

    One without that heading was written over by a person, and is kept beside it as
    ``experiment.old.md``.

    Raises:
        OSError: if it cannot be written.
    """
    path = folder / STORY
    kept = EMPTY.encode()
    if path.is_file() and not path.is_symlink():
        before = path.read_bytes()
        if found := _NEXT_LINE.search(before):
            kept = before[found.start() :]
        else:
            write_atomically(path.with_name("experiment.old.md"), before)
    write_atomically(path, story.text().encode() + kept)
