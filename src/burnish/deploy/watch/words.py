"""A look at a log in words, for the terminal and for pages."""

from __future__ import annotations

import time
from collections.abc import Iterator

from burnish.deploy.watch.drift import CLASSES, MOST_WINDOWS, Test
from burnish.deploy.watch.hypotheses import PSI_SAMPLES
from burnish.deploy.watch.summary import Accuracy, Class, Summary
from burnish.runs.console import table

SHOWN_CLASSES = 12  # most predicted ones, in the terminal and on /monitor
FEW_DISTINCT = 0.5  # of the predictions, below which repeats are worth a word

NO_REFERENCE = (
    "drift         not tested: the bundle has no reference.json; export it again from its run"
)


def moment(seconds: float, beside: float | None = None) -> str:
    """A time as read off a clock here, without the date if it is that of ``beside``."""
    then = time.localtime(seconds)
    same = beside is not None and time.localtime(beside)[:3] == then[:3]
    return time.strftime("%H:%M" if same else "%Y-%m-%d %H:%M", then)


def percent(share: float) -> str:
    """A share with one decimal."""
    return f"{100 * share:.1f} %"


def told(summary: Summary) -> str:
    """Everything, in lines for the terminal; names in it are anybody's."""
    parts = [*facts(summary)]
    if summary.predictions:
        parts += ["", class_table(summary)]
    parts += ["", *drift_lines(summary)]
    return "\n".join(parts)


def facts(summary: Summary) -> Iterator[str]:
    """Counts, latency, confidence, accuracy: one line each."""
    yield f"model         {summary.name}, version {summary.version}"
    yield f"predictions   {counted(summary)}"
    if summary.others:
        yield f"              {summary.others:,} more of other versions are left out"
    if summary.future:
        yield f"              {dated_wrongly(summary)}"
    if summary.latency:
        p50, p90, p99 = summary.latency.p50, summary.latency.p90, summary.latency.p99
        yield f"latency       p50 {p50:.1f} ms, p90 {p90:.1f} ms, p99 {p99:.1f} ms"
    if found := summary.confidence:
        yield f"confidence    mean {found.mean:.3f}, deciles {_listed(found.deciles)}"
        known = found.reference_low_share
        beside = "" if known is None else f" (reference: {percent(known)})"
        low = percent(found.low_share)
        yield f"              {low} below {summary.settings.min_confidence:g}{beside}"
    if summary.predictions:
        yield f"accuracy      {accuracy(summary.accuracy) or 'no feedback'}"


def counted(summary: Summary) -> str:
    """How many predictions, when, and how many inputs."""
    if summary.first is None or summary.last is None:
        return f"none in the last {summary.settings.since_seconds / 3600:g} hours"
    start, end = moment(summary.first), moment(summary.last, summary.first)
    newest = f", the newest {summary.settings.most:,} of more" if summary.cut else ""
    text = f"{summary.predictions:,} from {start} to {end}{newest}"
    if summary.distinct < FEW_DISTINCT * summary.predictions:
        return f"{text}; only {summary.distinct:,} distinct inputs: windows count each once"
    return f"{text}, {summary.distinct:,} distinct inputs"


def dated_wrongly(summary: Summary) -> str:
    """What is left out since its time has not come yet."""
    return f"{summary.future:,} more are dated in the future and left out: a clock was wrong"


def uncompared(summary: Summary) -> str:
    """Which predictions no window holds; "" if all are compared."""
    if not summary.uncompared or summary.compared_since is None:
        return ""
    before = moment(summary.compared_since, summary.looked)
    full = len(summary.windows) == MOST_WINDOWS
    why = f" ({MOST_WINDOWS} windows at most: take larger ones)" if full else ""
    return f"{summary.uncompared:,} older predictions, before {before}, were not compared{why}"


def accuracy(found: Accuracy | None) -> str:
    """A share with its interval; "" without feedback."""
    if found is None:
        return ""
    interval = f"95 %: {100 * found.low:.1f} to {100 * found.high:.1f}"
    return f"{percent(found.share)} of {found.labelled:,} with feedback ({interval})"


def class_table(summary: Summary) -> str:
    """The classes that were predicted most."""
    order = sorted(summary.classes, key=lambda c: -c.predicted)
    known = summary.reference is not None
    judged = summary.accuracy is not None
    header = ["class", "predicted", "share", *["reference"] * known]
    rows = [header + ["labelled", "accuracy", "95 %"] * judged]
    rows += [_class_row(c, known, judged) for c in order[:SHOWN_CLASSES]]
    rest = len(order) - SHOWN_CLASSES
    return table(rows) + (f"\n  and {rest:,} more" if rest > 0 else "")


def drift_lines(summary: Summary) -> Iterator[str]:
    """What was compared, a table of the newest window, and what was found."""
    if summary.reference is None:
        yield NO_REFERENCE
        return
    size = summary.settings.window
    if not summary.windows:
        found = f"{summary.distinct:,} distinct inputs, a window needs {size:,}"
        yield f"drift         not tested: {found}"
        return
    tests = sum(len(window.tests) for window in summary.windows)
    count = len(summary.windows)
    yield (
        f"drift         {count} window{'s' * (count > 1)} of {size:,} distinct inputs against "
        f"{summary.reference:,} samples at export"
    )
    yield (
        f"              any false alarm in a look: at most {percent(summary.settings.alpha)} "
        f"(Holm over {tests} tests)"
    )
    if older := uncompared(summary):
        yield f"              {older}"
    yield table(
        [["newest window", "mean", "reference", "distance", "p", "PSI", ""], *_tests(summary)]
    )
    if size < PSI_SAMPLES:
        yield f"  PSI is shown for windows of {PSI_SAMPLES} and more"
    yield f"\n{verdict(summary)}"


def verdict(summary: Summary) -> str:
    """One sentence."""
    if not summary.drifts:
        return "no drift found"
    together: dict[str, list[str]] = {}
    for drift in summary.drifts:
        when = f"since the window of {moment(drift.since, summary.looked)}"
        name = title(drift.name)
        together.setdefault(when + ("" if drift.lasts else " (over)"), []).append(name)
    return "DRIFT: " + "; ".join(f"{', '.join(names)} {when}" for when, names in together.items())


def title(name: str) -> str:
    """What a person reads for the name of a test."""
    return "class mix" if name == CLASSES else name


def number(test: Test) -> str:
    """A corrected p-value, short."""
    return "< 1e-6" if test.adjusted < 1e-6 else f"{test.adjusted:.2g}"


def _tests(summary: Summary) -> Iterator[list[str]]:
    began = {drift.name: drift for drift in summary.drifts}
    for test in summary.windows[-1].tests:
        drift = began.get(test.name)
        said = f"since {moment(drift.since, summary.looked)}" if drift and drift.lasts else ""
        means = ["" if x is None else f"{x:.3f}" for x in (test.mean, test.reference)]
        index = "" if test.psi is None else f"{test.psi:.2f}"
        name = title(test.name)
        yield [name, *means, f"{test.distance:.3f}", number(test), index, said]


def _class_row(found: Class, known: bool, judged: bool) -> list[str]:
    row = [found.name, f"{found.predicted:,}", percent(found.share)]
    if known:
        row.append(percent(found.reference or 0.0))
    if judged and found.accuracy is None:
        row += ["0", "", ""]
    elif judged and found.accuracy is not None:
        a = found.accuracy
        row += [f"{a.labelled:,}", percent(a.share), f"{100 * a.low:.0f} to {100 * a.high:.0f}"]
    return row


def _listed(deciles: tuple[float, ...]) -> str:
    return " ".join(f"{value:.2f}" for value in deciles)
