"""Pictures with what a net said of them, the least sure first, on one sheet for screen or paper.

Shapes: K classes, C channels, H height, W width.
"""

from __future__ import annotations

import heapq
import io
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from burnish.report.figures import DPI, LIGHT, clipped
from burnish.report.fonts import families, undrawable

Pixels = NDArray[np.uint8]

MOST = 60  # pictures: ten rows of six fill a page
COLUMNS = 6
# Inches.
SIDE, GAP, MARGIN, HEAD, WORDS = 1.4, 0.16, 0.25, 0.6, 0.52
BAR = 0.045
SHARP = 64  # pictures of fewer pixels a side keep their edges when they are enlarged


class Shown(NamedTuple):
    """One picture of the sheet.

    Args:
        name: its file.
        pixels: uint8 ``[C, H, W]`` with C 1 or 3; H / W is the same for all.
        label: the predicted class.
        confidence: its probability.
    """

    name: str
    pixels: Pixels
    label: str
    confidence: float


class LeastSure:
    """Remembers, of any number of pictures, those that a net is least sure of.

    Args:
        class_names: K names.
        read: what was added to the pixels to show; called for those on the sheet alone.
        most: pictures to remember.
    """

    def __init__(
        self, class_names: Sequence[str], read: Callable[[Any], Pixels], most: int = MOST
    ) -> None:
        self._class_names = class_names
        self._read = read
        self._most = most
        # The surest on top, of equals the last; the number keeps contents from being compared.
        self._heap: list[tuple[float, int, str, Any, int]] = []
        self._numbers = count()
        self.total = 0

    def add(self, name: str, content: Any, probabilities: NDArray[np.float32]) -> None:
        """One more picture.

        Args:
            name: as it is to be shown.
            content: what ``read`` takes.
            probabilities: float32 ``[K]``.
        """
        self.total += 1
        best = int(probabilities.argmax())
        entry = -float(probabilities[best]), -next(self._numbers), name, content, best
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def shown(self) -> list[Shown]:
        """The pictures, the least sure first; of equals the first."""
        return [
            Shown(name, self._read(content), self._class_names[best], -sureness)
            for sureness, _, name, content, best in sorted(self._heap, reverse=True)
        ]

    def drawn(self, format: str) -> bytes:
        """Draw them; the file, ``png`` or ``pdf``."""
        return sheet(self.shown(), self.total, format)


def sheet(pictures: Sequence[Shown], total: int, format: str = "png") -> bytes:
    """A contact sheet: each picture with a bar as long as the net is sure, class and file name.

    Args:
        pictures: at least one.
        total: how many there were to choose from.
        format: ``png`` or ``pdf``.

    Returns:
        The file.
    """
    title, fonts = _title(len(pictures), total), families(_words(pictures))
    lacking = undrawable(_words(pictures))
    _, height, width = pictures[0].pixels.shape
    tall = SIDE * height / width
    columns = min(COLUMNS, max(len(pictures), 3))  # the title needs the room of three
    rows = -(-len(pictures) // columns)
    size = (
        2 * MARGIN + columns * (SIDE + GAP) - GAP,
        HEAD + rows * (tall + WORDS + GAP) - GAP + MARGIN,
    )
    with rc_context(LIGHT.rc(fonts)):
        figure = Figure(size)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.text(MARGIN, 0.3, title, va="center", fontsize=11, weight="bold")
        for i, picture in enumerate(pictures):
            x = MARGIN + (i % columns) * (SIDE + GAP)
            y = HEAD + (i // columns) * (tall + WORDS + GAP)
            _paint(axes, picture, (x, y, tall), lacking)
        # A unit is an inch, and y points down; imshow changed both.
        axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
        buffer = io.BytesIO()
        figure.savefig(buffer, format=format, dpi=DPI)
    return buffer.getvalue()


def _title(shown: int, total: int) -> str:
    if total > shown:
        return f"{shown} of {total:,} pictures, the least sure first, and {total - shown:,} more"
    return "1 picture" if total == 1 else f"{total} pictures, the least sure first"


def _words(pictures: Sequence[Shown]) -> list[str]:
    return [word for picture in pictures for word in (picture.label, picture.name)]


def _paint(axes: Axes, picture: Shown, place: tuple[float, float, float], lacking: str) -> None:
    """One picture with its words at ``x``, ``y``, as tall as said."""
    x, y, tall = place
    below = y + tall
    pixels = np.broadcast_to(picture.pixels, (3, *picture.pixels.shape[1:]))
    axes.imshow(
        pixels.transpose(1, 2, 0),
        extent=(x, x + SIDE, below, y),
        interpolation="nearest" if max(pixels.shape[1:]) < SHARP else "antialiased",
    )
    axes.add_patch(Rectangle((x, below + 0.04), SIDE, BAR, color=LIGHT.grid, linewidth=0))
    length = SIDE * picture.confidence
    axes.add_patch(Rectangle((x, below + 0.04), length, BAR, color=LIGHT.colours[0], linewidth=0))
    words = clipped(_drawable(picture.label, lacking), 13)
    axes.text(x, below + 0.22, words, va="center", fontsize=9, weight="bold")
    axes.text(
        x + SIDE, below + 0.22, f"{picture.confidence:.0%}", va="center", ha="right", fontsize=9
    )
    name = _tail(_drawable(picture.name, lacking))
    axes.text(x, below + 0.4, name, va="center", fontsize=7, color=LIGHT.muted)


def _drawable(text: str, lacking: str) -> str:
    """Without letters that no font has."""
    return " ".join(text.translate(dict.fromkeys(map(ord, lacking), "?")).split())


def _tail(name: str) -> str:
    """The end of a path, which tells more than its beginning."""
    last = name.rsplit("/", 1)[-1]
    return clipped(last[::-1], 21)[::-1]
