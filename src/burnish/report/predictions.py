"""What a net answered to every sample of a split: all that an evaluation report is made from.

Shapes: N samples, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from burnish.errors import RunError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK = 65_536  # rows that are worked on at once in double precision


@dataclass(frozen=True)
class Predictions:
    """The answers, in the order in which they were given.

    Args:
        rows: of the samples in the split's source, int64 ``[N]``.
        targets: true classes, int64 ``[N]``.
        logits: float32 ``[N, K]``; what is not finite counts as wrong, as in the run's metrics,
            unless its place happens to be right.
    """

    rows: Ints
    targets: Ints
    logits: NDArray[np.float32]

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.logits.shape[1])

    @cached_property
    def predicted(self) -> Ints:
        """The class of the largest logit, int64 ``[N]``."""
        found: Ints = self.logits.argmax(1).astype(np.int64)
        return found

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the prediction is the true class, bool ``[N]``."""
        found: NDArray[np.bool_] = self.predicted == self.targets
        return found

    @cached_property
    def normaliser(self) -> Floats:
        """``log(sum_k exp(logit_k))``, float64 ``[N]``; NaN or infinite if a logit is."""
        blocks = np.split(self.logits, range(BLOCK, len(self.logits), BLOCK))
        with np.errstate(invalid="ignore"):
            parts = [logsumexp(block.astype(np.float64), axis=1) for block in blocks]
        return np.concatenate(parts)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which samples have probabilities, bool ``[N]``."""
        return np.isfinite(self.normaliser)

    def probability(self, classes: int | Ints) -> Floats:
        """Softmax of one class for every sample, or of one class for each; float64 ``[N]``.

        A column at a time: the whole matrix in double precision would be twice the logits.
        """
        chosen = self.logits[np.arange(len(self.logits)), classes]
        with np.errstate(invalid="ignore"):
            found: Floats = np.exp(chosen.astype(np.float64) - self.normaliser)
        return found

    @cached_property
    def confidence(self) -> Floats:
        """The probability of the predicted class, float64 ``[N]``; NaN where not usable."""
        return self.probability(self.predicted)

    def hits_among(self, top: int) -> NDArray[np.bool_]:
        """Whether fewer than ``top`` classes come before the true one, bool ``[N]``.

        Of equal logits the lower class comes first.
        """
        found = np.zeros(len(self.logits), dtype=np.bool_)
        for first in range(0, len(self.logits), BLOCK):
            block, targets = self.logits[first : first + BLOCK], self.targets[first : first + BLOCK]
            own = np.take_along_axis(block, targets[:, None], axis=1)
            earlier = np.arange(self.num_classes) < targets[:, None]
            before = (block > own) | ((block == own) & earlier)
            found[first : first + BLOCK] = (before.sum(1) < top) & ~np.isnan(own[:, 0])
        return found

    def save(self, path: Path) -> None:
        """Write an ``.npz`` with the three arrays under their names."""
        # Not by way of bytes in memory: logits may be gigabytes.
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.savez(file, rows=self.rows, targets=self.targets, logits=self.logits)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read what :meth:`save` wrote; nothing in the file is executed.

        Raises:
            RunError: if the file cannot be read or does not hold the three arrays.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found: dict[str, Any] = {
                    name: arrays[name] for name in ("rows", "targets", "logits")
                }
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise RunError(f"{path}: holds no predictions ({error})") from error
        return cls(**found)
