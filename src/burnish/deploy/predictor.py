"""Predictions on what people have: files, pictures, texts. Works without torch.

Shapes: N inputs, K classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.deploy.bundle import Bundle
from burnish.deploy.loading import runtime
from burnish.deploy.preprocess import preprocess
from burnish.deploy.runtime import Logits, Runtime
from burnish.errors import DataError
from burnish.spec import Spec


@dataclass(frozen=True)
class Predicted:
    """What a net says of N inputs.

    Args:
        probabilities: float32 ``[N, K]``, rows sum to 1.
        class_names: K names.
    """

    probabilities: NDArray[np.float32]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def classes(self) -> NDArray[np.int64]:
        """The likeliest class of each input, int64 ``[N]``."""
        found: NDArray[np.int64] = self.probabilities.argmax(1)
        return found

    @property
    def labels(self) -> list[str]:
        """Its name."""
        return [self.class_names[i] for i in self.classes.tolist()]

    @property
    def confidence(self) -> NDArray[np.float32]:
        """Its probability, float32 ``[N]``."""
        found: NDArray[np.float32] = self.probabilities.max(1)
        return found

    def top(self, k: int) -> list[list[tuple[str, float]]]:
        """The likeliest ``k`` classes of each input with their probabilities, likeliest first."""
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [(self.class_names[i], float(row[i])) for i in best]
            for row, best in zip(self.probabilities, order.tolist(), strict=True)
        ]


class Predictor:
    """A net with its preprocessing.

    Args:
        spec: what inputs are.
        run: computes logits of what the net receives.
        name: for people.
    """

    def __init__(self, spec: Spec, run: Runtime, name: str = "") -> None:
        self.spec = spec
        self.preprocess = preprocess(spec)
        self.run = run
        self.name = name

    def predict(self, inputs: Any, batch_size: int = 256) -> Predicted:
        """Classify one input or many.

        Args:
            inputs: an image (a path, a file's bytes, a Pillow image, pixels, uint8 or floats in
                [0, 1], ``[H, W, 3]`` or ``[H, W]``) or a text, by the kind of the net; a list of
                these; or images in one array: NumPy ``[N, H, W, 3]``, for grey nets
                ``[N, H, W]``; torch ``[N, C, H, W]`` or ``[C, H, W]``.
            batch_size: inputs a step.

        Raises:
            DataError: if there are none, or one is of another kind or cannot be read; in a list
                its position is named. If ``batch_size`` is less than 1.
        """
        if batch_size < 1:
            raise DataError(f"predict: batch_size must be at least 1, found {batch_size}")
        items = self.preprocess.items(inputs)
        positions = range(len(items))
        return joined(
            self.predict_read([self._read(items, i) for i in positions[first : first + batch_size]])
            for first in positions[::batch_size]
        )

    def _read(self, items: Sequence[Any], position: int) -> Any:
        try:
            return self.preprocess.read(items[position])
        except DataError as error:
            if len(items) == 1:
                raise
            raise DataError(f"input {position} of {len(items)}: {error}") from error

    def predict_read(self, items: Sequence[Any]) -> Predicted:
        """Classify one batch of what ``preprocess.read`` returned."""
        logits = self.run(self.preprocess.batch(items))
        return Predicted(softmax(logits), self.spec.class_names)


def joined(parts: Iterable[Predicted]) -> Predicted:
    """The answers to several batches as one.

    Raises:
        DataError: if there are none.
    """
    found = list(parts)
    if not found:
        raise DataError("predict: there is nothing to predict: the inputs are empty")
    return Predicted(np.concatenate([p.probabilities for p in found]), found[0].class_names)


def of_bundle(bundle: Bundle, threads: int | None = None, trusted: Sequence[str] = ()) -> Predictor:
    """The predictor of an exported net."""
    return Predictor(bundle.spec, runtime(bundle, threads, trusted), bundle.name)


def load_bundle(path: Path, threads: int | None = None, trusted: Sequence[str] = ()) -> Predictor:
    """The same by its folder."""
    from burnish.deploy.bundle import read_bundle

    return of_bundle(read_bundle(path), threads, trusted)


def softmax(logits: Logits) -> NDArray[np.float32]:
    """Probabilities, float32 ``[N, K]``, rows sum to 1."""
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    found: NDArray[np.float32] = shifted / shifted.sum(1, keepdims=True)
    return found
