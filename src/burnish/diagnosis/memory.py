"""What a training step's memory is made of, and what would save how much of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import torch

from burnish.data.loading import Batch
from burnish.diagnosis.batch_size import free_memory
from burnish.diagnosis.footprint import MIB, Footprint, footprint, heaviest
from burnish.diagnosis.steps import batch_size
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Verdict

NAME = "memory"
WORTH_SAYING = 0.1  # a smaller saving is not worth its cost in time
SHORT = 0.25  # share of the free memory from which on a step deserves a thought

PARTS = {
    "parameters": "parameters",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "activations": "batch and activations",
}


def check(subject: Subject) -> Verdict:
    """Measure one training step as configured, and the same with each saving.

    The batch is of the configured size, its texts as long as the longest of training.
    """
    now = footprint(subject, [heaviest(subject)])
    savings = dict(_savings(subject))
    seen = "peak" if subject.device.type == "cuda" else "peak of the tensors"
    return Verdict(
        NAME,
        "ok",
        f"{_mib(now.peak)} MiB, {seen} of a step with {batch_size(subject)} samples",
        advice=_advice(subject, now, savings),
        values={
            "bytes": _plain(now),
            "savings": {way: _plain(found) for way, found in savings.items()},
        },
        rows=tuple(_rows(now, savings)),
    )


def _savings(subject: Subject) -> Iterator[tuple[str, Footprint]]:
    """Overrides to paste, and what a step takes with them."""
    inputs, targets = heaviest(subject)
    size = len(inputs)
    if size >= 4:  # batch normalisation cannot train on one sample
        halves: list[Batch] = [
            (inputs[: size // 2], targets[: size // 2]),
            (inputs[size // 2 : size // 2 * 2], targets[size // 2 : size // 2 * 2]),
        ]
        accumulated = subject.config["trainer"].get("accumulate_grad_batches") or 1
        way = f"data.batch_size={size // 2} trainer.accumulate_grad_batches={2 * accumulated}"
        yield way, footprint(subject, halves)
    if subject.config["model"].get("grad_checkpointing") is False:
        yield (
            "model.grad_checkpointing=true",
            footprint(subject, [(inputs, targets)], grad_checkpointing=True),
        )
    precision = str(subject.config["trainer"].get("precision") or "32-true")
    if precision in ("32", "32-true"):
        half = "bf16-mixed" if _has_bfloat16(subject.device) else "16-mixed"
        yield (
            f"trainer.precision={half}",
            footprint(subject, [(inputs, targets)], precision=half),
        )


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def _advice(subject: Subject, now: Footprint, savings: dict[str, Footprint]) -> str:
    # Most CPUs compute with bfloat16 many times slower than without.
    ways = [way for way in savings if subject.device.type != "cpu" or "precision" not in way]
    best = min(ways, key=lambda way: savings[way].peak, default="")
    saved = now.peak - savings[best].peak if best else 0
    free = free_memory(subject.device)
    if saved < WORTH_SAYING * now.peak or (free is not None and now.peak < SHORT * free):
        return ""
    return f"if memory is short, {best} saves {_share(saved, now.peak)} of it"


def _rows(now: Footprint, savings: dict[str, Footprint]) -> Iterator[tuple[str, str, str]]:
    yield "", "MiB", "of the peak"
    for part, name in PARTS.items():
        size = getattr(now, part)
        yield name, _mib(size), _share(size, now.peak)
    yield "peak, with what comes and goes", _mib(now.peak), _share(now.peak, now.peak)
    for way, found in savings.items():
        yield f"peak with {way}", _mib(found.peak), _share(found.peak, now.peak)


def _plain(found: Footprint) -> dict[str, int]:
    return {name: size for name, size in asdict(found).items() if name != "course"}


def _mib(size: int) -> str:
    return f"{size / MIB:,.1f}"


def _share(size: int, whole: int) -> str:
    return f"{size / whole:.0%}"
