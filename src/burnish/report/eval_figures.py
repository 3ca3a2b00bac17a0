"""Figures of an evaluation: precision-recall and ROC curves, reliability, learning curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from burnish.report.calibration import Calibration
from burnish.report.data_page import figure_names
from burnish.report.figures import SHORT, Drawn, Theme, clipped, draw
from burnish.report.fonts import families
from burnish.report.predictions import Floats, Predictions
from burnish.report.ranking import GRID, Ranking, class_curve
from burnish.runs.console import printable
from burnish.runs.curves import Point

MOST_CURVES = 4  # classes beside the mean; more lines cannot be told apart
SQUARE = 4.2  # inches high, with a legend below
ABOVE = 1.02  # of an axis that ends at 1: lines along it are seen whole


def shown_classes(ranking: Ranking, num_classes: int) -> list[int]:
    """Whose curves are drawn: of two classes the second, of more those with the worst."""
    return [1] if num_classes == 2 else ranking.worst(MOST_CURVES)


def precision_recall(
    predictions: Predictions, ranking: Ranking, classes: Sequence[int], names: Sequence[str]
) -> Drawn:
    """Precision at each recall, of some classes and as the mean over all.

    Args:
        predictions: with usable probabilities.
        ranking: areas of all classes.
        classes: to draw.
        names: of all K classes.
    """
    labels = _labels(names, ranking.average_precisions, classes)
    curves = [class_curve(predictions, number) for number in classes]

    def paint(axes: Axes, theme: Theme) -> None:
        for curve, label, colour in zip(curves, labels, cycle(theme.colours), strict=False):
            if curve is not None:
                x, y = curve.steps
                axes.step(x, y, where="pre", color=colour, label=label)
        if len(names) > 2:
            mean = float(np.nanmean(ranking.average_precisions))
            _mean_line(axes, theme, ranking.mean_precision, mean, len(ranking.known))
        _unit_square(axes, "recall", "precision")

    return draw("Precision and recall", paint, height=SQUARE, fonts=families(labels))


def roc(
    predictions: Predictions, ranking: Ranking, classes: Sequence[int], names: Sequence[str]
) -> Drawn:
    """Recall at each false positive rate; arguments as in :func:`precision_recall`."""
    labels = _labels(names, ranking.roc_areas, classes)
    curves = [class_curve(predictions, number) for number in classes]

    def paint(axes: Axes, theme: Theme) -> None:
        axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=0.8, linestyle=":")
        for curve, label, colour in zip(curves, labels, cycle(theme.colours), strict=False):
            if curve is not None:
                axes.plot(curve.false_positives, curve.recall, color=colour, label=label)
        if len(names) > 2:
            mean = float(np.nanmean(ranking.roc_areas))
            _mean_line(axes, theme, ranking.mean_recall, mean, len(ranking.known))
        _unit_square(axes, "false positive rate", "true positive rate (recall)")

    return draw("ROC", paint, height=SQUARE, fonts=families(labels))


def _labels(names: Sequence[str], areas: Floats, classes: Sequence[int]) -> list[str]:
    shown = figure_names([printable(name) for name in names])
    return [f"{clipped(shown[i], SHORT)}  {areas[i]:.3f}" for i in classes]


def _mean_line(axes: Axes, theme: Theme, values: Floats, area: float, count: int) -> None:
    label = f"mean of {count:,}  {area:.3f}"
    axes.plot(GRID, values, color=theme.ink, linewidth=2.2, label=label, zorder=1.9)


def _unit_square(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_xlim(0, ABOVE)
    axes.set_ylim(0, ABOVE)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.legend(loc="outside lower left", ncols=2, title="area below", alignment="left")


def reliability(found: Calibration) -> Drawn:
    """Accuracy at each confidence; below the diagonal the net is too sure of itself."""
    bins = len(found.counts)
    filled = found.counts > 0
    share = found.counts / found.counts.sum()

    def paint(axes: Axes, theme: Theme) -> None:
        places = (np.arange(bins) + 0.5) / bins
        axes.bar(places, share, 0.9 / bins, color=theme.grid, label="share of the samples")
        axes.plot([0, 1], [0, 1], color=theme.muted, linewidth=0.8, linestyle=":")
        axes.plot(
            found.confidence[filled], found.accuracy[filled], "o-", color=theme.colours[0],
            markersize=4, label="accuracy",
        )  # fmt: skip
        axes.set_xlim(0, ABOVE)
        axes.set_ylim(0, ABOVE)
        axes.set_xlabel("confidence")
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(loc="outside lower left", ncols=2)

    return draw("Reliability", paint, height=SQUARE)


def over_epochs(
    title: str,
    series: Mapping[str, Sequence[Point]],
    best: int | None = None,
    *,
    from_zero: bool = False,
) -> Drawn:
    """Values of each epoch, counted from 1.

    Args:
        title: what is drawn.
        series: legend entry to one point an epoch.
        best: the epoch, from 0, whose checkpoint was scored; None if unknown.
        from_zero: whether the axis of the values begins at 0.
    """

    def paint(axes: Axes, theme: Theme) -> None:
        for (name, points), colour in zip(series.items(), cycle(theme.colours), strict=False):
            x, y = [p.epoch + 1 for p in points], [p.value for p in points]
            marker = "o" if len(points) < 25 else ""
            axes.plot(x, y, marker=marker, markersize=3, color=colour, label=name)
        if best is not None:
            axes.axvline(best + 1, color=theme.muted, linewidth=0.8, linestyle=":", label="scored")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if all(len(points) == 1 for points in series.values()):
            axes.set_xlim(0, 2)
        if from_zero:
            axes.set_ylim(bottom=0)
        if len(series) > 1:
            axes.legend()

    return draw(title, paint)


def over_steps(title: str, points: Sequence[Point]) -> Drawn:
    """Values of optimizer steps, counted from 0."""
    return draw(title, _line([p.step for p in points], [p.value for p in points]))


def _line(x: Sequence[int], y: Sequence[float]) -> Callable[[Axes, Theme], None]:
    def paint(axes: Axes, theme: Theme) -> None:
        axes.plot(x, y, marker="o" if len(x) < 25 else "", markersize=3, color=theme.colours[0])
        axes.set_xlabel("optimizer step")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    return paint
