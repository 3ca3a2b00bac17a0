"""The ``search`` node of a configuration: how many trials, where kept, what becomes of them.

Imports nothing heavy: mistakes are answered before Optuna and torch are imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from burnish.errors import ConfigError

KEEP = ("best", "all", "none")
FINAL = ("none", "eval", "retrain")
# What a trial can be weighed against besides its monitored metric; all of it is better when small.
AGAINST = ("parameters", "latency", "seconds")
FILE_NAME = re.compile(r"[^/\\]+\.db")
Tree = Mapping[str, Any]


@dataclass(frozen=True)
class Settings:
    """What ``search.*`` says.

    Args:
        study: name of the study; with the storage it says which trials belong together.
        storage: name of an SQLite file in the search's folder, or URL of a database as SQLAlchemy
            has it; None: memory, gone with the process.
        n_trials: finished trials in all, over every start and every machine.
        n_jobs: jobs handed to the launcher at once.
        space: key or group to a search expression of Hydra's grammar, ``interval(0, 0.5)`` say.
        when: ``group=choice`` or ``key=value`` to a space that holds for such trials only.
        against: further objectives, of :data:`AGAINST`, each minimised.
        keep_checkpoints: ``best``: of the best trial (the Pareto front); ``all``; ``none``.
        final: what is done with the best trial at the end: ``eval`` scores its checkpoint on the
            test split, ``retrain`` trains its configuration anew and scores that.
        final_seeds: with ``retrain``, so many trainings with consecutive seeds.
        devices: accelerator devices that are handed out, one a job; ``auto``: all GPUs; None: a
            job uses what ``trainer.devices`` says.
        trial: set by the sweep for its jobs: the trial's number.
    """

    study: str
    storage: str | None = None
    n_trials: int = 20
    n_jobs: int = 1
    space: Tree = field(default_factory=dict)
    when: Mapping[str, Tree] = field(default_factory=dict)
    against: Sequence[str] = field(default_factory=list)
    keep_checkpoints: str = "best"
    final: str = "none"
    final_seeds: int = 1
    devices: str | Sequence[int] | None = None
    trial: int | None = None


def settings(node: Mapping[str, Any]) -> Settings:
    """The checked settings.

    Args:
        node: the resolved ``search`` node.

    Raises:
        ConfigError: naming every key that is unknown or has no sensible value.
    """
    known = [f.name for f in fields(Settings)]
    unknown = [name for name in node if name not in known]
    problems = [f"search.{name}: nothing reads this key{_nearest(name, known)}" for name in unknown]
    given = {name: value for name, value in node.items() if name in known}
    problems += _problems(Settings(**{"study": "", **given}))
    if problems:
        raise ConfigError(problems)
    return Settings(**given)


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean search.{near[0]}?" if near else f"; known: {', '.join(known)}"


def _problems(given: Settings) -> list[str]:
    problems = []
    if not (isinstance(given.study, str) and given.study and "/" not in given.study):
        problems.append(f"search.study: must be a name without slashes, found {given.study!r}")
    storage = given.storage
    if storage is not None and not (
        isinstance(storage, str) and ("://" in storage or FILE_NAME.fullmatch(storage))
    ):
        problems.append(
            "search.storage: must be the name of a file ending in .db, the URL of a database such "
            f"as postgresql://user@host/name, or null; found {storage!r}"
        )
    problems += [
        f"search.{key}: must be a whole number of at least 1, found {value!r}"
        for key in ("n_trials", "n_jobs", "final_seeds")
        if not isinstance(value := getattr(given, key), int) or isinstance(value, bool) or value < 1
    ]
    problems += [
        f"search.{key}: must be {', '.join(choices)}, found {value!r}"
        for key, choices in (("keep_checkpoints", KEEP), ("final", FINAL))
        if (value := getattr(given, key)) not in choices
    ]
    return problems + _combinations(given)


def _combinations(given: Settings) -> list[str]:
    problems = []
    names = given.against
    if not isinstance(names, list) or any(n not in AGAINST for n in names) or _repeats(names):
        problems.append(
            f"search.against: must be a list of some of {', '.join(AGAINST)}, found {names!r}"
        )
    if given.trial is not None:
        problems.append("search.trial: is set by the search for its jobs; leave it null")
    if given.final == "eval" and given.keep_checkpoints == "none":
        problems.append(
            "search.final: eval scores the best trial's checkpoint, but "
            "search.keep_checkpoints=none keeps none; choose best, or search.final=retrain"
        )
    if given.final != "none" and given.against:
        problems.append(
            f"search.final: {given.final} is for one best trial; with search.against there is a "
            "front of them: leave search.final=none and choose from it"
        )
    if given.final_seeds != 1 and given.final != "retrain":
        problems.append("search.final_seeds: is for search.final=retrain")
    devices = given.devices
    if not (devices in (None, "auto") or _whole(devices)):
        problems.append(
            "search.devices: must be auto, null or a list of device numbers such as [0,1], "
            f"found {devices!r}"
        )
    return problems


def _repeats(names: Sequence[str]) -> bool:
    return len(set(names)) != len(names)


def _whole(devices: Any) -> bool:
    return (
        isinstance(devices, list)
        and bool(devices)
        and all(isinstance(d, int) and d >= 0 for d in devices)
        and len(set(devices)) == len(devices)
    )
