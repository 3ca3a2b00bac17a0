"""Configurations as experiments: what differs between several, and from the defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burnish.runs.groups import REPEATS
from burnish.runs.reading import plain_yaml, small_text
from burnish.runs.words import number

# What two runs of one experiment may differ by: where they lie, what they are called, how they
# began. A shuffle_seed follows the seed unless it is set, and is a repeat as it is.
INCIDENTAL = (
    *REPEATS, "name", "paths", "resume", "trust", "traceback", "logger", "callbacks.progress",
    "callbacks.tensorboard", "callbacks.finite", "report", "layer",
)  # fmt: skip

MISSING = "-"
Difference = tuple[str, tuple[Any, ...]]


def experiment_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without :data:`INCIDENTAL`, and where data sets lie on this machine."""
    lies = _at(config, "data.root")
    shared = lies is not None and lies == _at(config, "paths.data")
    return _without(config, (*INCIDENTAL, "data.root") if shared else INCIDENTAL)


def repeat_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Seeds and folds of the configuration, by their dotted keys."""
    return {key: _at(config, key) for key in REPEATS}


def _without(node: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    kept = {}
    for name, value in node.items():
        inner = [key.partition(".")[2] for key in keys if key.startswith(f"{name}.")]
        if name not in keys:
            kept[name] = _without(value, inner) if inner and isinstance(value, dict) else value
    return kept


def differing(nodes: Sequence[Any], key: str = "") -> Iterator[Difference]:
    """Dotted keys and the values of each where they differ.

    Where the classes differ (``model``), their names say it, and of their arguments only those
    are told that all have.

    Args:
        nodes: of as many configurations, :data:`MISSING` for those that have none.
        key: of the nodes.
    """
    parts = [node for node in nodes if isinstance(node, dict)]
    targets = {str(part.get("_target_")) for part in parts}
    names = dict.fromkeys(name for part in parts for name in part)
    if len(parts) < len(nodes) or (key and len(targets) > 1):
        if not all(_same(node, nodes[0]) for node in nodes[1:]):
            yield key, tuple(map(_said, nodes))
        all_have = len(parts) == len(nodes)
        names = {n: None for n in names if all_have and n[:1] != "_" and all(n in p for p in parts)}
    for name in names:
        inner = [part.get(name, MISSING) for part in parts]
        yield from differing(inner, f"{key}.{name}" if key else str(name))


def _same(a: Any, b: Any) -> bool:
    """Numbers by value: YAML reads ``1e-3`` as text."""
    if type(a) is not bool and type(b) is not bool:
        numbers = number(a), number(b)
        if None not in numbers:
            return numbers[0] == numbers[1] or (a != a and b != b)
    return type(a) is type(b) and bool(a == b)


def _said(node: Any) -> Any:
    if isinstance(node, dict):
        target = node.get("_target_")
        return str(target).rpartition(".")[2] if target else "{...}"
    if node is None or isinstance(node, bool):
        return {True: "true", False: "false", None: "null"}[node]
    return node


def changed(config: Mapping[str, Any], known: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Key, value and default where they differ; a default that follows another key says nothing.

    Args:
        config: of a run.
        known: the defaults, see :func:`defaults`.
    """
    return [
        (key, value, default)
        for key, (value, default) in _changed(config, known)
        if value != MISSING and not (isinstance(default, str) and "${" in default)
    ]


def _changed(config: Mapping[str, Any], known: Mapping[str, Any]) -> Iterator[Difference]:
    """Like :func:`differing`, and of another class all arguments that it was given."""
    for key, values in differing([dict(config), dict(known)]):
        yield key, values
        node, default = _at(config, key), _at(known, key)
        shared = default if isinstance(default, dict) else {}
        for name, value in node.items() if isinstance(node, dict) else ():
            if value is not None and name[:1] != "_" and name not in shared:
                yield f"{key}.{name}", (_said(value), MISSING)


def _at(node: Any, key: str) -> Any:
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def defaults(conf: Path) -> dict[str, Any]:
    """What a training is configured as if nothing is typed; interpolations stay text.

    Hydra would take a quarter of a second to compose it; the files say it as well.

    Args:
        conf: the folder of the configuration files.

    Raises:
        RunError: if a file is missing or no plain YAML.
    """
    root = _file(conf / "train.yaml")
    chosen = root.pop("defaults", [])
    root.pop("hydra", None)
    for entry in chosen:
        for group, name in entry.items() if isinstance(entry, dict) else ():
            if name and " " not in group:  # "override hydra/..." is of Hydra, "optional ..." none
                root[group] = _choice(conf / group, name)
    return root


def _choice(folder: Path, name: str) -> dict[str, Any]:
    """A file of a group, after those that it begins with."""
    own = _file(folder / f"{name}.yaml")
    merged: dict[str, Any] = {}
    for base in own.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            merged |= _choice(folder, base)
    return merged | own


def _file(path: Path) -> dict[str, Any]:
    values = plain_yaml(path, small_text(path)[0])
    return dict(values) if isinstance(values, dict) else {}
