"""The largest batch that fits into memory, tried on a GPU and estimated elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.utilities.memory import garbage_collection_cuda, is_oom_error

from burnish.diagnosis.footprint import MIB, footprint, heaviest
from burnish.diagnosis.steps import Steps, batch_size, seeded
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Verdict

NAME = "batch size"
# Of the largest batch that fits; the rest is for fragments and for what kernels take as they run:
# ResNet-18 on a CPU, 128 images of 32 px: 649 MiB by the system, 536 by its tensors.
SHARE = 0.8
MEMINFO, CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def check(subject: Subject) -> Verdict:
    """The largest batch that fits, and whether the configured one does.

    Batches are repetitions of the subject's, texts all as long as the longest of training.
    """
    if subject.device.type == "cuda":
        return _verdict(subject, largest_tried(subject), "")
    available = free_memory(subject.device)
    if available is None:
        return Verdict(NAME, "note", "cannot tell how much memory is free on this system")
    return _verdict(
        subject,
        largest_estimated(subject, available),
        f"an estimate from two sizes and {available // MIB:,} MiB free",
    )


def _verdict(subject: Subject, largest: int, how: str) -> Verdict:
    configured, most = subject.data.batch_size, sum(subject.data.class_counts["train"])
    # Multiples of 8 suit the hardware, and the number is no finer than that anyway.
    suggested = min(most, int(SHARE * largest))
    suggested = suggested // 8 * 8 if suggested >= 16 else max(suggested, 1)
    whole = largest >= most
    fits = f"the whole training split of {most:,} fits" if whole else f"{largest:,} fit"
    broken = largest < min(configured, most)
    advice = f"data.batch_size={suggested}"
    if broken:
        advice += f", not {configured}, or see what the memory check says would save some"
    elif configured >= most:
        advice = f"an epoch is one step of all {most:,} training samples: a smaller one takes more"
    elif whole:
        advice = "memory sets no limit; a larger batch takes fewer steps and wants a larger rate"
    elif suggested > configured:
        advice = f"up to {advice} fits; a larger batch wants a larger optimizer.lr"
    else:
        advice = f"{configured} is close to what fits; {advice} leaves room"
    return Verdict(
        NAME,
        "broken" if broken else "ok",
        f"{configured} samples configured, {fits}" + (f" ({how})" if how else ""),
        advice=advice,
        values={
            "configured": configured,
            "largest": min(largest, most),
            "suggested": suggested,
            "estimated": bool(how),
        },
    )


def largest_tried(subject: Subject) -> int:
    """Take real steps with larger and larger batches until memory runs out.

    Returns:
        Samples; the training split's number at most, 0 if not even one fits.
    """
    most = sum(subject.data.class_counts["train"])
    return search(lambda size: _fits(subject, size), batch_size(subject), most)


def search(fits: Callable[[int], bool], start: int, most: int) -> int:
    """Double from ``start`` until it fits no more, then halve the gap to an eighth.

    Args:
        fits: whether a size does; those above one that does not are never asked.
        start: the first size.
        most: the largest size asked.

    Returns:
        A size that fits, less than an eighth below the largest that does; 0 if none.
    """
    good, bad = 0, most + 1
    size = start
    while good < most and bad - good > max(1, good // 8):
        if fits(size):
            good = size
        else:
            bad = size
        size = min(2 * good, most) if bad > most else (good + bad) // 2
    return good


def _fits(subject: Subject, size: int) -> bool:
    enough = True
    with seeded(subject):
        try:
            _two_steps(subject, size)
        except RuntimeError as error:
            if not (isinstance(error, torch.OutOfMemoryError) or is_oom_error(error)):
                raise
            enough = False
    # By now the error is gone, and with its frames the tensors that they held.
    garbage_collection_cuda()
    return enough


def _two_steps(subject: Subject, size: int) -> None:
    """From the second step on the optimizer's state is there too."""
    steps = Steps(subject)
    batch = heaviest(subject, size)
    for _ in range(2):
        steps.step(*batch)


def largest_estimated(subject: Subject, available: int) -> int:
    """Follow a step's memory at two sizes and draw a straight line at each of its moments.

    One line through the two peaks would be too flat: with small batches memory is highest where
    the optimizer works, with large ones where gradients of activations do.

    Args:
        subject: the run.
        available: bytes.

    Returns:
        Samples, 0 or more; not bounded by the training split.
    """
    large = max(4, batch_size(subject))
    small = large // 2
    found = [footprint(subject, [heaviest(subject, size)]) for size in (small, large)]
    moments = [np.array(one.course, dtype=np.float64) for one in found]
    if len(moments[0]) != len(moments[1]):  # a net that computes otherwise for another size
        moments = [np.array([one.peak], dtype=np.float64) for one in found]
    per_sample = ((moments[1] - moments[0]) / (large - small)).clip(min=1)
    fixed = moments[1] - per_sample * large
    return max(0, int(((available - fixed) / per_sample).min()))


def free_memory(device: torch.device) -> int | None:
    """Bytes of the device that programs may still take; None if that cannot be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def available_memory() -> int | None:
    """Bytes that programs may still take, by Linux's own estimate; None on other systems."""
    try:
        lines = MEMINFO.read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return min([1024 * free, *_limits()])


def _limits() -> list[int]:
    """What the control group of a container leaves, in either of their two file systems."""
    left = []
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most, now = ((CGROUP / name).read_text().strip() for name in (limit, used))
        except OSError:
            continue
        if most != "max":
            left.append(max(0, int(most) - int(now)))
    return left
