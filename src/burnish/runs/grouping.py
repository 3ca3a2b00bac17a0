"""Mean and deviation over runs of the same experiment, wherever they lie and however typed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from burnish.runs.groups import REPEATS, SHOWN, Group, summary
from burnish.runs.listing import Run
from burnish.runs.settings import differing, experiment_of
from burnish.runs.words import cell, number

Typed = tuple[str, ...]


def repeats_table(runs: Sequence[Run], metrics: Sequence[str] = ()) -> list[tuple[str, ...]]:
    """Rows, the heading first: what was typed, n of how many runs, mean ± standard deviation.

    Runs whose configurations differ by seed or fold only make one row, whether a value was typed
    or is the default; only finished ones give figures.

    Args:
        runs: at least one.
        metrics: names of columns; empty for the monitored one and the usual ones of the test.
    """
    groups = []
    for members in _named(_experiments(runs)):
        name, alike = members
        group = Group(name, len(alike))
        for run in alike:
            for metric, value in _figures(run, metrics) if run.status == "finished" else ():
                group.figures.setdefault(metric, []).append(value)
        groups.append(group)
    return summary(groups)


def _experiments(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs by configuration; one that was refused before it had any joins those typed alike."""
    groups: dict[str, list[Run]] = {}
    known: dict[Typed, str] = {}
    for run in runs:
        if run.config:
            groups.setdefault(key := _key(run), []).append(run)
            known.setdefault(_typed(run), key)
    for run in runs:
        if not run.config:
            groups.setdefault(known.get(_typed(run), f"typed {_typed(run)}"), []).append(run)
    return list(groups.values())


def _key(run: Run) -> str:
    try:
        return json.dumps(_alike(experiment_of(run.config)), default=str, sort_keys=True)
    except (TypeError, ValueError, RecursionError):  # no config that was ever built
        return str(run.path)


def _alike(node: Any) -> Any:
    """Numbers as floats: a weight decay of 0 is one of 0.0."""
    if isinstance(node, dict):
        return {str(name): _alike(value) for name, value in node.items()}
    if isinstance(node, list):
        return [_alike(value) for value in node]
    return number(node) if type(node) is int else node


def _typed(run: Run) -> Typed:
    return tuple(o for o in run.overrides if o.lstrip("+~").partition("=")[0] not in REPEATS)


def _named(groups: Sequence[list[Run]]) -> list[tuple[Typed, list[Run]]]:
    """Each with the least that was typed for it; with what differs where that is the same."""
    names = [min(map(_typed, group), key=len) for group in groups]
    named = []
    for name, group in zip(names, groups, strict=True):
        rivals = [g for n, g in zip(names, groups, strict=True) if set(n) == set(name)]
        more = _apart(group, rivals) if len(rivals) > 1 else ()
        named.append(((*name, *more), group))
    return named


def _apart(group: list[Run], rivals: Sequence[list[Run]]) -> Typed:
    """What only the configuration tells: a default that changed between two runs, say."""
    configs = [experiment_of(rival[0].config) for rival in rivals]
    place = next(i for i, rival in enumerate(rivals) if rival is group)
    return tuple(f"{key}={cell(values[place], 'g')}" for key, values in differing(configs))


def _figures(run: Run, metrics: Sequence[str]) -> list[tuple[str, float]]:
    if metrics:
        found = [(name, run.best if name == "best" else run.metrics.get(name)) for name in metrics]
    else:
        found = [(f"best {run.monitor}", run.best if run.monitor else None)]
        found += [(name, run.metrics.get(name)) for name in SHOWN]
    return [(name, value) for name, value in found if value is not None]
