"""Which installed fonts can draw the names that a figure needs.

Matplotlib brings DejaVu Sans, which has Latin, Greek, Cyrillic and more, but no Chinese, Japanese
or Korean; for these a font of the system is looked for. Browsers find theirs themselves, so this
is for text inside pictures only.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager
from matplotlib.ft2font import FT2Font

# Chinese fonts often have one weight, which does for titles too.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)

OWN = "DejaVu Sans"
# In the order of preference; the names under which Linux, macOS and Windows know them.
CJK = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR",
    "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei", "Droid Sans Fallback", "PingFang SC", "PingFang HK",
    "Hiragino Sans GB", "Heiti TC", "Microsoft YaHei", "SimHei", "Malgun Gothic",
    "Arial Unicode MS",
)  # fmt: skip


def families(texts: Iterable[str]) -> tuple[str, ...]:
    """The font families to draw these texts with, for ``font.family``; one is enough for most."""
    missing = _letters(texts) - _drawn_by(OWN)
    chosen = [OWN]
    for family in _installed() if missing else ():
        if not missing:
            break
        if found := missing & _drawn_by(family):
            missing -= found
            chosen.append(family)
    return tuple(chosen)


def undrawable(texts: Iterable[str]) -> str:
    """The letters of these texts that no known installed font has, sorted; empty if none."""
    texts = list(texts)
    return "".join(sorted(_letters(texts).difference(*map(_drawn_by, families(texts)))))


def advice(letters: str) -> str:
    """A sentence for people whose figures lack letters."""
    shown = letters[:8] + ("…" if len(letters) > 8 else "")
    return (
        f"no installed font draws {shown} in figures, so they show class numbers instead of names; "
        "a CJK font such as Noto Sans CJK mends it"
    )


def _letters(texts: Iterable[str]) -> set[str]:
    return {letter for text in texts for letter in text if not letter.isspace()}


@cache
def _installed() -> tuple[str, ...]:
    # Matplotlib's list is a cache of its first start: fonts that were installed since are missing.
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with suppress(OSError, RuntimeError):
                fontManager.addfont(path)
    names = {font.name for font in fontManager.ttflist}
    return tuple(family for family in CJK if family in names)


@cache
def _drawn_by(family: str) -> frozenset[str]:
    path = findfont(FontProperties(family=[family]))
    return frozenset(map(chr, FT2Font(path).get_charmap()))
