"""Does the net wait for its data?"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import fmean, median

import torch

from burnish.data.loading import Batch, InMemory
from burnish.diagnosis.steps import Steps, batch_size, loaded, prepared, seeded
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Verdict

NAME = "loading"
SECONDS = 4.0
FEWEST, MOST = 2, 30  # batches of which a median is taken
WARM_UP = 1  # batches that start workers and choose kernels
PREFETCHED = 2  # batches a worker that torch's DataLoader has read ahead
KEPT = 8  # batches at hand at once
SMALL = 64  # pixels; a smaller image saves little
TOO_LONG = 0.3  # share of the time that a net may wait before it is worth a word


@dataclass(frozen=True)
class Timing:
    """Seconds of a training batch, medians.

    Args:
        load: from the loader alone, as fast as it hands them out.
        prepare: transfer, augmentation and normalisation.
        step: forward, backward and update.
        overlaps: whether worker processes load while the net computes.
    """

    load: float
    prepare: float
    step: float
    overlaps: bool

    @property
    def whole(self) -> float:
        """Seconds from one batch to the next."""
        busy = self.prepare + self.step
        return max(self.load, busy) if self.overlaps else self.load + busy

    @property
    def waiting(self) -> float:
        """Share of that time in which the net does not compute, in [0, 1]."""
        return 1 - self.step / self.whole


def check(subject: Subject) -> Verdict:
    """Compare the seconds that a batch takes to arrive with those of a training step."""
    timing = measure(subject)
    slow = timing.waiting > TOO_LONG
    figure = (
        f"the net waits {timing.waiting:.0%} of the time: a batch takes {_time(timing.load)} to "
        f"load, {_time(timing.prepare)} to prepare and {_time(timing.step)} to train on; "
        f"{batch_size(subject) / timing.whole:,.0f} samples a second"
    )
    if reads_files(subject):
        figure += "; the first epoch is slower where files are not in the system's cache yet"
    return Verdict(
        NAME,
        "note" if slow else "ok",
        figure,
        advice=_advice(subject, timing) if slow else "",
        values={
            "seconds": {"load": timing.load, "prepare": timing.prepare, "step": timing.step},
            "overlaps": timing.overlaps,
            "waiting": timing.waiting,
            "samples_per_second": batch_size(subject) / timing.whole,
        },
        rows=(
            ("a batch", "milliseconds", "share of their sum"),
            *_rows(timing),
        ),
    )


def measure(subject: Subject, seconds: float = SECONDS) -> Timing:
    """Time the loader alone, then preparation and step of the batches that it gave.

    Args:
        subject: the run.
        seconds: of measuring, half for each; a batch that is under way is finished.
    """
    workers = subject.data.num_workers if reads_files(subject) else 0
    with seeded(subject):
        kept, load = _time_loader(loaded(subject), workers, seconds / 2)
        prepare, step = _time_net(subject, kept, seconds / 2)
    return Timing(load, prepare, step, overlaps=workers > 0)


def _time_loader(
    source: Iterator[Batch], workers: int, seconds: float
) -> tuple[list[Batch], float]:
    """Some batches, and the seconds that one takes to come."""
    # What workers had read ahead when the first batch came is no measure of their speed.
    for _ in range(WARM_UP + PREFETCHED * workers):
        next(source)
    kept: deque[Batch] = deque(maxlen=KEPT)
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < FEWEST or (len(times) < MOST and time.perf_counter() - start < seconds):
        before = time.perf_counter()
        kept.append(next(source))
        times.append(time.perf_counter() - before)
    # Workers hand out batches in bursts, of which the median would see the short gaps alone.
    return list(kept), fmean(times) if workers else median(times)


def _time_net(subject: Subject, batches: Sequence[Batch], seconds: float) -> tuple[float, float]:
    """Seconds of preparing a batch and of a training step with it."""
    steps = Steps(subject)
    times: list[tuple[float, float]] = []
    start = time.perf_counter()
    for number, batch in enumerate(cycle(batches)):
        if number == WARM_UP:
            times, start = [], _now(subject.device)
        spent = time.perf_counter() - start
        if len(times) == MOST or (number >= WARM_UP + FEWEST and spent > seconds):
            break
        before = _now(subject.device)
        ready = prepared(subject, batch)
        between = _now(subject.device)
        steps.step(*ready)
        times.append((between - before, _now(subject.device) - between))
    prepare, step = zip(*times, strict=True)
    return median(prepare), median(step)


def _now(device: torch.device) -> float:
    """Seconds, once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def reads_files(subject: Subject) -> bool:
    """Whether training batches are read from files one by one, as opposed to a table."""
    return not isinstance(subject.data.splits["train"][0], InMemory)


def _advice(subject: Subject, timing: Timing) -> str:
    """Keys that this data has, the most useful first."""
    node = subject.config["data"]
    ways = []
    if timing.load >= timing.prepare:
        if reads_files(subject):
            if node.get("cache") == "none":
                ways.append("data.cache=disk decodes every image once for all runs")
            more = min(8, (os.cpu_count() or 1) - 1)
            if "num_workers" in node and subject.data.num_workers < more:
                ways.append(f"data.num_workers={more} reads ahead")
            if (side := node.get("image_size")) and side > SMALL:
                ways.append(f"data.image_size={side // 2 // 8 * 8} has a quarter of the pixels")
        elif subject.device.type == "cuda" and node.get("device_resident") is False:
            ways.append("data.device_resident=auto keeps the table on the GPU")
    else:
        named = [name for name, way in (subject.config.get("augment") or {}).items() if way]
        if named:
            ways.append(f"augment: {', '.join(named)} take the time; augment=none to compare")
    return "; ".join(ways) or "nothing to mend: the net is small for its data"


def _rows(timing: Timing) -> Iterator[tuple[str, str, str]]:
    parts = {"load": timing.load, "prepare": timing.prepare, "training step": timing.step}
    for name, seconds in parts.items():
        yield name, f"{1000 * seconds:.2f}", f"{seconds / sum(parts.values()):.0%}"


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    milliseconds = 1000 * seconds
    return "under 0.01 ms" if milliseconds < 0.01 else f"{milliseconds:.2f} ms"
