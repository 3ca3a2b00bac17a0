"""Figures of how a study went: values in order, learning curves, importances, Pareto fronts.

One colour means one thing in all of them: blue a complete trial, grey one that was pruned or is
dominated, orange the best, red a failure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from optuna.trial import FrozenTrial

from burnish.report.figures import Drawn, Theme
from burnish.report.study_axes import below, bounds, counted, label, painted, plain, value_axis
from burnish.report.study_facts import StudyFacts, best_so_far, last_seen
from burnish.report.study_words import short_names

MOST_NAMED = 12  # trials of a front that are labelled with their number


def history(facts: StudyFacts, objective: int = 0) -> Drawn:
    """The value of every trial in order, and the best so far as a line."""
    metric, up = label(facts.metrics[objective], 40), facts.maximise[objective]
    complete = [(t.number, float(t.values[objective])) for t in facts.of_kind("complete")]
    judged = facts.of_kind("pruned") if facts.single else []
    pruned = [(t.number, v) for t in judged if (v := last_seen(t)) is not None]
    failed = [(trial.number, math.nan) for trial in facts.of_kind("failed")]

    def paint(axes: Axes, theme: Theme) -> None:
        blue, orange, _, red, _ = theme.colours
        value_axis(axes, facts, objective, [value for _, value in complete or pruned])
        _marks(axes, "pruned", pruned, up, "x", theme.muted)
        _marks(axes, "complete", complete, up, "o", blue)
        _marks(axes, "failed", failed, up, "x", red)
        if complete:
            numbers, values = zip(*complete, strict=True)
            end = [*numbers, facts.trials[-1].number], best_so_far([*values, values[-1]], up)
            axes.step(*end, where="post", color=orange, linewidth=1.8, label="best so far")
        axes.set_xlabel("trial")
        axes.margins(x=0.03)
        counted(axes)
        below(axes)

    return painted(f"{metric} of every trial", paint)


def _marks(
    axes: Axes, name: str, places: Sequence[tuple[int, float]], up: bool, mark: str, colour: str
) -> None:
    """A mark a trial; those beyond the axis, or without a value, are ticks on its bad edge."""
    low, high = axes.get_ylim()
    inside = [(x, y) for x, y in places if low <= y <= high]
    outside = [x for x, y in places if not low <= y <= high]
    if inside:
        axes.plot(
            *zip(*inside, strict=True), mark, color=colour, alpha=0.8, markersize=4.5,
            markeredgewidth=1 if mark == "x" else 0, label=name,
        )  # fmt: skip
    if outside:
        axes.plot(
            outside, [0.02 if up else 0.98] * len(outside), "|", color=colour, markersize=7,
            transform=axes.get_xaxis_transform(), label=None if inside else name,
        )  # fmt: skip


def curves(facts: StudyFacts) -> Drawn:
    """The monitored value after every epoch, a line a trial."""
    metric = label(facts.metrics[0], 40)
    best = facts.ranked[0].number if facts.ranked else None
    lines = [trial for trial in facts.trials if _finite(trial)[0]]
    # The first epochs of poor trials are far off; what counts is where the lines end.
    ends = [y[-1] for y in (_finite(trial)[1] for trial in lines)]

    def paint(axes: Axes, theme: Theme) -> None:
        blue, orange, _, red, _ = theme.colours
        colours = {"complete": blue, "failed": red}
        strength = max(0.25, 0.8 - len(lines) / 100)
        for trial in sorted(lines, key=lambda t: t.number == best):
            kind = facts.kinds[trial.number]
            x, y = _finite(trial)
            own = trial.number == best
            axes.plot(
                x, y, color=orange if own else colours.get(kind, theme.muted),
                linewidth=2.2 if own else 1, alpha=1 if own else strength,
                marker="o" if len(x) == 1 else "", markersize=3,
            )  # fmt: skip
            if kind in ("pruned", "failed"):
                colour = red if kind == "failed" else theme.muted
                axes.plot(x[-1], y[-1], "x", color=colour, markersize=4.5)
        _legend_of_lines(axes, theme, facts, best)
        if ends:
            axes.set_ylim(*bounds([*ends, *(min(_finite(t)[1]) for t in lines)], facts.maximise[0]))
        axes.set_xlabel("epoch")
        axes.set_ylabel(metric)
        plain(axes.yaxis)
        counted(axes)
        below(axes)

    return painted(f"{metric} while training", paint)


def _finite(trial: FrozenTrial) -> tuple[list[int], list[float]]:
    """Epochs and their values."""
    seen = [(s, v) for s, v in sorted(trial.intermediate_values.items()) if math.isfinite(v)]
    return ([s for s, _ in seen], [v for _, v in seen]) if seen else ([], [])


def _legend_of_lines(axes: Axes, theme: Theme, facts: StudyFacts, best: int | None) -> None:
    blue, orange, _, red, _ = theme.colours
    if best is not None:
        axes.plot([], [], color=orange, linewidth=2.2, label=f"best, trial {best}")
    for kind, colour, mark in (
        ("complete", blue, ""), ("pruned", theme.muted, "x"), ("failed", red, "x"),
    ):  # fmt: skip
        if any(_finite(t)[0] for t in facts.of_kind(kind) if t.number != best):
            axes.plot([], [], color=colour, marker=mark, markersize=4.5, label=kind)


def importances(facts: StudyFacts) -> Drawn:
    """Bars: the share of each parameter, of each objective that has importances."""
    known = [(m, found) for m, found in zip(facts.metrics, facts.importances, strict=True) if found]
    names = list(known[0][1])
    short = short_names(names)
    texts = [label(short[name]) for name in names]
    thick = 0.78 / len(known)

    def paint(axes: Axes, theme: Theme) -> None:
        place = np.arange(len(names))
        for i, ((metric, found), colour) in enumerate(
            zip(known, cycle(theme.colours[::2]), strict=False)
        ):
            shares = [100 * found.get(name, 0) for name in names]
            middle = place + (i - (len(known) - 1) / 2) * thick
            axes.barh(middle, shares, 0.92 * thick, color=colour, label=label(metric, 40))
            for y, share in zip(middle, shares, strict=True):
                axes.annotate(
                    f"{share:.0f}", (share, y), (3, 0), textcoords="offset points",
                    va="center", color=theme.muted, fontsize=8,
                )  # fmt: skip
        axes.set_yticks(place, texts, color=theme.ink)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.08)
        axes.set_xlabel("importance, % of all parameters")
        if len(known) > 1:
            below(axes)

    height = 1.0 + 0.22 * max(len(names) * max(1, 0.7 * len(known)), 3)
    return painted("What matters", paint, texts, height=height)


def pareto(facts: StudyFacts, first: int, second: int) -> Drawn:
    """Two objectives against each other; the trials of the front stand out."""
    names = [label(facts.metrics[n], 40) for n in (first, second)]
    chosen = {trial.number for trial in facts.ranked}
    rest = [t.values for t in facts.of_kind("complete") if t.number not in chosen]
    ends = ((t.values[first], t.values[second], t.number) for t in facts.ranked)
    points = sorted(end for end in ends if all(map(math.isfinite, end)))

    def paint(axes: Axes, theme: Theme) -> None:
        blue, orange = theme.colours[:2]
        if rest:
            x, y = [v[first] for v in rest], [v[second] for v in rest]
            axes.scatter(x, y, s=16, color=blue, alpha=0.35, linewidths=0, label="dominated")
        line = "-" if len(facts.metrics) == 2 else "None"
        xs, ys, numbers = zip(*points, strict=True) if points else ((), (), ())
        axes.plot(
            xs,
            ys,
            linestyle=line,
            marker="o",
            markersize=5,
            color=orange,
            linewidth=1.4,
            label="front",
        )
        for x, y, number in zip(xs, ys, numbers, strict=True):
            if len(points) <= MOST_NAMED:
                axes.annotate(
                    str(number), (x, y), (4, 4), textcoords="offset points",
                    color=theme.ink, fontsize=8,
                )  # fmt: skip
        for axis, n, places in ((axes.xaxis, first, xs), (axes.yaxis, second, ys)):
            _around(axis, facts, n, places)
        ways = [
            "more is better" if facts.maximise[n] else "less is better" for n in (first, second)
        ]
        axes.set_xlabel(f"{names[0]}, {ways[0]}")
        axes.set_ylabel(f"{names[1]}, {ways[1]}")
        below(axes)

    return painted(f"{names[1]} against {names[0]}", paint)


def _around(axis: XAxis | YAxis, facts: StudyFacts, objective: int, front: Sequence[float]) -> None:
    """Limits that show the whole front and the other trials, but for disasters."""
    if log := facts.log(objective):
        axis.axes.margins(0.08)
    else:
        values = [trial.values[objective] for trial in facts.of_kind("complete")]
        low, high = bounds(values, facts.maximise[objective])
        margin = 0.06 * (high - low)
        low = min([low, *(value - margin for value in front)])
        high = max([high, *(value + margin for value in front)])
        set_limits = axis.axes.set_xlim if isinstance(axis, XAxis) else axis.axes.set_ylim
        set_limits(low, high)
    plain(axis, log=log)
