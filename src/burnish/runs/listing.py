"""All runs below a folder: found and read, from the small files that they left.

Only ``result.json`` and ``overrides.yaml`` are read, and a run's ``config.yaml`` if a key is asked
for that was not typed: thousands of runs are listed in the time of reading two small files each.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from burnish.errors import RunError
from burnish.runs.alive import what_became
from burnish.runs.folder import STATUSES, RunFolder, find_run, refuse_links
from burnish.runs.reading import plain_yaml, read_config, small_text
from burnish.runs.words import number

# Where training, multiruns and searches put their runs, below the folder of outputs.
LEVELS = {"train": 2, "multirun": 3, "search": 2}
FIELDS = ("status", "age", "best", "seconds", "epochs", "steps")
WRITTEN_MEANWHILE = ("metrics.csv", "train.log")

Value = float | str | None

# An override that needs no YAML: it has a key, and nothing that YAML could read in another way.
_PLAIN_ITEM = re.compile(r"- ([A-Za-z_+~][\w./@+~-]*=[\w./,+-]*)")


@dataclass(frozen=True)
class Run:
    """What a run says of itself.

    Args:
        path: its folder.
        result: of ``result.json``.
        overrides: what was typed.
        written: when ``result.json`` was, in seconds since 1970.
    """

    path: Path
    result: Mapping[str, Any]
    overrides: tuple[str, ...]
    written: float

    @property
    def name(self) -> str:
        """The folder's name; that of a job, a bare number, after its sweep's."""
        return "/".join(self.path.parts[-2 if self.path.name.isdecimal() else -1 :])

    @cached_property
    def fate(self) -> tuple[str, str]:
        """The status, and how it is known if the run does not say so itself."""
        said = str(self.result["status"])
        return (
            (said, "") if said != "running" else what_became(self.result, self.written, self.heard)
        )

    @property
    def status(self) -> str:
        """One of ``burnish.runs.folder.STATUSES``, ``killed`` or ``lost?``."""
        return self.fate[0]

    @cached_property
    def began(self) -> float | None:
        """When its training began, or went on, in seconds since 1970."""
        text = self.result.get("began")
        if not isinstance(text, str):
            return None
        with suppress(ValueError, OverflowError, OSError):  # the year 1 has no such seconds
            seconds = datetime.fromisoformat(text).timestamp()
            return seconds if 0 <= seconds < time.time() + 86400 else None
        return None

    @cached_property
    def heard(self) -> float:
        """When it was last heard of, in seconds since 1970.

        An ended run says it itself: the times of a copied folder's files are those of the copy.
        """
        if self.result["status"] == "running":
            return max([self.written, *_times(self.path)])
        seconds = number(self.result.get("seconds"))
        if self.began is None or seconds is None or not 0 <= seconds < time.time():
            return self.written
        return min(self.began + seconds, self.written)

    @property
    def age(self) -> float:
        """Seconds since it was last heard of."""
        return max(0.0, time.time() - self.heard)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Name to last value, those that are numbers."""
        found = self.result.get("metrics")
        pairs = found.items() if isinstance(found, dict) else ()
        return {name: value for name, text in pairs if (value := number(text)) is not None}

    @property
    def best(self) -> float | None:
        """Best value of the monitored metric."""
        found = self.result.get("best")
        return number(found.get("value")) if isinstance(found, dict) else None

    @property
    def best_epoch(self) -> int | None:
        """The epoch of the best value, counted from 1, as people read it."""
        found = self.result.get("best")
        epoch = found.get("epoch") if isinstance(found, dict) else None
        return epoch + 1 if type(epoch) is int and 0 <= epoch < 2**63 else None

    @property
    def monitor(self) -> str | None:
        """Name of the monitored metric."""
        found = self.result.get("best")
        name = found.get("monitor") if isinstance(found, dict) else None
        return name if isinstance(name, str) else None

    @cached_property
    def typed(self) -> dict[str, str]:
        """Key to value of what was typed."""
        parts = (o.lstrip("+").partition("=") for o in self.overrides if not o.startswith("~"))
        return {key: value.strip("'\"") for key, _, value in parts}

    @cached_property
    def config(self) -> dict[str, Any]:
        """The resolved configuration; empty if it cannot be read."""
        try:
            return read_config(self.path)
        except RunError:
            return {}

    def value(self, key: str) -> Value:
        """A metric, one of :data:`FIELDS`, what was typed, or a key of the configuration.

        A part of the configuration that is built (``model``) is known by its class's name.
        """
        if key in self.metrics:
            return self.metrics[key]
        if key in FIELDS:
            known = getattr(self, key) if hasattr(self, key) else self.result.get(key)
            return known if key == "status" else number(known)
        if key in self.typed:
            return self.typed[key]
        return None if "/" in key else _plain(self.config, key)


