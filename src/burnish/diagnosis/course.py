"""Whether a run learned, and whether it still did when it ended."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, median
from typing import Any

from burnish.diagnosis import curves as look
from burnish.diagnosis.collapse import divergence
from burnish.diagnosis.terms import TRAIN, VAL, rate_now, rate_times, standard_error
from burnish.diagnosis.training import Training
from burnish.diagnosis.verdict import Verdict
from burnish.runs.console import short

SETTLED = 0.25  # share of the loss at the start under which a flat curve has learned its task
MASTERED = 0.95  # training accuracy from which on a flat curve is no defect

_OK = Verdict("", "ok", "")


def progress(run: Training) -> Iterator[Verdict]:
    """Whether the training loss falls, and whether it still does."""
    train = run.series(TRAIN)
    if len(train) < 2 or next(divergence(run), _OK).status == "broken":
        return
    values: dict[str, Any] = {"metric": TRAIN, "first": train[0], "last": train[-1]}
    course = f"{TRAIN} {train[0]:.3g} to {train[-1]:.3g} in {len(train)} epochs"
    # Without dropout and augmentation the validation loss is often the calmer of the two.
    slow = look.slow(train, run.passed()) or look.slow(run.series(VAL))
    if slow is None and _knows_nothing(run, train):
        yield Verdict(
            "progress", "broken" if len(train) >= 3 else "note",
            f"nothing was learned: {course}, train/accuracy {run.series('train/accuracy')[-1]:.3f}",
            _of_nothing_learned(run, train),
            {**values, "found": "nothing learned", "epoch": 0},
        )  # fmt: skip
    elif slow is not None and not _warming_up(run):
        yield Verdict(
            "progress", "note", f"the loss falls evenly and little: {course}",
            f"The learning rate is too small: try {rate_times(run, 10)}.",
            {**values, "found": "slow", "epoch": 0},
        )  # fmt: skip
    elif (flat := look.plateau(train)) and not _has_learned(run, train):
        since = run.epoch(TRAIN, flat.since)
        yield Verdict(
            "progress", "note",
            f"{TRAIN} has stayed at {flat.after:.3g} since epoch {since + 1} of {len(train)}",
            _of_a_plateau(run),
            {**values, "found": "plateau", "epoch": since, "level": flat.after},
        )  # fmt: skip
    else:
        few = "; too few epochs to see a trend" if len(train) < 4 else ""
        yield Verdict("progress", "ok", course + few, values=values)


def _knows_nothing(run: Training, train: list[float]) -> bool:
    """The training accuracy is that of naming one class, and the loss is where it was."""
    accuracy, chance, samples = run.series("train/accuracy"), run.chance, run.samples("train")
    if not accuracy or chance is None or not samples:
        return False
    error = math.sqrt(chance * (1 - chance) / samples)
    start = min(train[0], run.uniform or math.inf)
    return accuracy[-1] < chance + max(3 * error, 0.02) and fmean(train[-2:]) > 0.95 * start


def _of_nothing_learned(run: Training, train: list[float]) -> str:
    if max(train) > 3 * (run.uniform or math.inf):
        return (
            f"The rate is too high{rate_now(run)} and has killed the net: "
            f"try {rate_times(run, 0.01)}."
        )
    return (
        f"Look for the cause with burnish diagnose, or try another rate{rate_now(run)}: too high a "
        "one can kill a net, too low a one or a frozen net does not move."
    )


def _has_learned(run: Training, train: list[float]) -> bool:
    accuracy = run.series("train/accuracy")
    start = max(train[0], run.uniform or 0)
    return train[-1] < SETTLED * start or max(accuracy[-1:], default=0) >= MASTERED


def _warming_up(run: Training) -> bool:
    """The learning rate was highest in the last quarter: the loss has hardly seen it."""
    rates = [point.value for point in run.curves.rate]
    return len(rates) >= 4 and rates.index(max(rates)) > 3 * len(rates) / 4 and rates[-1] > rates[0]


def _of_a_plateau(run: Training) -> str:
    rates = [point.value for point in run.curves.rate if math.isfinite(point.value)]
    if rates and rates[-1] < 0.02 * max(rates):
        return (
            f"The learning rate has come down to {rates[-1]:.2g}: nothing moves any more; a longer "
            "schedule, a higher optimizer.lr or a larger model."
        )
    lower = "scheduler=plateau or scheduler=cosine" if not run.setting("scheduler.schedule") else ""
    return f"Lower the rate when it stalls ({lower or 'earlier than the schedule does'}), or " + (
        "give the net more to learn with: a larger model, less dropout or weight decay."
    )


def ending(run: Training) -> Iterator[Verdict]:
    """Whether the monitored metric was still improving when the run ended."""
    name = run.monitor
    series = run.series(name)
    if run.status != "finished" or len(series) < 2 or name.startswith("train/"):
        return
    up = run.setting("mode") != "min"
    least = standard_error(run, series) or 0.02 * abs(median(series[-3:]))
    found = look.improving(series, up=up, least=least)
    best = max(series) if up else min(series)
    if found is None:
        where = run.epoch(name, series.index(best)) + 1
        figure = f"best {name} {best:.4g} in epoch {where} of {len(series)}"
        yield Verdict("ending", "ok", figure, values={"metric": name, "best": best})
        return
    since = run.epoch(name, found.since)
    yield Verdict(
        "ending", "note",
        f"{name} was still improving: {found.before:.4g} in epoch {since + 1}, {found.after:.4g} "
        f"in the last, {len(series)}",
        _longer(run, len(series)),
        {"found": "improving", "metric": name, "epoch": since},
    )  # fmt: skip


def _longer(run: Training, epochs: int) -> str:
    if run.setting("scheduler.schedule"):
        return f"Train longer: trainer.max_epochs={2 * epochs}, anew, as the schedule has run down."
    return f"Go on: resume={short(run.path)} trainer.max_epochs={2 * epochs}."
