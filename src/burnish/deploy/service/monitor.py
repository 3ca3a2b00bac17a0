"""``/monitor``: what the prediction log says, as a page; the same look as ``burnish watch``.

A browser cannot send a header of its own when it opens a page: where the service wants a key, this
page asks for it as a password (RFC 7617), which browsers remember for its reloads. No other route
takes it so: browsers send such passwords along whichever site made them ask.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from numpy.typing import NDArray

from burnish.deploy.service.charts import Dot, bar, curve
from burnish.deploy.service.page import HEADERS
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.service import Service
from burnish.deploy.watch.drift import Test, Window
from burnish.deploy.watch.gauges import SECONDS, Monitor
from burnish.deploy.watch.reference import reference_of
from burnish.deploy.watch.summary import Class, Confidence, Summary
from burnish.deploy.watch.words import (
    SHOWN_CLASSES,
    accuracy,
    counted,
    dated_wrongly,
    moment,
    number,
    percent,
    title,
    uncompared,
    verdict,
)
from burnish.errors import BurnishError

NO_LOG = (
    "This service keeps no log, so there is nothing to watch. Start it with log=FILE and it "
    "writes down every prediction; this page then shows latency, confidence, classes and drift."
)


def monitor_routes(service: Service) -> APIRouter:
    """The page, one section for every bundle that answers."""
    router = APIRouter(include_in_schema=False)
    log, key = service.settings.log, service.settings.api_key
    monitors = [] if log is None else [Monitor(log, e.bundle) for e in service.engines]

    @router.get("/monitor")
    def monitor(request: Request) -> HTMLResponse:
        if key is not None and not knows(key, request.headers.get("authorization", "")):
            challenge = {"WWW-Authenticate": 'Basic realm="the API key as password"'}
            raise Refused(401, "the API key is missing or wrong", challenge)
        parts = [section(watched) for watched in monitors] or [_problem(NO_LOG)]
        return HTMLResponse(page("".join(parts)), headers=HEADERS)

    return router


def knows(key: str, authorization: str) -> bool:
    """Whether a header carries the key as a password, whatever the user's name."""
    scheme, _, coded = authorization.partition(" ")
    try:
        decoded = base64.b64decode(coded, validate=True) if scheme.lower() == "basic" else b""
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(decoded.partition(b":")[2], key.encode())


