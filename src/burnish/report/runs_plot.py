"""Curves of several runs in one figure: a panel a quantity, a colour a run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from burnish.report.figures import DPI, LIGHT, WIDTH
from burnish.report.fonts import families

PANEL = 2.4  # inches of height
LINE = 0.2  # inches of height that a line of the legend takes
Style = Literal["-", "--", ":", "-."]
STYLES: tuple[Style, ...] = ("-", "--", ":", "-.")
MARKED = 2  # a curve of so few points is no line yet


@dataclass(frozen=True)
class Line:
    """A run in the figure.

    Args:
        label: what tells it from the others.
        curves: metric name to epochs, counted from 1, and the value in each.
    """

    label: str
    curves: Mapping[str, Sequence[tuple[int, float]]]


def curves_figure(lines: Sequence[Line], metrics: Sequence[str], kind: str) -> bytes:
    """Draw them, on paper-white, with a legend below.

    Metrics of one quantity (``train/loss``, ``val/loss``) share a panel and differ by the dashes.

    Args:
        lines: the runs, at least one.
        metrics: names, the first of a panel drawn solid.
        kind: ``png`` or ``svg``.
    """
    panels: dict[str, list[str]] = {}
    for metric in metrics:
        panels.setdefault(metric.rpartition("/")[2], []).append(metric)
    labels = [line.label for line in lines]
    settings = LIGHT.rc(families([*labels, *metrics])) | {"svg.hashsalt": "burnish"}
    entries = len(lines) + max(map(len, panels.values()))
    with rc_context(settings):
        height = PANEL * len(panels) + LINE * entries + 0.3
        figure = Figure((1.4 * WIDTH, height), layout="constrained")
        for place, (quantity, names) in enumerate(panels.items()):
            axes = figure.add_subplot(len(panels), 1, place + 1)
            _panel(axes, quantity, names, lines)
            if place == len(panels) - 1:
                axes.set_xlabel("epoch")
        figure.legend(handles=_legend(lines, panels), loc="outside lower left")
        buffer = io.BytesIO()
        # The same runs give the same file: no date in it.
        figure.savefig(buffer, format=kind, dpi=DPI, metadata=_undated(kind))
    return buffer.getvalue()


def _undated(kind: str) -> dict[str, Any]:
    return {"Date": None} if kind == "svg" else {}


def _panel(axes: Axes, quantity: str, names: Sequence[str], lines: Sequence[Line]) -> None:
    axes.set_title(quantity)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    for line, colour in zip(lines, _colours(len(lines)), strict=True):
        for name, style in zip(names, _styles(names), strict=True):
            points = line.curves.get(name, ())
            epochs, values = [epoch for epoch, _ in points], [value for _, value in points]
            marker: Any = {"marker": "o", "markersize": 4} if len(points) <= MARKED else {}
            axes.plot(epochs, values, color=colour, linestyle=style, linewidth=1.5, **marker)


def _styles(names: Sequence[str]) -> list[Style]:
    return [STYLES[place % len(STYLES)] for place in range(len(names))]


def _colours(count: int) -> list[Any]:
    """Those of the house; of a scale from dark to bright if they are too few."""
    if count <= len(LIGHT.colours):
        return list(LIGHT.colours[:count])
    scale = matplotlib.colormaps["viridis"]
    return [scale(0.92 * place / (count - 1)) for place in range(count)]


def _legend(lines: Sequence[Line], panels: Mapping[str, Sequence[str]]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=colour, label=line.label)
        for line, colour in zip(lines, _colours(len(lines)), strict=True)
    ]
    if all(len(names) == 1 for names in panels.values()):
        return handles
    splits = {
        name.rpartition("/")[0]: style
        for names in panels.values()
        for name, style in zip(names, _styles(names), strict=True)
    }
    return handles + [
        Line2D([], [], color=LIGHT.muted, linestyle=style, label=split)
        for split, style in splits.items()
    ]
