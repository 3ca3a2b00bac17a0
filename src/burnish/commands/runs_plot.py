"""runs plot: curves of several runs in one figure."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from burnish.commands.runs_found import add_where, found, none_found
from burnish.errors import ConfigError
from burnish.runs.console import short
from burnish.runs.curves import Curves, read_curves
from burnish.runs.folder import write_atomically
from burnish.runs.listing import Run, pick, read
from burnish.runs.settings import differing, experiment_of, repeat_of
from burnish.runs.words import cell, one_line

HELP = "curves of several runs in one figure, over epochs"

KINDS = ("png", "svg")
USUAL = ("val/loss", "train/loss")
MOST = 20  # runs whose colours can still be told apart
SAID = 4  # keys of a label


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``runs plot``."""
    parser.add_argument(
        "runs", nargs="*", metavar="RUN",
        help=f"at most {MOST} (default: all that meet --where)",
    )  # fmt: skip
    add_where(parser)
    parser.add_argument("--metric", nargs="+", action="extend", default=[], metavar="KEY",
        help=f"those of one quantity share a panel (default: {' '.join(USUAL)})")  # fmt: skip
    parser.add_argument("--output", default="curves.png", metavar="FILE",
        help=f"{' or '.join(f'.{kind}' for kind in KINDS)} (default curves.png)")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Draw them; exit code 1 if there is no run.

    Raises:
        ConfigError: if no run logged a metric, there are too many, or the file is of no such kind.
    """
    output = Path(options.output)
    kind = output.suffix[1:].lower()
    if kind not in KINDS:
        raise ConfigError(f"--output: {options.output} ends in neither .png nor .svg")
    if not output.parent.is_dir():
        raise ConfigError(f"--output: {output.parent} is no folder")
    runs = _asked(options)
    if not runs:
        print(none_found(options))
        return 1
    if len(runs) > MOST:
        raise ConfigError(f"RUN: at most {MOST} in one figure, found {len(runs):,}: add --where")
    curves = [read_curves(one.path) for one in runs]
    metrics = list(dict.fromkeys(options.metric or USUAL))
    _refuse_unknown(metrics, curves, asked=bool(options.metric))
    _draw(output, kind, runs, curves, metrics)
    print(one_line(f"{short(output.absolute())}: {', '.join(metrics)}; runs: {len(runs)}"))
    return 0


def _asked(options: argparse.Namespace) -> list[Run]:
    if not options.runs:
        return sorted(found(options), key=lambda one: one.heard)
    if options.where:
        raise ConfigError("--where: chooses runs where none is named; give RUN or --where")
    paths = dict.fromkeys(pick(Path(options.root), name).path for name in options.runs)
    return [read(path) for path in paths]


def _refuse_unknown(metrics: Sequence[str], curves: Sequence[Curves], *, asked: bool) -> None:
    logged = sorted({name for one in curves for name in one})
    if not logged:
        raise ConfigError("RUN: none of them logged a curve (logger=none, or not one epoch yet)")
    for metric in metrics:
        if metric not in logged and (asked or not set(metrics) & set(logged)):
            near = get_close_matches(metric, logged, n=1)
            hint = f"did you mean {near[0]}?" if near else f"they logged {', '.join(logged)}"
            raise ConfigError(f"--metric: no run logged {metric}; {hint}")


def _draw(
    output: Path, kind: str, runs: Sequence[Run], curves: Sequence[Curves], metrics: Sequence[str]
) -> None:
    from burnish.report.runs_plot import Line, curves_figure

    lines = [
        Line(label, {m: [(p.epoch + 1, p.value) for p in one.epochs(m)] for m in metrics})
        for label, one in zip(labels(runs), curves, strict=True)
    ]
    write_atomically(output, curves_figure(lines, metrics, kind))


def labels(runs: Sequence[Run]) -> list[str]:
    """What tells each from the others: the configuration, else the seed, else the folder."""
    said = _differing(runs, [experiment_of(one.config) for one in runs])
    if len(set(said)) < len(said):
        seeds = _differing(runs, [repeat_of(one.config) for one in runs])
        said = [", ".join(filter(None, pair)) for pair in zip(said, seeds, strict=True)]
    if len(set(said)) == len(said) > 1:
        return said
    folders = [one_line(one.name) for one in runs]
    return [f"{text} ({folder})" if text else folder
            for text, folder in zip(said, folders, strict=True)]  # fmt: skip


def _differing(runs: Sequence[Run], configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys and values of each; what somebody typed, if anything, as the rest follows from it."""
    found = list(differing(configs))
    found = [row for row in found if any(row[0] in one.typed for one in runs)] or found
    keys = [key for key, _ in found[:SAID]]
    more = ", …" if len(found) > SAID else ""
    return [
        ", ".join(f"{_short(key, keys)}={cell(values[place], 'g')}" for key, values in found[:SAID])
        + more
        for place in range(len(runs))
    ]


def _short(key: str, keys: Sequence[str]) -> str:
    """``lr`` for ``optimizer.lr``, unless that says nothing."""
    leaf = key.rpartition(".")[2]
    alone = sum(other.rpartition(".")[2] == leaf for other in keys) == 1
    return one_line(leaf if alone and leaf != "enabled" else key)