def _times(folder: Path) -> Iterator[float]:
    """When the files were written that a run writes while it goes on."""
    for name in WRITTEN_MEANWHILE:
        with suppress(OSError):
            yield (folder / name).lstat().st_mtime


def _plain(config: Mapping[str, Any], key: str) -> Value:
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return None
        node = node[part]
    if isinstance(node, dict):
        target = node.get("_target_")
        return target.rpartition(".")[2] if isinstance(target, str) else None
    if isinstance(node, bool) or node is None:
        return {True: "true", False: "false", None: "null"}[node]
    found = number(node)
    return str(node) if found is None else found


def find(root: Path) -> tuple[list[Run], list[str]]:
    """All runs below ``root``, and what was skipped: ``<folder>: <why>``.

    Args:
        root: the folder of outputs, or that of one multirun or search.

    Raises:
        RunError: if ``root`` is no folder.
    """
    if not root.is_dir():
        found = "is no folder" if root.exists() else "does not exist"
        raise RunError(f"--root: {root} {found}; expected the folder of the runs, like outputs")
    runs, skipped = [], []
    for folder in _candidates(root):
        try:
            runs.append(read(folder))
        except RunError as error:
            skipped.append(str(error))
    return runs, skipped


def _candidates(root: Path) -> Iterator[Path]:
    """Where runs should lie below a folder of outputs; what holds results below any other."""
    places = [(root / kind, depth) for kind, depth in LEVELS.items() if (root / kind).is_dir()]
    for place, depth in places:
        yield from _folders(place, depth)
    for depth in range(1, 4) if not places else ():
        yield from (f for f in _folders(root, depth) if (f / "result.json").is_file())


def _folders(parent: Path, depth: int) -> Iterator[Path]:
    """Folders that lie so many levels below; links are not followed."""
    try:
        with os.scandir(parent) as found:
            names = sorted(e.name for e in found if e.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in names:
        if depth == 1:
            yield parent / name
        else:
            yield from _folders(parent / name, depth - 1)


def read(folder: Path) -> Run:
    """One run.

    Raises:
        RunError: if the folder holds no readable result of a run.
    """
    text, written = small_text(folder / "result.json")
    try:
        result = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{folder}: result.json is not JSON") from error
    if not isinstance(result, dict) or result.get("status") not in STATUSES:
        raise RunError(f"{folder}: result.json is not that of a run")
    return Run(folder, result, _overrides(folder), written)


def _overrides(folder: Path) -> tuple[str, ...]:
    text, _ = small_text(folder / "overrides.yaml")
    lines = text.splitlines()
    items: Any = [found[1] for line in lines if (found := _PLAIN_ITEM.fullmatch(line))]
    if len(items) < len(lines):
        items = plain_yaml(folder / "overrides.yaml", text)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise RunError(f"{folder}: overrides.yaml is no list of overrides")
    return tuple(items)


def pick(root: Path, name: str) -> RunFolder:
    """The run that a user named: its folder, or the end of its path below ``root``.

    Raises:
        RunError: if there is none, several, or one with links in it.
    """
    if Path(name).exists() or not root.is_dir():
        return _opened(Path(name))
    found = [folder for folder in _candidates(root) if str(folder).endswith(name)]
    # s/2 is the trial 2 of the study s, even if there is a study named tests as well.
    found = [folder for folder in found if str(folder).endswith(f"/{name}")] or found
    if len(found) != 1:
        said = f"the paths of {len(found)} runs end so" if found else "no run's path ends so"
        raise RunError(f"RUN: {name}: is no folder, and below {root} {said}")
    return _opened(found[0])


def _opened(path: Path) -> RunFolder:
    if not (path / "result.json").is_file():
        return find_run(str(path), "RUN")[0]  # a folder in it, or it says what is wrong
    refuse_links(path)  # a run that was refused has no config.yaml, and is a run still
    return RunFolder(path)
