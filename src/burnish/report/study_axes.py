"""What the figures of a study have in common: themes, fonts, limits and numbers at the axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from unicodedata import east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from burnish.report.figures import HEIGHT, WIDTH, Drawn, Theme, draw
from burnish.report.fonts import families, undrawable
from burnish.report.study_facts import StudyFacts
from burnish.report.study_words import one_line

LEAST_FOR_CUTTING = 10  # with fewer trials no value passes for an outlier


def painted(
    title: str,
    paint: Callable[[Axes, Theme], None],
    texts: Iterable[str] = (),
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
) -> Drawn:
    """Paint one pair of axes in both themes.

    Args:
        title: what the figure shows.
        paint: called with the axes and the theme, once for each theme.
        texts: everything of the study that is written into the figure, for its fonts.
        width: inches.
        height: inches.
    """
    return draw(title, paint, width=width, height=height, fonts=families([title, *texts]))


def label(text: str, widest: int = 22) -> str:
    """A name as a figure can write it: one line, shortened, letters without a font as ``?``."""
    text = "".join(c if c.isprintable() else "?" for c in one_line(text))
    if columns(text) > widest:
        while columns(text) >= widest:
            text = text[:-1]
        text += "…"
    return text.translate({ord(letter): "?" for letter in undrawable([text])})


def columns(text: str) -> int:
    """How wide a text is, in Latin letters: Chinese ones and the like are twice as wide."""
    return sum(1 + (east_asian_width(letter) in "WF") for letter in text)


def bounds(values: Sequence[float], maximise: bool) -> tuple[float, float]:
    """Limits of an axis of values; a few disasters do not press the good trials into a line.

    From ten values on, the axis ends on the bad side where a value is five times as far from the
    best as the median is, if that at least halves it.

    Args:
        values: infinite ones are not considered.
        maximise: whether more is better.
    """
    finite = np.array([value for value in values if math.isfinite(value)] or [0.0])
    best, worst = (finite.max(), finite.min()) if maximise else (finite.min(), finite.max())
    enough = best + 5 * (np.median(finite) - best)
    if len(finite) >= LEAST_FOR_CUTTING and 0 < 2 * abs(enough - best) < abs(worst - best):
        worst = enough
    low, high = sorted((float(best), float(worst)))
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def value_axis(
    axes: Axes, facts: StudyFacts, objective: int, values: Sequence[float], longest: int = 40
) -> None:
    """Make y the axis of an objective, wide enough for these values but for disasters."""
    log = facts.log(objective)
    if log:
        axes.set_ylim(0.8 * min(values), 1.25 * max(values))
    else:
        axes.set_ylim(*bounds(values, facts.maximise[objective]))
    plain(axes.yaxis, log=log)
    axes.set_ylabel(label(facts.metrics[objective], longest))


def plain(axis: XAxis | YAxis, *, log: bool = False, integer: bool = False) -> None:
    """A few numbers at an axis, written out: no offset, no formulas.

    Args:
        axis: with its limits set, or everything drawn along it.
        log: make its scale logarithmic.
        integer: its numbers are whole.
    """
    if log:
        set_scale = axis.axes.set_xscale if isinstance(axis, XAxis) else axis.axes.set_yscale
        set_scale("log")
        low, high = axis.get_view_interval()
        subs = (1, 2, 5) if high < 8 * low else (1, 3) if high < 50 * low else (1,)
        axis.set_major_locator(LogLocator(subs=subs, numticks=5))
        axis.set_minor_locator(NullLocator())
    else:
        axis.set_major_locator(MaxNLocator(4, integer=integer, min_n_ticks=1 if integer else 2))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))


def counted(axes: Axes) -> None:
    """Few whole numbers at the x axis."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))


def below(axes: Axes) -> None:
    """The legend under the axes, where it hides nothing."""
    figure = axes.get_figure(root=True)
    if figure is not None and axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower left", ncols=4, handlelength=1.4, columnspacing=1.2)
