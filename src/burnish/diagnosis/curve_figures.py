"""The curves that verdicts speak of, with the place marked that they name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from burnish.diagnosis.verdict import Verdict
from burnish.report.figures import Drawn, Theme, draw
from burnish.report.fonts import families
from burnish.runs.console import printable
from burnish.runs.curves import Curves, Point

# Curves of each check, the one that the verdict is about first; "" is the metric of its values.
SHOWN = {
    "finite": ("", "train/loss"),
    "divergence": ("",),
    "progress": ("train/loss",),
    "overfitting": ("val/loss", "train/loss"),
    "ending": ("",),
    "noise": ("",),
    "batches": ("train/accuracy_step",),
}
ALWAYS = ("overfitting", "ending")  # of the rest only those that found something
DECADES = 50.0  # largest loss over smallest from which on the axis is logarithmic


def drawn(verdicts: Iterable[Verdict], curves: Curves) -> list[Verdict]:
    """The verdicts with the pictures of what they found.

    Args:
        verdicts: of :func:`burnish.diagnosis.run.diagnose_run`; others stay as they are.
        curves: of the same run.
    """
    return [replace(v, drawing=_drawing(v, curves) or v.drawing) for v in verdicts]


def _drawing(verdict: Verdict, curves: Curves) -> Drawn | None:
    if verdict.check not in ALWAYS and "found" not in verdict.values:
        return None
    metric = str(verdict.values.get("metric", ""))
    wanted = dict.fromkeys(name or metric for name in SHOWN.get(verdict.check, ()))
    shown = {name: points for name in wanted if len(points := _points(curves, name)) > 1}
    if not shown:
        return None
    names = {name: printable(name)[:40] for name in shown}
    by_step = next(iter(shown)).endswith("_step")

    def paint(axes: Axes, theme: Theme) -> None:
        for (name, points), colour in zip(shown.items(), theme.colours, strict=False):
            x = [point.step if by_step else point.epoch + 1 for point in points]
            dots = "o" if len(x) < 20 else ""
            axes.plot(x, [p.value for p in points], dots + "-", color=colour, markersize=3.5,
                      linewidth=1.6, label=names[name])  # fmt: skip
        _band(axes, theme, verdict)
        _mark(axes, theme, verdict, by_step)
        _axes(axes, [p.value for points in shown.values() for p in points], by_step)

    return draw(" and ".join(names.values()), paint, fonts=families([*names.values()]))


def _points(curves: Curves, name: str) -> Sequence[Point]:
    points = curves.get(name, ()) if name.endswith("_step") else curves.epochs(name)
    return [point for point in points if math.isfinite(point.value)]


def _mark(axes: Axes, theme: Theme, verdict: Verdict, by_step: bool) -> None:
    """A line at the place, and what was found there on the side that has room."""
    epoch, step = verdict.values.get("epoch"), verdict.values.get("step")
    if not (by_step and isinstance(step, int)) and not (epoch and not by_step):
        return
    place = float(step if by_step else epoch + 1)  # type: ignore[arg-type, operator]
    low, high = axes.get_xlim()
    right = place < (low + high) / 2
    axes.axvline(place, color=theme.colours[3], linewidth=1.4, linestyle="--")
    axes.annotate(
        str(verdict.values.get("found", "")), (place, 1), (4 if right else -4, -2),
        xycoords=("data", "axes fraction"), textcoords="offset points", color=theme.ink,
        ha="left" if right else "right", va="top",
    )  # fmt: skip


def _band(axes: Axes, theme: Theme, verdict: Verdict) -> None:
    """What the size of the split leaves open, around the middle of the last values."""
    error = verdict.values.get("standard_error")
    lines = axes.get_lines()
    if not isinstance(error, float) or not lines:
        return
    values = sorted(float(y) for y in list(lines[0].get_ydata())[-5:])  # type: ignore[arg-type]
    middle = values[len(values) // 2]
    axes.axhspan(middle - error, middle + error, color=theme.muted, alpha=0.2, linewidth=0,
                 label="± one standard error of the split")  # fmt: skip


def _axes(axes: Axes, values: Sequence[float], by_step: bool) -> None:
    axes.set_xlabel("step" if by_step else "epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if min(values) > 0 and max(values) > DECADES * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    if len(axes.get_legend_handles_labels()[1]) > 1:
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(loc="outside lower left", ncols=3)
