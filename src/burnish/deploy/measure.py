"""What nets cost and how well they answer, measured side by side in one process.

Everything is measured in rounds, each contender once a round, and told as medians: whatever else
the machine does meets all of them. Shapes: N samples, K classes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.deploy.preprocess import Inputs
from burnish.deploy.runtime import Runtime
from burnish.errors import DataError

# What a net receives, and int64 labels [N].
Labelled = tuple[Inputs, NDArray[Any]]

LARGE = 128  # samples of the batch that throughput is measured with
ROUNDS = 3, 25  # fewest and most
LOADS = 3
# Seconds. The threads of one runtime look for more work for a while, and nobody else is timed
# meanwhile: after 10 ms they still doubled the time of the next on two cores.
PAUSE = 0.05


@dataclass(frozen=True)
class Contender:
    """A net in some format.

    Args:
        name: for the table.
        bytes: its size on disk.
        load: makes it ready.
    """

    name: str
    bytes: int
    load: Callable[[], Runtime]


@dataclass(frozen=True)
class Measured:
    """What one contender costs, and how well it answers.

    Args:
        name: of the contender.
        bytes: its size on disk.
        load_ms: until it is ready, in milliseconds.
        batch_1_ms: one sample, in milliseconds.
        batch_32_ms: a batch of 32.
        per_second: samples a second in batches of :data:`LARGE`.
        accuracy: share of right answers, in [0, 1].
        difference: largest absolute difference of logits from those of the first contender.
    """

    name: str
    bytes: int
    load_ms: float
    batch_1_ms: float
    batch_32_ms: float
    per_second: float
    accuracy: float
    difference: float


def compare(
    contenders: Iterable[Contender],
    inputs: Inputs,
    batches: Callable[[], Iterable[Labelled]],
    seconds: float = 5.0,
) -> list[Measured]:
    """Measure all of them side by side.

    Args:
        contenders: the first is the one that the others' logits are compared with.
        inputs: at least one sample; repeated if there are fewer than :data:`LARGE`.
        batches: the labelled samples of a split, anew for each contender.
        seconds: that each size of batch may take, beyond the fewest rounds.
    """
    found = list(contenders)
    runs, loads = _loaded(found)
    large = repeated(inputs, LARGE)
    one, some, many = (latencies(runs, large[:size], seconds) for size in (1, 32, LARGE))
    logits = {name: run(large) for name, run in runs.items()}
    first = logits[found[0].name]
    return [
        Measured(
            name=c.name,
            bytes=c.bytes,
            load_ms=loads[c.name],
            batch_1_ms=one[c.name],
            batch_32_ms=some[c.name],
            per_second=LARGE / many[c.name] * 1e3,
            accuracy=accuracy(runs[c.name], batches()),
            difference=float(np.abs(logits[c.name] - first).max()),
        )
        for c in found
    ]


def repeated(inputs: Inputs, size: int) -> Inputs:
    """So many samples, the first ones again if there are fewer."""
    found: Inputs = inputs[np.arange(size) % len(inputs)]
    return found


def latencies(
    runs: Mapping[str, Runtime], inputs: Inputs, seconds: float = 5.0
) -> dict[str, float]:
    """Milliseconds that each takes for ``inputs``: the median of interleaved rounds.

    Args:
        runs: by name.
        inputs: one batch.
        seconds: after which no further round is begun, beyond the fewest.
    """
    for run in runs.values():  # some choose their kernels at the first batch of a size
        run(inputs)
    times: dict[str, list[float]] = {name: [] for name in runs}
    least, most = ROUNDS
    end = time.perf_counter() + seconds
    for done in range(most):
        if done >= least and time.perf_counter() > end:
            break
        for name, run in runs.items():
            time.sleep(PAUSE)
            run(inputs[:1])  # wakes its threads
            started = time.perf_counter()
            run(inputs)
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(own) * 1e3 for name, own in times.items()}


def _loaded(contenders: list[Contender]) -> tuple[dict[str, Runtime], dict[str, float]]:
    """All of them ready, and the median of the milliseconds that it took."""
    runs: dict[str, Runtime] = {}
    times: dict[str, list[float]] = {c.name: [] for c in contenders}
    for c in contenders:  # the packages that it needs are imported once a process
        runs[c.name] = c.load()
    for _ in range(LOADS):
        for c in contenders:
            started = time.perf_counter()
            runs[c.name] = c.load()
            times[c.name].append(time.perf_counter() - started)
    return runs, {name: statistics.median(own) * 1e3 for name, own in times.items()}


def accuracy(run: Runtime, batches: Iterable[Labelled]) -> float:
    """Share of samples whose largest logit is their class's, in [0, 1].

    Raises:
        DataError: if there are no samples.
    """
    right = samples = 0
    for inputs, labels in batches:
        right += int((run(inputs).argmax(1) == labels).sum())
        samples += len(labels)
    if not samples:
        raise DataError("accuracy: there are no samples to measure it on")
    return right / samples
