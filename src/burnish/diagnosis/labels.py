"""Are all classes there, evenly enough, and mixed within a batch?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Row, Status, Verdict
from burnish.report import fonts
from burnish.report.figures import bars

# The rarest class under this share of the largest: what train says a word about, too.
UNEVEN = 0.1
# Shuffled data of several classes gives a batch of one class less often than once in a million.
NEVER = 1e-6
MOST_NAMES = 5


def check(subject: Subject) -> Verdict:
    """Samples of each class in the splits, and in a batch."""
    data, targets = subject.data, subject.targets
    names, counts = data.spec.class_names, data.class_counts
    soft = targets.is_floating_point()
    labels = targets.argmax(1) if soft else targets
    if not soft and (int(labels.min()) < 0 or int(labels.max()) >= len(names)):
        return Verdict(
            "labels",
            "broken",
            f"labels from {int(labels.min())} to {int(labels.max())} for {len(names)} classes",
            "labels must count from 0 to the number of classes less 1",
        )
    in_batch = torch.bincount(labels.cpu(), minlength=len(names)).tolist()
    train = counts["train"]
    status, advice = _judge(counts, in_batch, names, soft)
    rows: list[Row] = [
        (name, *(counts[split][i] for split in counts), in_batch[i]) for i, name in enumerate(names)
    ]
    return Verdict(
        "labels",
        status,
        f"{len(names)} classes, {min(train):,} to {max(train):,} training samples each",
        advice,
        {"counts": counts, "batch": in_batch},
        (("class", *counts, "a batch"), *rows),
        bars("Training samples of a class", names, {"train": train}, "samples",
             fonts.families(names)),
    )  # fmt: skip


def _judge(
    counts: dict[str, list[int]], in_batch: list[int], names: Sequence[str], soft: bool
) -> tuple[Status, str]:
    train = counts["train"]
    if sum(count > 0 for count in train) < 2:
        return "broken", "training knows a single class: there is nothing to tell apart"
    odd = []
    for split, values in counts.items():
        if absent := [name for name, count in zip(names, values, strict=True) if not count]:
            odd.append(f"no {split} sample of {_some(absent)}")
    present = [count for count in train if count]
    if min(present) < UNEVEN * max(present):
        odd.append(
            f"{max(present) / min(present):.0f} times as many of {names[train.index(max(present))]}"
            f" as of {names[train.index(min(present))]}: loss.class_weights=balanced or "
            "data.sampler=balanced"
        )
    by_chance = (max(train) / sum(train)) ** (sum(in_batch) - 1)
    if not soft and max(in_batch) == sum(in_batch) and by_chance < NEVER:
        odd.append("the whole batch is of one class: are the training samples shuffled?")
    return ("note", "; ".join(odd)) if odd else ("ok", "")


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
