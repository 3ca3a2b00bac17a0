"""What a run's provenance says, in words; it may be anybody's, and hold anything."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from burnish.runs.listing import Run


def repeat_command(run: Run, origin: Mapping[str, Any]) -> str:
    """What to type to train the same again: as it was typed, from the checkout or installed.

    Args:
        run: whose overrides it repeats.
        origin: of ``provenance.json``; empty if there is none.
    """
    command = origin.get("command")
    words = [w for w in command if isinstance(w, str)] if isinstance(command, list) else []
    installed = bool(words) and not words[0].endswith(".py")
    program = ["burnish", "train"] if installed else ["python", "src/train.py"]
    return shlex.join([*program, *_config_dir(words), *run.overrides])


def _config_dir(words: list[str]) -> list[str]:
    """Configuration files of the user's own are no override, and are needed all the same."""
    for word, following in pairwise([*words, ""]):
        name, _, value = word.partition("=")
        if name in ("--config-dir", "-cd") and (value or following):
            return ["--config-dir", value or following]
    return []


def commit_of(origin: Mapping[str, Any]) -> str:
    """The commit, and whether there were changes beside it; "" outside a repository."""
    git = origin.get("git")
    if not isinstance(git, dict) or not isinstance(commit := git.get("commit"), str):
        return ""
    return commit + (" with changes" if git.get("diff") else "")


def samples_of(origin: Mapping[str, Any]) -> str:
    """``1,294 train, 144 val, 359 test``; "" if it does not say."""
    data = origin.get("data")
    counts = data.get("class_counts") if isinstance(data, dict) else None
    found = counts.items() if isinstance(counts, dict) else ()
    return ", ".join(
        f"{sum(values):,} {split}"
        for split, values in found
        if isinstance(values, list) and all(type(v) is int and abs(v) < 2**63 for v in values)
    )
