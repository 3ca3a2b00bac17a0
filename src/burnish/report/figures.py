"""Figures in one restrained style, each drawn for light and for dark pages.

Only matplotlib's objects are used, not pyplot: no global state, no display.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, cycle
from typing import Any
from unicodedata import east_asian_width

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray

from burnish.report.fonts import OWN

# Inches. On a page an inch is 96 pixels: a telephone shows this width at nearly its true size, so
# that 9 points stay readable.
WIDTH, HEIGHT = 4.6, 2.8
DPI = 192  # two pixels of the file a pixel of the page, for sharp screens
MOST_BINS = 40
MOST_BARS = 30  # more classes than that are drawn as a curve
LONGEST = 24  # columns of a label: longer ones leave no room for the bars
SHORT = 18  # where two of them share the width, or they stand upright


@dataclass(frozen=True)
class Theme:
    """Colours of a figure.

    Args:
        ink: titles and values.
        muted: axes and their labels.
        grid: lines that guide the eye.
        paper: background.
        colours: of the series, told apart by colour-blind people too (Okabe and Ito 2008).
    """

    ink: str
    muted: str
    grid: str
    paper: str
    colours: tuple[str, ...]

    def rc(self, fonts: Sequence[str]) -> Any:
        """Matplotlib's settings."""
        return {
            "font.family": list(fonts), "font.size": 9, "axes.titlesize": 10,
            "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 8,
            "figure.titlesize": 10, "figure.titleweight": "bold",
            "text.color": self.ink, "axes.titlecolor": self.ink, "axes.labelcolor": self.muted,
            "xtick.color": self.muted, "ytick.color": self.muted, "axes.edgecolor": self.grid,
            "figure.facecolor": self.paper, "axes.facecolor": self.paper,
            "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False,
            "xtick.major.size": 0, "ytick.major.size": 0, "axes.grid": True,
            "grid.color": self.grid, "grid.linewidth": 0.7, "axes.axisbelow": True,
            "legend.frameon": False, "legend.fontsize": 9,
            # Class names are anybody's: a dollar is a dollar.
            "text.parse_math": False,
        }  # fmt: skip


LIGHT = Theme(
    "#1c2127",
    "#5a6470",
    "#e1e5ea",
    "#ffffff",
    ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"),
)
DARK = Theme(
    "#e8ebef",
    "#a3adb8",
    "#323a44",
    "#1a1f26",
    ("#56b4e9", "#e69f00", "#2fbf93", "#ef7d3a", "#d993b8"),
)


@dataclass(frozen=True)
class Drawn:
    """One figure as PNG files.

    Args:
        light: for light pages and paper.
        dark: for dark pages.
    """

    light: bytes
    dark: bytes


def draw(
    title: str,
    paint: Callable[[Axes, Theme], None],
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
    fonts: Sequence[str] = (OWN,),
) -> Drawn:
    """Paint one pair of axes in both themes.

    Args:
        title: what the figure shows, in words.
        paint: called with the axes and the theme, once for each theme.
        width: inches.
        height: inches.
        fonts: families that have all letters needed, see :func:`burnish.report.fonts.families`.
    """

    def png(theme: Theme) -> bytes:
        with rc_context(theme.rc(fonts)):
            figure = Figure((width, height), layout="constrained")
            axes = figure.add_subplot()
            # At the figure's edge, not that of the axes: long labels would push it out.
            figure.suptitle(title, x=0.02, ha="left")
            paint(axes, theme)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI)
        return buffer.getvalue()

    return Drawn(png(LIGHT), png(DARK))


def bars(
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[float]],
    unit: str,
    fonts: Sequence[str] = (OWN,),
) -> Drawn:
    """Horizontal bars, the series stacked; a curve of sorted totals if there are many labels.

    Args:
        title: what the figure shows.
        labels: one a bar, from the top; long ones are cut.
        series: legend entry to one value a label.
        unit: what the values count.
        fonts: that have the letters of the labels.
    """
    if len(labels) > MOST_BARS:
        totals = np.sort(np.sum([list(values) for values in series.values()], axis=0))[::-1]
        return _sorted_curve(title, totals, unit)

    def paint(axes: Axes, theme: Theme) -> None:
        place, start = np.arange(len(labels)), np.zeros(len(labels))
        for (name, values), colour in zip(series.items(), cycle(theme.colours), strict=False):
            axes.barh(place, list(values), 0.72, left=start, color=colour, label=name)
            start += np.asarray(values)
        axes.set_yticks(place, list(map(clipped, labels)), color=theme.ink)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(unit)
        _plain_numbers(axes, "x")
        if len(series) > 1:
            figure = axes.get_figure(root=True)
            assert figure is not None
            figure.legend(loc="outside lower left", ncols=5)

    return draw(title, paint, height=1.1 + _inches(labels), fonts=fonts)