def page(body: str) -> str:
    """The whole page; it reloads itself when a new look is due, without a script."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{SECONDS:.0f}"><title>burnish: monitor</title>'
        '<link rel="icon" href="page/icon.svg"><link rel="stylesheet" href="page/page.css"></head>'
        f'<body class="wide"><main><p class="kind">What the service saw</p>{body}'
        '<nav aria-label="More"><a href="./">Try the model</a></nav>'
        "</main></body></html>"
    )


def section(watched: Monitor) -> str:
    """What the log says of one bundle, or why nothing can be said."""
    try:
        reference = reference_of(watched.bundle)
        known = None if reference is None else _deciles(reference.values["confidence"])
        return drawn(watched.look(), known)
    except BurnishError:  # names the file, which strangers need not know
        name = escape(watched.bundle.name)
        return f"<h1>{name}</h1>{_problem('The log or the reference cannot be read.')}"


def drawn(summary: Summary, reference: Sequence[float] | None = None) -> str:
    """A look at the log as HTML; class names in it are anybody's.

    Args:
        summary: the look.
        reference: deciles of confidence at export.
    """
    hours = summary.settings.since_seconds / 3600
    others = f"; {summary.others:,} more of other versions" if summary.others else ""
    if summary.future:
        others += f"; {dated_wrongly(summary)}"
    head = (
        f"<h1>{escape(summary.name)}</h1>"
        f'<p class="lead">version {escape(summary.version)} · the last {hours:g} hours · '
        f"looked at {moment(summary.looked)}<br>{escape(counted(summary))}{others}</p>"
    )
    if not summary.predictions:
        return head
    confidence = "" if summary.confidence is None else _confidence(summary.confidence, reference)
    return head + _facts(summary) + _drift(summary) + confidence + _classes(summary)


def _facts(summary: Summary) -> str:
    def told() -> Iterator[tuple[str, str, str]]:
        yield "predictions", f"{summary.predictions:,}", f"{summary.distinct:,} distinct"
        if latency := summary.latency:
            rest = f"p90 {latency.p90:.1f} · p99 {latency.p99:.1f}"
            yield "latency, median", f"{latency.p50:.1f} ms", rest
        if confidence := summary.confidence:
            known = confidence.reference_low_share
            beside = "" if known is None else f"{percent(known)} at export"
            yield "confidence, mean", f"{confidence.mean:.2f}", ""
            least = f"{summary.settings.min_confidence:g}"
            yield f"below {least}", percent(confidence.low_share), beside
        found = summary.accuracy
        share = "unknown" if found is None else percent(found.share)
        rest = accuracy(found).partition(" of ")[2]
        yield "accuracy", share, f"of {rest}" if rest else "no feedback yet"

    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(note)}</small></dd></div>"
        for name, value, note in told()
    )
    return f'<dl class="facts">{cells}</dl>'


def _drift(summary: Summary) -> str:
    size = summary.settings.window
    title = "<h2>Drift</h2>"
    if summary.reference is None:
        return title + _problem("Not tested: the bundle has no reference; export it again.")
    if not summary.windows:
        said = f"Too little data: {summary.distinct:,} distinct inputs, a window needs {size:,}."
        return f"{title}<p>{said}</p>"
    kind = "drift" if summary.drifted else "steady"
    plural = "s" * (len(summary.windows) > 1)
    said = verdict(summary).replace("DRIFT", "Drift").replace("no drift", "No drift")
    older = uncompared(summary)
    words = (
        f'<p class="{kind}">{escape(said)}.</p><p class="hint">'
        f"{len(summary.windows)} window{plural} of {size:,} distinct inputs against "
        f"{summary.reference:,} samples at export. The probability of any false alarm in one look "
        f"is at most {percent(summary.settings.alpha)}. The charts show how far each window lies "
        f"from the reference, from 0 to 1.{f' {older}.' if older else ''}</p>"
    )
    names = [test.name for test in summary.windows[-1].tests]
    charts = "".join(_history(name, summary.windows, summary.looked) for name in names)
    return f'{title}{words}<div class="charts">{charts}</div>{_newest(summary.windows[-1])}'


def _history(name: str, windows: Sequence[Window], looked: float) -> str:
    """How far each window lies from the reference."""
    span = max(len(windows) - 1, 1)
    dots = [
        Dot(
            i / span,
            t.distance,
            f"{moment(w.start, looked)}: {t.distance:.3f}, p {number(t)}",
            t.drifted,
        )
        for i, w in enumerate(windows)
        for t in w.tests
        if t.name == name
    ]
    top = max([0.2, *(dot.y for dot in dots)])
    ends = moment(windows[0].start, looked), moment(windows[-1].end, looked)
    says = f"{name}: distance of each window to the reference, {sum(d.odd for d in dots)} drifted"
    svg = curve(dots, top, ends, says)
    return f"<figure><figcaption>{escape(title(name))}</figcaption>{svg}</figure>"


def _newest(window: Window) -> str:
    rows = "".join(_row(test) for test in window.tests)
    head = "".join(f'<th class="n">{x}</th>' for x in ("mean", "at export", "distance", "p", "PSI"))
    return (
        '<div class="wide-table" tabindex="0"><table><caption>The newest window</caption>'
        f"<tr><th></th><th></th>{head}</tr>{rows}</table></div>"
    )


def _row(test: Test) -> str:
    means = ["" if x is None else f"{x:.3f}" for x in (test.mean, test.reference)]
    index = "" if test.psi is None else f"{test.psi:.2f}"
    cells = [*means, f"{test.distance:.3f}", escape(number(test)), index]
    said = '<td class="drift">drift</td>' if test.drifted else '<td class="steady">as before</td>'
    values = "".join(f'<td class="n">{cell}</td>' for cell in cells)
    return f"<tr><td>{escape(title(test.name))}</td>{said}{values}</tr>"


def _confidence(found: Confidence, reference: Sequence[float] | None) -> str:
    dots = _dots(found.deciles)
    says = "Deciles of confidence: " + ", ".join(f"{value:.2f}" for value in found.deciles)
    ends = "10 % of predictions are below", "90 %"
    svg = curve(dots, 1.0, ends, says, _dots(reference or ()))
    note = "" if reference is None else '<p class="hint">The dashed line is that at export.</p>'
    return (
        f'<h2>Confidence</h2>{note}<div class="charts"><figure><figcaption>Deciles</figcaption>'
        f"{svg}</figure></div>"
    )


def _dots(deciles: Sequence[float]) -> list[Dot]:
    return [Dot(i / 8, v, f"{10 * (i + 1)} % are below {v:.2f}") for i, v in enumerate(deciles)]


def _deciles(values: NDArray[np.float64]) -> list[float]:
    found: list[float] = np.quantile(values, np.arange(1, 10) / 10).tolist()
    return found


def _classes(summary: Summary) -> str:
    order = sorted(summary.classes, key=lambda one: -one.predicted)
    shown = order[:SHOWN_CLASSES]
    longest = max(max(one.share, one.reference or 0.0) for one in shown) or 1.0
    rows = "".join(_class(one, longest) for one in shown)
    rest = len(order) - SHOWN_CLASSES
    more = f'<p class="hint">and {rest:,} more</p>' if rest > 0 else ""
    mark = " The mark is where it was at export." if summary.reference else ""
    return (
        f'<h2>Classes</h2><p class="hint">Share of the predictions.{mark}</p>'
        f'<ol class="bars">{rows}</ol>{more}'
    )


def _class(one: Class, longest: float) -> str:
    right = ""
    if one.accuracy is not None:
        right = f"<small>{one.accuracy.right} of {one.accuracy.labelled} right</small>"
    known = None if one.reference is None else one.reference / longest
    return (
        f'<li><span dir="auto">{escape(one.name)}{right}</span>'
        f'<span class="track">{bar(one.share / longest, known)}</span>'
        f"<b>{percent(one.share)}</b></li>"
    )


def _problem(text: str) -> str:
    return f'<div class="problem"><p>{escape(text)}</p></div>'
