"""Confusion matrices that can be read, from two classes to a thousand.

Shapes: K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize, PowerNorm
from numpy.typing import NDArray

from burnish.report.data_page import figure_names
from burnish.report.figures import SHORT, WIDTH, Drawn, Theme, clipped, columns, draw
from burnish.report.fonts import families
from burnish.report.predictions import Floats, Ints
from burnish.runs.console import printable

NUMBERED = 12  # classes up to which every cell can hold its number
WHOLE = 100  # classes up to which the whole matrix is drawn
PART = 30  # of more classes, those of the most frequent mistakes
WIDEST = 9.4  # inches: a page
POINT = 1 / 72  # inches


def chosen_classes(confusion: Ints) -> list[int]:
    """The classes that a matrix shows: all, or of very many those of the most frequent mistakes.

    Args:
        confusion: int64 ``[true class, predicted class]``.
    """
    if len(confusion) <= WHOLE:
        return list(range(len(confusion)))
    wrong = confusion - np.diag(confusion.diagonal())
    # So many cells have classes enough: PART classes have fewer cells among themselves.
    largest = np.argsort(-wrong, axis=None, kind="stable")[: PART * PART]
    mistaken = dict.fromkeys(int(k) for cell in largest for k in divmod(cell, len(confusion)))
    return sorted([*mistaken][:PART])


def inches(classes: int) -> float:
    """Width of a matrix of so many classes."""
    return WIDTH if classes <= NUMBERED else min(WIDEST, 2.2 + 0.2 * classes)


def counted(confusion: Ints, classes: Sequence[int], names: Sequence[str]) -> Drawn:
    """Samples of each class by what they were taken for, colours on a logarithmic scale.

    Args:
        confusion: int64 ``[K, K]``.
        classes: to show.
        names: of all K.
    """
    cells = confusion[np.ix_(classes, classes)]
    norm = LogNorm(1, max(2, int(cells.max())))
    return _matrix("Samples", cells, norm, "{:,}".format, [names[i] for i in classes])


def normalised(confusion: Ints, classes: Sequence[int], names: Sequence[str]) -> Drawn:
    """The same as percentages of each true class; a class without samples is empty."""
    support = np.maximum(confusion.sum(1, keepdims=True), 1)
    cells = (100 * confusion / support)[np.ix_(classes, classes)]
    shown = [names[i] for i in classes]
    return _matrix("Share of the true class, %", cells, PowerNorm(0.5, 0, 100), _percent, shown)


def _percent(value: float) -> str:
    return "<1" if 0 < value < 0.5 else f"{value:.0f}"


def _matrix(
    title: str,
    cells: NDArray[np.generic],
    norm: Normalize,
    form: Callable[[float], str],
    names: Sequence[str],
) -> Drawn:
    labels = [clipped(n, SHORT) for n in figure_names([printable(name) for name in names])]
    side = inches(len(labels))

    def paint(axes: Axes, theme: Theme) -> None:
        shown = np.ma.masked_equal(cells, 0)
        image = axes.imshow(shown, cmap=_colours(theme), norm=norm, interpolation="nearest")
        axes.grid(visible=False)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        _name(axes, labels, side)
        if len(labels) <= NUMBERED:
            _write_numbers(axes, cells, norm, form, theme, side)
        else:
            bar = axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, format="{x:,.0f}")
            bar.minorticks_off()
            bar.outline.set_visible(False)

    fonts = families([*labels, title])
    return draw(title, paint, width=side, height=0.92 * side, fonts=fonts)


def _colours(theme: Theme) -> Colormap:
    # Not from the paper's own colour: one sample among thousands shall be seen.
    return LinearSegmentedColormap.from_list("", [theme.grid, theme.colours[0]])


def _name(axes: Axes, labels: Sequence[str], side: float) -> None:
    """Names at the axes, every second or third one where they would touch."""
    size = 9 if len(labels) <= NUMBERED else 7
    longest = 0.6 * size * POINT * max(map(columns, labels))
    # They stand at the left, too, and leave the less to the matrix.
    room = min(0.7 * side, 0.95 * side - longest) / len(labels)
    every = max(1, int(np.ceil(1.3 * size * POINT / room)))
    places = range(0, len(labels), every)
    shown = [labels[i] for i in places]
    upright = longest > 0.9 * room * every
    axes.set_yticks(places, shown, fontsize=size)
    axes.set_xticks(places, shown, fontsize=size, rotation=90 if upright else 0)


def _write_numbers(
    axes: Axes,
    cells: NDArray[np.generic],
    norm: Callable[[Floats], Floats],
    form: Callable[[float], str],
    theme: Theme,
    side: float,
) -> None:
    """The number of each cell that is not 0, if the longest of them fits."""
    texts = [[form(value) for value in row] for row in cells.tolist()]
    longest = max(len(text) for row in texts for text in row)
    size = min(9.0, 0.66 * side / len(cells) / (0.62 * longest * POINT))
    if size < 5.5:
        return
    shades = np.ma.filled(norm(np.ma.masked_equal(cells, 0)), 0.0)
    for y, row in enumerate(texts):
        for x, text in enumerate(row):
            if cells[y, x]:
                colour = theme.paper if shades[y, x] > 0.55 else theme.ink
                axes.text(x, y, text, ha="center", va="center", fontsize=size, color=colour)


def recalls(values: Sequence[float]) -> Drawn:
    """Recall of very many classes, the worst first.

    Args:
        values: of each class that has samples.
    """

    def paint(axes: Axes, theme: Theme) -> None:
        ordered = np.sort(np.asarray(values))
        axes.fill_between(np.arange(1, len(ordered) + 1), ordered, color=theme.colours[0])
        axes.set_xlim(1, max(2, len(ordered)))
        axes.set_ylim(0, 1)
        axes.set_xlabel("classes, the worst first")
        axes.set_ylabel("recall")

    return draw("Recall of every class", paint)
