"""A look at a log as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes

from burnish.deploy.watch.drift import Window
from burnish.deploy.watch.summary import Summary
from burnish.deploy.watch.words import (
    NO_REFERENCE,
    accuracy,
    counted,
    moment,
    number,
    percent,
    title,
    uncompared,
    verdict,
)
from burnish.report.figures import Theme, draw
from burnish.report.page import Cell, Noted, Number, Page, Picture, chart


def watch_page(summary: Summary) -> Page:
    """Counts, drift by window, classes."""
    page = Page(summary.name, "Watch", f"Predictions: {counted(summary)}.")
    if summary.drifted:
        page.points([verdict(summary)], kind="findings")
    page.facts(_facts(summary))
    page.section("Drift")
    _drift(page, summary)
    page.section("Classes")
    if summary.accuracy is not None:
        page.text(f"Accuracy: {accuracy(summary.accuracy)}.")
    page.table(["class", "predicted", "share", "at export", "accuracy"], _classes(summary))
    return page


def _facts(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "version", summary.version
    yield "predictions", f"{summary.predictions:,}"
    if summary.others:
        yield "of other versions, left out", f"{summary.others:,}"
    if summary.future:
        yield "dated in the future, left out", f"{summary.future:,}"
    if summary.latency:
        for name in ("p50", "p90", "p99"):
            yield f"latency, {name}", f"{getattr(summary.latency, name):.1f} ms"
    if summary.confidence:
        yield "mean confidence", f"{summary.confidence.mean:.3f}"
        low = summary.settings.min_confidence
        yield f"below {low:g}", percent(summary.confidence.low_share)


def _drift(page: Page, summary: Summary) -> None:
    if summary.reference is None or not summary.windows:
        size = summary.settings.window
        found = f"{summary.distinct:,} distinct inputs; a window needs {size:,}."
        page.text(NO_REFERENCE.split(None, 1)[1] if summary.reference is None else found)
        return
    if not summary.drifted:
        page.text("No drift was found.")
    tests = sum(len(window.tests) for window in summary.windows)
    page.text(
        f"Windows of {summary.settings.window:,} distinct inputs against {summary.reference:,} "
        f"samples at export. The probability of any false alarm in this look is at most "
        f"{percent(summary.settings.alpha)}: p-values are corrected (Holm) over its {tests} tests."
    )
    if older := uncompared(summary):
        page.text(f"{older}.")
    names = [test.name for test in summary.windows[-1].tests]
    page.pictures(_chart(summary.windows, name) for name in names)
    page.heading("The newest window")
    page.text("Export: the mean then. Dist.: as in the charts. The p-values are corrected.")
    indices = any(test.psi is not None for test in summary.windows[-1].tests)
    header = ["what", "mean", "export", "dist.", "p", *["PSI"] * indices]
    page.table(header, _tests(summary, indices))


def _tests(summary: Summary, indices: bool) -> Iterator[list[Cell]]:
    """Few and narrow columns, so that a telephone shows them all."""
    began = {drift.name: drift for drift in summary.drifts if drift.lasts}
    for test in summary.windows[-1].tests:
        drift = began.get(test.name)
        since = f"drift since {moment(drift.since, summary.looked)}" if drift else ""
        yield [
            Noted(title(test.name), since),
            *(Number("" if x is None else f"{x:.3f}") for x in (test.mean, test.reference)),
            Number(f"{test.distance:.3f}"),
            Number(number(test)),
            *[Number("" if test.psi is None else f"{test.psi:.2f}")] * indices,
        ]


def _classes(summary: Summary) -> Iterator[list[Cell]]:
    for found in sorted(summary.classes, key=lambda c: -c.predicted):
        known = "" if found.reference is None else percent(found.reference)
        yield [
            found.name,
            found.predicted,
            Number(percent(found.share), found.share),
            Number(known, found.reference),
            accuracy(found.accuracy),
        ]


def _chart(windows: tuple[Window, ...], name: str) -> Picture:
    """Distance of every window to the reference; filled where it is drift."""
    tests = [next((t for t in w.tests if t.name == name), None) for w in windows]
    distance = np.array([t.distance if t else np.nan for t in tests])
    drifted = np.array([t is not None and t.drifted for t in tests])

    def paint(axes: Axes, theme: Theme) -> None:
        x = np.arange(len(windows))
        axes.plot(x, distance, color=theme.muted, linewidth=1)
        for where, mark, colour, words in (
            (~drifted, "o", theme.colours[0], "like the reference"),
            (drifted, "D", theme.colours[3], "drift"),
        ):
            if where.any():
                axes.plot(x[where], distance[where], mark, color=colour, label=words)
        axes.set_ylim(0, max(0.3, 1.35 * float(np.nanmax(distance, initial=0.0))))
        axes.set_xlim(-0.5, len(windows) - 0.5)
        shown = sorted({0, len(windows) // 2, len(windows) - 1})
        day, times = _clock([windows[i].start for i in shown])
        labels = axes.set_xticks(shown, times)
        if len(labels) > 1:  # within the axes: what is beside them has its own words
            labels[0].label1.set_horizontalalignment("left")
            labels[-1].label1.set_horizontalalignment("right")
        axes.set_xlabel(f"window that begins at{day}")
        axes.set_ylabel("distance")
        axes.legend(loc="upper left", ncols=2)

    found = f"{int(drifted.sum())} of {len(windows)} windows drifted"
    return chart(draw(title(name), paint), "", f"{title(name)}: {found}")


def _clock(seconds: Sequence[float]) -> tuple[str, list[str]]:
    """Times as labels of an axis: the day once if it is the same, else below each."""
    days, times = zip(*(moment(second).split() for second in seconds), strict=True)
    if len(set(days)) == 1:
        return f", {days[0]}", list(times)
    return "", [f"{time}\n{day}" for day, time in zip(days, times, strict=True)]
