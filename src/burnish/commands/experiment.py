"""What every training writes when it begins and when it ends: its experiment.md."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from burnish.config.paths import conf_dir
from burnish.runs.console import say
from burnish.runs.curves import read_curves
from burnish.runs.folder import RunFolder
from burnish.runs.listing import Run, read
from burnish.runs.outcome import described
from burnish.runs.reading import read_provenance
from burnish.runs.settings import changed, defaults
from burnish.runs.story import STORY, Story, write_story


def write_experiment(run: RunFolder) -> None:
    """Tell the run's story in its folder; whatever goes wrong here is no fault of the run.

    Args:
        run: that begins or ended, its ``result.json`` written.
    """
    try:
        known = read(run.path)
        not_default = changed(known.config, _defaults()) if known.config else []
        origin = read_provenance(run.path)
        goes_on = known.result.get("status") == "running"
        observed = [] if goes_on else list(_observed(run))
        so_far = _so_far(known)
        write_story(run.path, Story(known, origin, not_default, observed, so_far))
    except Exception as error:  # a training of days must not fail for its notes
        say(f"{'note':<12}{STORY} was not written ({described(error)})")


def _so_far(run: Run) -> tuple[str, float] | None:
    """Name and best value of what a run monitored that was stopped before it could say."""
    name, mode = run.config.get("monitor"), run.config.get("mode")
    if run.best is not None or not isinstance(name, str):
        return None
    values = [value for _, _, value in read_curves(run.path).epochs(name) if value == value]
    return (name, min(values) if mode == "min" else max(values)) if values else None


def _observed(run: RunFolder) -> Iterator[tuple[str, str]]:
    try:
        from burnish.diagnosis.run import diagnose_run

        for verdict in diagnose_run(run):
            sentences = (text.rstrip(". ") for text in (verdict.figure, verdict.advice) if text)
            yield verdict.check, ". ".join(sentences) + "."
    except Exception as error:  # the rest of the story is worth telling
        yield "curves", f"could not be judged ({described(error)})"


@cache
def _defaults() -> dict[str, Any]:
    """Read once for all trials of a sweep."""
    return defaults(conf_dir())
