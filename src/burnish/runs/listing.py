"""All runs below a folder: found, read, filtered and sorted, from the files that they left.

Only ``result.json`` and ``overrides.yaml`` are read, and a run's ``config.yaml`` if a key is asked
for that was not typed: thousands of runs are listed in the time of reading two small files each.
"""

from __future__ import annotations

import json
import math
import operator
import os
import re
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from burnish.errors import ConfigError, RunError
from burnish.runs.console import printable
from burnish.runs.folder import STATUSES, RunFolder, _PlainLoader, _refuse_links, find_run

# Where training, multiruns and searches put their runs, below the folder of outputs.
LEVELS = {"train": 2, "multirun": 3, "search": 2}
FIELDS = ("status", "age", "best", "seconds", "epochs", "steps")
# A result or a list of overrides takes a few kB; a stranger's file may be anything.
MOST_BYTES = 4_000_000
SHALLOW = 500  # levels of YAML; the fast loader's stack holds tens of thousands

Value = float | str | None

# An override that needs no YAML: it has a key, and nothing that YAML could read in another way.
_PLAIN_ITEM = re.compile(r"- ([A-Za-z_+~][\w./@+~-]*=[\w./,+-]*)")
# yaml.CSafeLoader is ten times faster, but not built everywhere.
_FAST_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Run:
    """What a run says of itself.

    Args:
        path: its folder.
        result: of ``result.json``.
        overrides: what was typed.
        modified: when it was last heard of, in seconds since 1970.
    """

    path: Path
    result: Mapping[str, Any]
    overrides: tuple[str, ...]
    modified: float

    @property
    def status(self) -> str:
        """One of ``burnish.runs.folder.STATUSES``."""
        return str(self.result["status"])

    @property
    def age(self) -> float:
        """Seconds since it was last heard of."""
        return max(0.0, time.time() - self.modified)

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