def columns(text: str) -> int:
    """How much room a text takes: Chinese and other wide letters count twice."""
    return sum(1 + (east_asian_width(letter) in "WF") for letter in text)


def clipped(text: str, most: int = LONGEST) -> str:
    """The text on one line, its end replaced by "…" if it takes more columns.

    Args:
        text: anybody's.
        most: columns that it may take.
    """
    text = " ".join(text.split())
    if columns(text) <= most:
        return text
    return text[: sum(end < most for end in accumulate(map(columns, text)))].rstrip() + "…"


def _inches(labels: Sequence[str]) -> float:
    return 0.22 * max(len(labels), 3)


def _sorted_curve(title: str, totals: ArrayLike, unit: str) -> Drawn:
    def paint(axes: Axes, theme: Theme) -> None:
        values = np.asarray(totals)
        axes.fill_between(np.arange(1, len(values) + 1), values, color=theme.colours[0], alpha=0.9)
        axes.set_xlabel("classes, the largest first")
        axes.set_ylabel(unit)
        axes.set_ylim(bottom=0)
        axes.set_xlim(1, len(values))
        _plain_numbers(axes, "y")

    return draw(title, paint)


def histogram(
    title: str,
    values: ArrayLike,
    unit: str,
    counted: str,
    mark: tuple[float, str] | None = None,
) -> Drawn:
    """How often values occur, in up to 40 bins.

    Args:
        title: what the figure shows.
        values: whole numbers, ``[N]``.
        unit: what a value counts, for the x axis.
        counted: what is counted, for the y axis.
        mark: a value to draw a line at, and what it means.
    """

    def paint(axes: Axes, theme: Theme) -> None:
        numbers = np.asarray(values)
        bins, last = edges(numbers, mark[0] if mark else 0)
        axes.hist(numbers.clip(max=last), bins.tolist(), color=theme.colours[0], rwidth=0.92)
        axes.grid(axis="x", visible=False)
        rest = ", the longest 1 % in the last bar" if last < numbers.max() else ""
        axes.set_xlabel(unit + rest)
        axes.set_ylabel(counted)
        if mark:
            axes.axvline(mark[0], color=theme.colours[1], linewidth=1.8)
            axes.annotate(
                mark[1], (mark[0], 1), (-4, -2), xycoords=("data", "axes fraction"),
                textcoords="offset points", ha="right", va="top", color=theme.ink,
            )  # fmt: skip
        _plain_numbers(axes, "x")
        _plain_numbers(axes, "y")

    return draw(title, paint)


def edges(numbers: NDArray[Any], reach: float = 0) -> tuple[NDArray[np.float64], float]:
    """Bins for a histogram of whole numbers.

    They have a whole width, as others would hold now one more, now one less of the numbers. The
    longest hundredth would squeeze the rest into a corner and shall join the last bin.

    Args:
        numbers: ``[N]``.
        reach: a value that the bins shall cover.

    Returns:
        The edges, and the value that larger ones are to be clipped to.
    """
    low = float(numbers.min())
    high = max(float(np.quantile(numbers, 0.99)), 1.05 * reach)
    width = max(1, -(-int(high - low + 1) // MOST_BINS))
    bins = np.arange(low, high + width + 1, width) - 0.5
    return bins, float(bins[-1] - 0.5)


def scatter(title: str, x: ArrayLike, y: ArrayLike, x_unit: str, y_unit: str) -> Drawn:
    """Points that darken where they lie on one another.

    Args:
        title: what the figure shows.
        x: ``[N]``.
        y: ``[N]``.
        x_unit: label of the x axis.
        y_unit: label of the y axis.
    """

    def paint(axes: Axes, theme: Theme) -> None:
        axes.scatter(x, y, s=14, color=theme.colours[0], alpha=0.35, linewidths=0)
        axes.set_xlabel(x_unit)
        axes.set_ylabel(y_unit)
        axes.set_xlim(0, 1.05 * float(np.max(np.asarray(x))))
        axes.set_ylim(0, 1.05 * float(np.max(np.asarray(y))))
        _plain_numbers(axes, "x")
        _plain_numbers(axes, "y")

    return draw(title, paint)


def _plain_numbers(axes: Axes, which: str) -> None:
    """Few whole numbers with separated thousands."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
