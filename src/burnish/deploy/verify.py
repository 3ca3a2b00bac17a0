"""Whether an exported net computes what the net in memory does.

Shapes: N inputs, K classes, L tokens of the longest text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from burnish.deploy.preprocess import Inputs, preprocess
from burnish.deploy.runtime import Logits, Runtime
from burnish.errors import BundleError
from burnish.spec import PAD, UNKNOWN, Spec, TextSpec

# |a - b| <= TOLERANCE + TOLERANCE * |b|; ResNet-18 in onnxruntime differs by 4e-6.
TOLERANCE = 1e-4
# 1 and 2 are where an exporter may have kept a size, 7 is a multiple of nothing.
BATCHES = (1, 2, 7)


class Differs(BundleError):  # noqa: N818 (what is wrong is not that something failed)
    """An exported net computes something else than the net that it was made from."""


def verify(run: Runtime, expected: Runtime, spec: Spec, items: Sequence[Any]) -> dict[str, Any]:
    """Compare logits at several batch sizes, texts at several lengths, padded ones among them.

    Args:
        run: the exported net.
        expected: the net in memory.
        spec: of their inputs.
        items: some of ``preprocess.read``, tried beside random ones.

    Returns:
        ``tolerance``, and under ``batches`` for each size the worst ``absolute`` difference and
        the worst ``relative`` one: to the largest logit of its row, because single logits pass
        through 0.

    Raises:
        Differs: naming the batch size and the difference.
    """
    batches: dict[str, dict[str, float]] = {}
    for size in BATCHES:
        worst = {"absolute": 0.0, "relative": 0.0}
        for inputs in probes(spec, items, size):
            found, wanted = _tried(run, inputs), expected(inputs)
            _compare(found, wanted, inputs)
            absolute = np.abs(found - wanted)
            relative = absolute.max(1) / np.abs(wanted).max(1).clip(1e-30)
            worst["absolute"] = max(worst["absolute"], float(absolute.max()))
            worst["relative"] = max(worst["relative"], float(relative.max()))
        batches[str(size)] = {key: float(f"{value:.3g}") for key, value in worst.items()}
    return {"tolerance": TOLERANCE, "batches": batches}


def probes(spec: Spec, items: Sequence[Any], size: int) -> Iterator[Inputs]:
    """Batches of N inputs that a net is tried with: real ones, and random ones.

    Args:
        spec: of the inputs.
        items: real ones, at least one.
        size: N.
    """
    random = np.random.default_rng(size)
    yield preprocess(spec).batch([items[i % len(items)] for i in range(size)])
    if not isinstance(spec, TextSpec):
        shape = size, spec.channels, spec.height, spec.width
        yield random.normal(size=shape).astype(np.float32)
        return
    for length in sorted({1, min(5, spec.max_length), spec.max_length}):
        ids = random.integers(UNKNOWN, spec.vocabulary_size, (size, length))
        # From the whole length down to no token at all.
        lengths = np.linspace(length, 0, size).round()
        yield np.where(np.arange(length) < lengths[:, None], ids, PAD)


def _tried(run: Runtime, inputs: Inputs) -> Logits:
    try:
        return run(inputs)
    except Exception as error:  # each runtime has errors of its own
        reason = str(error).strip().partition("\n")[0]
        raise Differs(
            f"verification: the exported net fails for inputs {list(inputs.shape)} ({reason})"
        ) from error


def _compare(found: Logits, wanted: Logits, inputs: Inputs) -> None:
    if found.shape != wanted.shape:
        raise Differs(
            f"verification: {list(found.shape)} logits for inputs {list(inputs.shape)}, "
            f"must be {list(wanted.shape)}"
        )
    # So written, NaN is a difference.
    if not (np.abs(found - wanted) <= TOLERANCE + TOLERANCE * np.abs(wanted)).all():
        worst = float(np.abs(found - wanted).max())
        raise Differs(
            f"verification: the exported net's logits differ by {worst:.3g} for inputs "
            f"{list(inputs.shape)}, at most {TOLERANCE:g} (absolute and relative) is accepted"
        )
