"""Numbers that describe a data set before anything is trained on it.

Shapes: N samples, K classes, V tokens of a vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from burnish.data.image_cache import in_threads

QUANTILES = {"min": 0.0, "5%": 0.05, "median": 0.5, "95%": 0.95, "max": 1.0}
# Strength of the prior in tokens: a word seen once in a class of a few thousand tokens is no
# evidence yet.
PRIOR_TOKENS = 1000.0


def imbalance(counts: Sequence[int]) -> float:
    """Samples of the largest class for each of the smallest; infinite if one has none."""
    return max(counts) / min(counts) if min(counts) else float("inf")


def spread(values: ArrayLike) -> dict[str, float]:
    """Quantiles and the mean of some numbers, by name."""
    numbers = np.asarray(values, dtype=np.float64)
    found = {name: float(np.quantile(numbers, q)) for name, q in QUANTILES.items()}
    return {**found, "mean": float(numbers.mean())}


@dataclass(frozen=True)
class Headers:
    """What the headers of image files say; nothing is decoded.

    Args:
        widths: pixels as stored, int64 ``[N]``.
        heights: likewise.
        modes: Pillow's colour mode to the number of files.
        formats: format to the number of files.
    """

    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    modes: Mapping[str, int]
    formats: Mapping[str, int]


def read_headers(paths: Sequence[Path]) -> Headers:
    """Sizes and modes of readable image files."""
    found = in_threads(_header, paths)
    sizes = np.array([size for size, _, _ in found], dtype=np.int64)
    modes = Counter(mode for _, mode, _ in found)
    formats = Counter(kind for _, _, kind in found)
    return Headers(sizes[:, 0], sizes[:, 1], dict(modes.most_common()), dict(formats.most_common()))


def _header(path: Path) -> tuple[tuple[int, int], str, str]:
    with Image.open(path) as image:
        return image.size, image.mode, image.format or "unknown"


@dataclass(frozen=True)
class Distinctive:
    """A token that one class uses more than the others.

    Args:
        token: its id.
        here: occurrences among 1,000 tokens of the class.
        elsewhere: among 1,000 tokens of the other classes.
        z: log-odds ratio in standard deviations.
    """

    token: int
    here: float
    elsewhere: float
    z: float


def distinctive_tokens(counts: NDArray[np.int64], top: int = 12) -> list[list[Distinctive]]:
    """For each class the tokens that set it apart from the rest, most distinctive first.

    Log-odds ratio with an informative Dirichlet prior, divided by its standard deviation (Monroe,
    Colaresi and Quinn 2008, "Fightin' Words"): neither the commonest tokens win, which every
    class uses, nor the rarest, which one class has by chance.

    Args:
        counts: how often each class uses each token, int64 ``[K, V]``.
        top: tokens a class at most; only those that the class uses more than the rest.
    """
    total = counts.sum(0)
    prior = PRIOR_TOKENS * total / max(total.sum(), 1)
    found = []
    for own in counts:
        rest = total - own
        z = log_odds(own, prior) - log_odds(rest, prior)
        used = total > 0
        z[used] /= np.sqrt(1 / (own + prior)[used] + 1 / (rest + prior)[used])
        best = [int(token) for token in np.argsort(-z, kind="stable")[:top] if z[token] > 0]
        here, elsewhere = (1000 * part / max(part.sum(), 1) for part in (own, rest))
        found.append(
            [Distinctive(t, float(here[t]), float(elsewhere[t]), float(z[t])) for t in best]
        )
    return found


def log_odds(counts: NDArray[np.int64], prior: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of a token's odds against all others, float64 ``[V]``; 0 where nothing occurs."""
    mass = counts + prior
    odds = mass / (mass.sum() - mass).clip(min=np.finfo(np.float64).tiny)
    logarithms: NDArray[np.float64] = np.log(odds, out=np.zeros_like(odds), where=mass > 0)
    return logarithms
