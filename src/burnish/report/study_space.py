"""Figures of a study's space: one parameter against the value, and all of them at once."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from burnish.report.figures import Drawn, Theme
from burnish.report.study_axes import bounds, columns, label, painted, plain, value_axis
from burnish.report.study_facts import Parameter, StudyFacts
from burnish.report.study_words import number, short_names

SLICE = (2.9, 2.2)  # inches: three beside each other on a page, one on a telephone
MOST_LETTERS = 34  # in a row below a panel; more are turned
MOST_COLUMNS = 12
MOST_LINES = 500  # more are a solid area, and megabytes
LOWEST_RUNG = -0.13  # where lines pass trials that do not have the parameter
GOLDEN = 0.618034  # multiples of it spread evenly: jitter without chance


def shades(theme: Theme) -> LinearSegmentedColormap:
    """From near the paper to the ink, through blue: later trials, or better values, stand out."""
    paper, blue, ink = (np.array(to_rgb(c)) for c in (theme.paper, theme.colours[0], theme.ink))
    stops = [0.72 * paper + 0.28 * blue, blue, 0.35 * blue + 0.65 * ink]
    return LinearSegmentedColormap.from_list("shades", [tuple(stop) for stop in stops])


def spread(numbers: Sequence[int], width: float) -> NDArray[np.float64]:
    """An offset in ``[-width, width]`` for each trial's number."""
    return width * (2 * (np.array(numbers) * GOLDEN % 1) - 1)


def piece(facts: StudyFacts, parameter: Parameter, objective: int = 0) -> Drawn:
    """The value over one parameter; later trials in stronger colours, the best one in orange."""
    trials = [t for t in facts.of_kind("complete") if t.number in parameter.values]
    numbers = [trial.number for trial in trials]
    y = np.array([trial.values[objective] for trial in trials])
    x = np.array([parameter.values[n] for n in numbers])
    best = int(np.argmax(y if facts.maximise[objective] else -y))
    names = [label(category, 12) for category in parameter.categories]

    def paint(axes: Axes, theme: Theme) -> None:
        places = x + spread(numbers, 0.28) if names else x
        value_axis(axes, facts, objective, y.tolist(), 24)
        inside = y.clip(*axes.get_ylim())
        axes.scatter(places, inside, s=17, c=numbers, cmap=shades(theme), linewidths=0, alpha=0.9,
                     clip_on=False)  # fmt: skip
        axes.scatter(places[best], inside[best], s=34, color=theme.colours[1], linewidths=0,
                     clip_on=False)  # fmt: skip
        if names:
            _name_columns(axes, names, theme, crowded)
        else:
            plain(axes.xaxis, log=parameter.log, integer=parameter.whole)

    crowded = sum(map(columns, names)) + len(names) > MOST_LETTERS
    title, height = label(parameter.name, 34), SLICE[1] + 0.5 * crowded
    return painted(title, paint, names, width=SLICE[0], height=height)


def _name_columns(axes: Axes, names: Sequence[str], theme: Theme, crowded: bool) -> None:
    axes.set_xticks(range(len(names)), list(names), color=theme.ink, fontsize=8)
    if crowded:
        axes.tick_params(axis="x", labelrotation=90, labelsize=7)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.grid(axis="x", visible=False)


@dataclass(frozen=True)
class Column:
    """One axis of the parallel coordinates.

    Args:
        name: its heading.
        heights: in [0, 1], by the trial's number.
        ticks: height and text.
    """

    name: str
    heights: dict[int, float]
    ticks: list[tuple[float, str]]


def column(parameter: Parameter, name: str) -> Column:
    """The axis of a parameter."""
    values = parameter.values
    if parameter.categories:
        last = max(len(parameter.categories) - 1, 1)
        numbers = list(values)
        jitter = spread(numbers, 0.16 / (last + 1))
        heights = {n: values[n] / last + float(j) for n, j in zip(numbers, jitter, strict=True)}
        ticks = [(i / last, label(c, 11)) for i, c in enumerate(parameter.categories)]
        return Column(name, heights, ticks)
    low, high = min(values.values()), max(values.values())
    heights = {n: _share(value, low, high, parameter.log) for n, value in values.items()}
    return Column(name, heights, _ticks(low, high, parameter.log, parameter.whole))