def number(value: Any) -> float | None:
    """The value as a float, if it is a number or the text of one; no truth value is."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if isinstance(value, int) and value > 0 else -math.inf
    except ValueError:
        return None


def one_line(value: Any) -> str:
    """Anybody's value as text in one line that every terminal and file takes."""
    try:
        text = str(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, lists without end
        return "(cannot be said)"
    text = text.encode(errors="backslashreplace").decode()  # half a character, as JSON may hold
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


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


# --- finding and reading -------------------------------------------------------------------------


def find(root: Path) -> tuple[list[Run], list[str]]:
    """All runs below ``root``, and what was skipped: ``<folder>: <why>``.

    Raises:
        RunError: if ``root`` is no folder.
    """
    if not root.is_dir():
        raise RunError(f"--root: {root} is no folder; expected that of the runs, outputs")
    runs, skipped = [], []
    for kind, depth in LEVELS.items():
        for folder in _folders(root / kind, depth):
            try:
                runs.append(read(folder))
            except RunError as error:
                skipped.append(str(error))
    return runs, skipped


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
    text, modified = _text(folder / "result.json")
    try:
        result = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{folder}: result.json is not JSON") from error
    if not isinstance(result, dict) or result.get("status") not in STATUSES:
        raise RunError(f"{folder}: result.json is not that of a run")
    return Run(folder, result, _overrides(folder), modified)


def _overrides(folder: Path) -> tuple[str, ...]:
    text, _ = _text(folder / "overrides.yaml")
    lines = text.splitlines()
    items: Any = [found[1] for line in lines if (found := _PLAIN_ITEM.fullmatch(line))]
    if len(items) < len(lines):
        items = _yaml(folder / "overrides.yaml", text)
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise RunError(f"{folder}: overrides.yaml is no list of overrides")
    return tuple(items)


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a run, as it is written; interpolations stay text.

    Raises:
        RunError: if it is missing, a link, or no mapping in plain YAML.
    """
    config = _yaml(folder / "config.yaml", _text(folder / "config.yaml")[0])
    if not isinstance(config, dict):
        raise RunError(f"{folder}: config.yaml holds no mapping")
    return config


def read_provenance(folder: Path) -> dict[str, Any]:
    """Where a run came from; empty if it does not say so readably."""
    try:
        found = json.loads(_text(folder / "provenance.json")[0])
    except (RunError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _yaml(path: Path, text: str) -> Any:
    try:
        return yaml.load(text, _FAST_LOADER if _is_harmless(text) else _PlainLoader)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise RunError(f"{path.parent}: {path.name} is not plain YAML") from error


def _is_harmless(text: str) -> bool:
    """Whether the fast loader may read it: it follows aliases, and too deep a text crashes it.

    An alias needs an asterisk; every level takes a bracket, or a column of its own in some line.
    """
    if "*" in text or text.count("[") + text.count("{") > SHALLOW:
        return False
    return max(map(len, text.splitlines()), default=0) <= SHALLOW


def _text(path: Path) -> tuple[str, float]:
    """A file's text and the time of its last change; no link, pipe or giant is opened."""
    where = f"{path.parent}: {path.name}"
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        why = "is a link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise RunError(f"{where} {why}") from error
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise RunError(f"{where} is no file")
        if about.st_size > MOST_BYTES:
            raise RunError(f"{where} has {about.st_size:,} bytes, more than any run writes")
        try:
            return file.read(MOST_BYTES).decode(), about.st_mtime
        except UnicodeDecodeError as error:
            raise RunError(f"{where} is not UTF-8") from error


def pick(root: Path, name: str) -> RunFolder:
    """The run that a user named: its folder, or the end of its path below ``root``.

    Raises:
        RunError: if there is none, several, or one with links in it.
    """
    if Path(name).exists() or not root.is_dir():
        return _opened(Path(name))
    folders = [f for kind, depth in LEVELS.items() for f in _folders(root / kind, depth)]
    found = [folder for folder in folders if str(folder).endswith(name)]
    if len(found) != 1:
        said = f"the paths of {len(found)} runs end so" if found else "no run's path ends so"
        raise RunError(f"RUN: {name}: is no folder, and below {root} {said}")
    return _opened(found[0])


def _opened(path: Path) -> RunFolder:
    if not (path / "result.json").is_file():
        return find_run(str(path), "RUN")[0]  # a folder in it, or it says what is wrong
    _refuse_links(path)  # a run that was refused has no config.yaml, and is a run still
    return RunFolder(path)


# --- filtering and sorting -----------------------------------------------------------------------

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le,
    "=": operator.eq, ">": operator.gt, "<": operator.lt,
}  # fmt: skip
_CONDITION = re.compile(r"([^=<>!\s]+)\s*(==|!=|>=|<=|=|>|<)\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Condition:
    """``model=mlp`` or ``test/accuracy>0.9``.

    Args:
        key: see :meth:`Run.value`.
        sign: ``=``, ``==``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
        value: to compare with: as a number if both are, as a name otherwise.
    """

    key: str
    sign: str
    value: str

    def holds(self, run: Run) -> bool:
        """Whether the run meets it; a run without the key meets ``!=`` alone."""
        found = run.value(self.key)
        if found is None:
            return self.sign == "!="
        numbers = number(found), number(self.value)
        if None not in numbers:
            return _COMPARE[self.sign](*numbers)
        if self.sign not in ("=", "==", "!="):
            return False
        return _COMPARE[self.sign](_name(str(found)), _name(self.value))


def _name(text: str) -> str:
    """``simple_cnn`` and ``SimpleCNN`` name one net: the file's name and the class's."""
    return text.replace("_", "").casefold()


def conditions(texts: Sequence[str]) -> list[Condition]:
    """Conditions as typed.

    Raises:
        ConfigError: if one is none, or compares order with what is no number.
    """
    return [_condition(text) for text in texts]


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text.strip())
    if not found:
        raise ConfigError(f"--where: {text!r} is no condition; like 'model=mlp' 'test/loss<0.1'")
    condition = Condition(found[1], found[2], found[3].strip().strip("'\""))
    if condition.sign[0] in "<>" and number(condition.value) is None:
        raise ConfigError(f"--where: {text}: {condition.sign} needs a number")
    return condition


def filtered(runs: Sequence[Run], wanted: Sequence[Condition]) -> list[Run]:
    """Those that meet all conditions.

    Raises:
        ConfigError: if no run has the key of a condition.
    """
    for condition in wanted:
        _refuse_unknown(runs, condition.key, "--where")
    return [run for run in runs if all(condition.holds(run) for condition in wanted)]


def ordered(runs: Sequence[Run], key: str, *, option: str = "--sort") -> list[Run]:
    """Sorted by a key: the better metric first, otherwise the smaller; without it last.

    Raises:
        ConfigError: if no run has the key.
    """
    _refuse_unknown(runs, key, option)
    rising = (key in FIELDS and key != "best") or not any(key in run.metrics for run in runs)
    if key == "best":
        names = {run.monitor for run in runs if run.monitor}
        rising = bool(names) and all(map(lower_is_better, names))
    sign = 1 if rising or lower_is_better(key) else -1

    def rank(run: Run) -> tuple[int, float, str]:
        value = run.value(key)
        figure = number(value)
        if value is None or (figure is not None and math.isnan(figure)):
            return 2, 0.0, ""
        return (0, sign * figure, "") if figure is not None else (1, 0.0, str(value))

    return sorted(runs, key=rank)


def lower_is_better(metric: str) -> bool:
    """Whether the name is that of a loss or an error; other metrics are good if they are high."""
    return re.search(r"loss|error|perplexity", metric) is not None


def _refuse_unknown(runs: Sequence[Run], key: str, option: str) -> None:
    if not runs or any(run.value(key) is not None for run in runs):
        return
    known = {*FIELDS, *(name for run in runs for name in (*run.metrics, *run.typed))}
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "a metric, a key of the config, or one of "
    raise ConfigError(f"{option}: no run has {key}; {hint}{'' if near else ', '.join(FIELDS)}")
