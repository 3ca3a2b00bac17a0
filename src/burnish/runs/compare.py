"""Two runs beside each other: what differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.errors import RunError
from burnish.runs.folder import RunFolder
from burnish.runs.listing import read
from burnish.runs.reading import read_config, read_provenance

# Of every run its own: no difference between experiments.
ITS_OWN = ("pid", "host", "began", "started", "status", "exception")


def flat(node: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys to values; lists are values."""
    if not isinstance(node, dict) or (prefix and not node):
        return {prefix: node}
    found: dict[str, Any] = {}
    for name, value in node.items():
        found |= flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Key and both values where they differ, in the order of the keys; ``-`` for a missing one."""
    left, right = flat(dict(a)), flat(dict(b))
    keys = dict.fromkeys((*left, *right))
    return [
        (key, left.get(key, "-"), right.get(key, "-"))
        for key in keys
        if key not in left or key not in right or not _same(left[key], right[key])
    ]


def _same(a: Any, b: Any) -> bool:
    return type(a) is type(b) and bool(a == b or (a != a and b != b))  # nan is like nan


def compared(a: RunFolder, b: RunFolder) -> dict[str, list[tuple[str, Any, Any]]]:
    """Differences of two runs by what they are of: ``config``, ``provenance``, ``result``.

    Raises:
        RunError: if a config or a result cannot be read.
    """
    results = [{k: v for k, v in read(f.path).result.items() if k not in ITS_OWN} for f in (a, b)]
    origins = [
        {k: v for k, v in read_provenance(f.path).items() if k not in ITS_OWN} for f in (a, b)
    ]
    configs = [read_config(folder.path) for folder in (a, b)]
    pairs = {"config": configs, "provenance": origins, "result": results}
    try:
        return {name: differences(*pair) for name, pair in pairs.items()}
    except RecursionError as error:
        raise RunError(f"{a.path} or {b.path}: nested deeper than any run writes") from error
