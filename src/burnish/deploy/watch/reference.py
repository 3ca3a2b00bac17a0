"""How confident a net was, what it answered and what its inputs were like when it was exported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.deploy.bundle import Bundle
from burnish.deploy.predictor import Predictor
from burnish.deploy.watch.statistics import DIGITS, digest, rounded, statistics
from burnish.errors import BundleError

MOST = 2000  # samples: at windows of 500 a gap of 0.1 between distributions is seen
BATCH = 64

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """What was measured when a bundle was made.

    Args:
        split: of the data, where the samples are from.
        values: ``confidence`` and every statistic of the inputs, float64 ``[samples]`` each.
        classes: how often each class was predicted.
    """

    split: str
    values: Mapping[str, Values]
    classes: Mapping[str, int]

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.values["confidence"])


def make_reference(
    predictor: Predictor, items: Iterable[Any], split: str = "val"
) -> dict[str, Any]:
    """What goes into ``reference.json``.

    Inputs that occur twice are taken once, as they are when a log is compared.

    Args:
        predictor: the exported net.
        items: what ``preprocess.read`` returns: a random sample of ``split``, which the net was
            not trained on. At most :data:`MOST` are used.
        split: where they are from.
    """
    unique = list({digest(item): item for item in islice(items, MOST)}.values())
    values: dict[str, list[float]] = {}
    confidence: list[float] = []
    classes = Counter(dict.fromkeys(predictor.spec.class_names, 0))
    for i in range(0, len(unique), BATCH):
        some = unique[i : i + BATCH]
        answers = predictor.predict_read(some)
        confidence += rounded(answers.confidence).tolist()
        classes.update(answers.labels)
        for item in some:
            for name, value in statistics(predictor.preprocess, item).items():
                values.setdefault(name, []).append(round(value, DIGITS))
    return {
        "samples": len(unique),
        "split": split,
        "confidence": confidence,
        "classes": dict(classes),
        "statistics": values,
    }


def reference_of(bundle: Bundle) -> Reference | None:
    """What a bundle's ``reference.json`` says; None if it was made without.

    Raises:
        BundleError: if the file holds something else.
    """
    raw = bundle.reference()
    if raw is None:
        return None
    try:
        values = {"confidence": raw["confidence"], **raw["statistics"]}
        arrays = {str(k): np.array(v, dtype=np.float64) for k, v in values.items()}
        classes = {str(name): int(count) for name, count in raw["classes"].items()}
        split = str(raw["split"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BundleError(_damaged(bundle)) from error
    one_each = {array.shape for array in arrays.values()} == {(len(arrays["confidence"]),)}
    finite = all(np.isfinite(array).all() for array in arrays.values())
    if not one_each or not finite or min(classes.values(), default=-1) < 0:
        raise BundleError(_damaged(bundle))
    if not sum(classes.values()):
        raise BundleError(f"{bundle.path / 'reference.json'}: holds no samples; export again")
    return Reference(split, arrays, classes)


def _damaged(bundle: Bundle) -> str:
    return f"{bundle.path / 'reference.json'}: does not hold lists of numbers; export again"
