"""Small charts as SVG within a page; their colours are classes of ``pages/page.css``.

The page's policy forbids style attributes: everything is a presentation attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 320, 120  # user units; the page scales them
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 10, 20


@dataclass(frozen=True)
class Dot:
    """A point of a curve.

    Args:
        x: in [0, 1].
        y: in data units.
        note: shown when pointed at.
        odd: whether it stands out.
    """

    x: float
    y: float
    note: str
    odd: bool = False


def bar(length: float, reference: float | None = None) -> str:
    """A horizontal bar, its length in [0, 1], with a mark where the reference lies."""
    mark = ""
    if reference is not None:
        x = f"{1 + 98 * reference:.2f}"
        # As thin on wide screens as on narrow ones.
        mark = f'<path class="then" d="M{x} 0V10" vector-effect="non-scaling-stroke"/>'
    return (
        '<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="part" width="{1 + 98 * length:.2f}" height="10"/>{mark}</svg>'
    )


def curve(
    dots: Sequence[Dot],
    top: float,
    ends: tuple[str, str],
    says: str,
    other: Sequence[Dot] = (),
) -> str:
    """A line through dots, from 0 to ``top``.

    Args:
        dots: from left to right.
        top: the highest value of the axis.
        ends: below the first and the last position.
        says: the chart in words, for people who do not see it.
        other: a second, fainter line: what it is compared with.
    """
    lines = [_path(other, top, "other"), _path(dots, top, "line")]
    marks = "".join(_mark(dot, top) for dot in dots)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(says)}">{_axes(top, ends)}{"".join(lines)}{marks}</svg>'
    )


def _axes(top: float, ends: tuple[str, str]) -> str:
    def level(value: float) -> str:
        y = _y(value, top)
        return (
            f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{value:.2g}</text>'
        )

    first, last = map(escape, ends)
    return (
        level(0) + level(top / 2) + level(top) + f'<text x="{LEFT}" y="{HEIGHT - 4}">{first}</text>'
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{last}</text>'
    )


def _path(dots: Sequence[Dot], top: float, kind: str) -> str:
    if len(dots) < 2:
        return ""
    points = " ".join(f"{_x(dot.x):.1f},{_y(dot.y, top):.1f}" for dot in dots)
    return f'<polyline class="{kind}" points="{points}"/>'


def _mark(dot: Dot, top: float) -> str:
    kind, radius = ("odd", 5) if dot.odd else ("mark", 3)
    return (
        f'<circle class="{kind}" cx="{_x(dot.x):.1f}" cy="{_y(dot.y, top):.1f}" r="{radius}">'
        f"<title>{escape(dot.note)}</title></circle>"
    )


def _x(x: float) -> float:
    return LEFT + 6 + x * (WIDTH - LEFT - RIGHT - 12)


def _y(y: float, top: float) -> float:
    return TOP + (1 - min(max(y / top, 0.0), 1.0)) * (HEIGHT - TOP - BOTTOM)