def _share(value: float, low: float, high: float, log: bool) -> float:
    """How far a value lies between two others."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.5


def _ticks(low: float, high: float, log: bool, integer: bool = False) -> list[tuple[float, str]]:
    """The ends, and round numbers between them."""
    if log and high / low >= 100:
        decades = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
        between = [10.0**decade for decade in decades]
    else:
        between = list(MaxNLocator(4, integer=integer).tick_values(low, high))
    placed = [(_share(v, low, high, log), _short(v)) for v in between if low < v < high]
    ends = [(0.0, _short(low)), (1.0, _short(high))]
    return [ends[0], *(t for t in placed if 0.09 < t[0] < 0.91), ends[1]]


def _short(value: float) -> str:
    return f"{value:.6g}" if float(value).is_integer() else f"{value:.3g}"


def parallel(facts: StudyFacts, objective: int = 0) -> Drawn:
    """A line a complete trial through all parameters to its value; the better, the stronger."""
    chosen = facts.by_importance(objective)[:MOST_COLUMNS]
    short = short_names([parameter.name for parameter in chosen])
    rails = [column(parameter, short[parameter.name]) for parameter in chosen]
    values = {t.number: t.values[objective] for t in facts.of_kind("complete")}
    values = {n: value for n, value in values.items() if math.isfinite(value)}
    rails.append(_of_values(facts, values, objective))
    heights = np.array([[c.heights.get(n, LOWEST_RUNG) for c in rails] for n in sorted(values)])
    merit = heights[:, -1] if facts.maximise[objective] else 1 - heights[:, -1]
    order = np.argsort(merit, kind="stable")[-MOST_LINES:]
    gap = bool((heights == LOWEST_RUNG).any())

    def paint(axes: Axes, theme: Theme) -> None:
        strength = max(0.3, 0.85 - len(order) / 300)
        axes.add_collection(LineCollection(
            [_smooth(heights[i]) for i in order[:-1]], colors=shades(theme)(merit[order[:-1]]),
            linewidths=1, alpha=strength,
        ))  # fmt: skip
        best = _smooth(heights[order[-1]])
        axes.plot(best[:, 0], best[:, 1], color=theme.colours[1], linewidth=2.4)
        for place, found in enumerate(rails):
            _rail(axes, theme, place, found, gap=bool(values.keys() - found.heights))
        axes.set_xlim(-0.35, len(rails) - 0.5)
        axes.set_ylim((LOWEST_RUNG if gap else 0) - 0.05, 1.05)
        axes.set_yticks([])
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(rails)), [_heading(c.name) for c in rails], color=theme.ink)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(False)

    texts = [text for c in rails for _, text in [*c.ticks, (0, c.name)]]
    width = min(max(3.7, 0.4 + 0.9 * len(rails)), 9.4)
    which = "Every trial" if len(order) == len(values) else f"The best {MOST_LINES} trials"
    return painted(f"{which} through all parameters", paint, texts, width=width, height=3.6)


def _of_values(facts: StudyFacts, values: dict[int, float], objective: int) -> Column:
    """The last axis: what came of it."""
    log, (low, high) = facts.log(objective), (min(values.values()), max(values.values()))
    if not log:
        least, most = bounds(list(values.values()), facts.maximise[objective])
        low, high = max(low, least), min(high, most)
    heights = {n: min(max(_share(v, low, high, log), 0), 1) for n, v in values.items()}
    ends = [(0.0, number(low)), (1.0, number(high))] if high > low else [(0.5, number(low))]
    between = _ticks(low, high, log)[1:-1] if high > low else []
    return Column(facts.metrics[objective], heights, [*ends, *between])


def _smooth(heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve through the heights, level at every axis, so that lines can be followed there."""
    t = np.linspace(0, 1, 15)
    ease = t * t * (3 - 2 * t)
    parts = [np.stack([i + t, a + (b - a) * ease], 1) for i, (a, b) in enumerate(pairwise(heights))]
    return np.concatenate(parts)


def _rail(axes: Axes, theme: Theme, place: int, found: Column, *, gap: bool) -> None:
    """One upright axis with its texts."""
    axes.plot([place, place], [0, 1], color=theme.muted, linewidth=1, zorder=3)
    marks = [*found.ticks, *([(LOWEST_RUNG, "-")] if gap else [])]
    for height, text in marks:
        axes.annotate(
            text, (place, height), (4, 0), textcoords="offset points", va="center", fontsize=7.5,
            color=theme.ink, zorder=4,
            bbox={"boxstyle": "round,pad=0.12", "fc": theme.paper, "ec": "none", "alpha": 0.75},
        )  # fmt: skip


def _heading(name: str) -> str:
    """A name in short lines, broken where its parts begin."""
    spaced = label(name, 30).replace("_", "_ ").replace(".", ". ").replace("/", "/ ")
    return "\n".join(line.replace("_ ", "_").replace(". ", ".").replace("/ ", "/")
                     for line in textwrap.wrap(spaced, 11))  # fmt: skip
