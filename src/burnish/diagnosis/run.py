"""Reading the curves of a run, going on or ended: what went wrong, since when, and what to try."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, median
from typing import Any

from burnish.diagnosis import curves as look
from burnish.diagnosis.training import Training, read_training
from burnish.diagnosis.verdict import Verdict
from burnish.errors import RunError
from burnish.runs.console import short
from burnish.runs.folder import NONFINITE, RunFolder

TRAIN, VAL = "train/loss", "val/loss"
SETTLED = 0.25  # share of the loss at the start under which a flat curve has learned its task
MASTERED = 0.95  # training accuracy from which on a flat curve is no defect
COARSE = 0.03  # standard error of an accuracy from which on a split is small
RESTLESS = 2.0  # times the standard error; the split's size alone moves a metric by less than once
APART = 2.8  # standard errors between two runs, at 95 %: 1.96 times the root of 2
ROUGH = 2.5  # times what batches of independent samples would move the training accuracy


def diagnose_run(run: RunFolder) -> list[Verdict]:
    """What the curves of a run say, without torch and without pictures.

    Epochs are counted from 1 in sentences and from 0 in ``values``, as in ``metrics.csv``.

    Args:
        run: going on or ended.

    Returns:
        One verdict a check that the curves are long enough for, or one that says why there are
        none. :func:`burnish.diagnosis.curve_figures.drawn` adds the pictures.
    """
    try:
        training = read_training(run.path)
    except RunError as error:
        return [Verdict("curves", "note", str(error))]
    checks = (_finite, _divergence, _progress, _overfitting, _ending, _noise, _batches)
    return [verdict for check in checks for verdict in check(training)] or [_nothing(training)]


def _nothing(run: Training) -> Verdict:
    if "logger" in run.config and not run.config["logger"]:
        advice = "It ran with logger=none; logger=csv keeps the curves."
    else:
        advice = "A run logs at the end of each epoch and every trainer.log_every_n_steps steps."
    return Verdict("curves", "note", "nothing was logged in metrics.csv", advice)


def _finite(run: Training) -> Iterator[Verdict]:
    if not run.curves and run.status != "failed":
        return
    text = run.result.get("exception")
    told = isinstance(text, str) and run.status == "failed" and text.startswith(f"{TRAIN} is ")
    again = f"burnish diagnose run={short(run.path)} goes through it layer by layer"
    kept = f"; {NONFINITE} holds the batch, {again}" * (run.path / NONFINITE).is_file()
    if isinstance(text, str) and told:
        yield Verdict(
            "finite", "broken", text.partition("\n")[0],
            f"Mend what it names, then start again{kept}.", {"found": "not finite"},
        )  # fmt: skip
        return
    wrong = [
        (point.step, name, point)
        for name, points in run.curves.items()
        for point in points
        if name.startswith(("train/", "val/")) and not math.isfinite(point.value)
    ]
    if not wrong:
        if run.curves:
            yield Verdict("finite", "ok", "every logged loss and metric is a finite number")
        return
    step, name, point = min(wrong)
    yield Verdict(
        "finite", "broken",
        f"{name} is {point.value} at step {step:,}, in epoch {point.epoch + 1}",
        f"Lower optimizer.lr{_from(run)} or set trainer.gradient_clip_val=1{kept}.",
        {"found": "not finite", "metric": name, "step": step, "epoch": point.epoch},
    )  # fmt: skip


def _divergence(run: Training) -> Iterator[Verdict]:
    name = TRAIN if len(run.curves.epochs(TRAIN)) >= 3 else f"{TRAIN}_step"
    series = run.series(name) if name == TRAIN else [p.value for p in run.curves.get(name, ())]
    series = [value for value in series if math.isfinite(value)]
    if len(series) < (3 if name == TRAIN else 8):
        return
    found = look.diverging(series, run.uniform)
    if found is None:
        yield Verdict("divergence", "ok", f"{name} went from {series[0]:.3g} to {series[-1]:.3g}")
        return
    where, place = _place(run, name, found.since)
    if found.since:
        figure = f"{name} rises from {found.before:.3g} in {where} to {found.after:.3g}"
    elif run.uniform:
        figure = (
            f"{name} ends at {found.after:.3g}; naming every class alike would cost "
            f"{found.before:.3g}"
        )
    else:
        figure = f"{name} rises from {found.before:.3g} to {found.after:.3g}"
    yield Verdict(
        "divergence", "broken", figure,
        _of_divergence(run, began_well=bool(found.since)),
        {"found": "diverging", "metric": name, "before": found.before, "after": found.after,
         **place},
    )  # fmt: skip


def _of_divergence(run: Training, *, began_well: bool) -> str:
    clipped = run.number("trainer.gradient_clip_val")
    rate = "" if run.number("optimizer.lr") is None else f", {_times(run, 0.1)}"
    return (
        f"Train anew with a lower rate{rate}, {'' if clipped else 'trainer.gradient_clip_val=1 '}"
        f"or scheduler=warmup_cosine{'; best.ckpt is from before' * began_well}."
    )


def _progress(run: Training) -> Iterator[Verdict]:
    """Whether the training loss falls, and whether it still does."""
    train = run.series(TRAIN)
    if len(train) < 2 or next(_divergence(run), _OK).status == "broken":
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
            f"The learning rate is too small: try {_times(run, 10)}.",
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


_OK = Verdict("", "ok", "")


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
        return f"The rate is too high{_from(run)} and has killed the net: try {_times(run, 0.01)}."
    return (
        f"Look for the cause with burnish diagnose, or try another rate{_from(run)}: too high a "
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


def _overfitting(run: Training) -> Iterator[Verdict]:
    train, val = run.pairs(TRAIN, VAL)
    if len(val) < 6:
        return
    found = look.overfitting(train, val)
    if found is None:
        gap = fmean(val[-2:]) - fmean(train[-2:])
        yield Verdict(
            "overfitting", "ok", f"{VAL} does not rise; it ends {abs(gap):.3g} "
            f"{'above' if gap >= 0 else 'below'} {TRAIN}", values={"gap": gap},
        )  # fmt: skip
        return
    since = run.epoch(VAL, found.since)
    share = found.after / found.before - 1 if found.before else math.nan
    yield Verdict(
        "overfitting", "note",
        f"{VAL} rises from {found.before:.3g} in epoch {since + 1} to {found.after:.3g} (by "
        f"{share:.0%}) while {TRAIN} falls to {train[-1]:.3g}{_metric_since(run, since)}",
        f"Stop earlier (trainer.max_epochs={since + 1}, or monitor=val/loss mode=min), or hold the "
        "net back: augment=standard, more dropout or optimizer.weight_decay, more data.",
        {"found": "overfitting", "metric": VAL, "epoch": since, "before": found.before,
         "after": found.after},
    )  # fmt: skip


def _metric_since(run: Training, epoch: int) -> str:
    """The monitored metric may gain while the loss rises: surer mistakes, but fewer of them."""
    if run.monitor in (TRAIN, VAL):
        return ""
    points = {p.epoch: p.value for p in run.curves.epochs(run.monitor) if math.isfinite(p.value)}
    if epoch not in points:
        return ""
    return f"; {run.monitor} {points[epoch]:.3f} then, {points[max(points)]:.3f} at the end"


def _ending(run: Training) -> Iterator[Verdict]:
    name = run.monitor
    series = run.series(name)
    if run.status != "finished" or len(series) < 2 or name.startswith("train/"):
        return
    up = run.setting("mode") != "min"
    least = _error(run, series) or 0.02 * abs(median(series[-3:]))
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


def _error(run: Training, series: list[float]) -> float | None:
    """Binomial standard error of a share measured on the validation split."""
    samples, level = run.samples("val"), median(series[-5:])
    share = run.monitor.startswith("val/") and run.monitor != VAL and 0 <= level <= 1
    return math.sqrt(max(level * (1 - level), 1 / samples) / samples) if share and samples else None


def _noise(run: Training) -> Iterator[Verdict]:
    """The monitored metric from epoch to epoch, against what the split's size allows to tell."""
    series = run.series(run.monitor)
    error = _error(run, series) if series else None
    if error is None or len(series) < 6:
        return
    late = series[-max(6, len(series) // 2) :]
    scatter, samples = look.noise(late), run.samples("val")
    figure = (
        f"{run.monitor} moves by ±{scatter:.2g} from epoch to epoch; {samples:,} samples tell it "
        f"to ±{error:.2g}: runs that differ by less than {APART * error:.2g} are not told apart"
    )
    values = {"metric": run.monitor, "scatter": scatter, "standard_error": error}
    if scatter > RESTLESS * error:
        advice = (
            "The weights themselves are restless: a rate that falls at the end (scheduler=cosine), "
            f"a lower one{_from(run)}, larger batches or callbacks.ema.enabled=true."
        )
        yield Verdict("noise", "note", figure, advice, {**values, "found": "restless"})
    elif error > COARSE:
        advice = (
            "The split is small: a larger data.val_fraction, or data.num_folds=5 with every fold."
        )
        yield Verdict("noise", "note", figure, advice, {**values, "found": "small split"})
    else:
        yield Verdict("noise", "ok", figure, values=values)


def _batches(run: Training) -> Iterator[Verdict]:
    """The training accuracy between two rows of the log, against that of independent samples."""
    points = [p for p in run.curves.get("train/accuracy_step", ()) if math.isfinite(p.value)]
    batch, every = run.number("data.batch_size"), run.number("trainer.log_every_n_steps")
    late = [p.value for p in points[-max(12, len(points) // 2) :]]
    if len(late) < 12 or not batch or not every:
        return
    level, samples = median(late), batch * every
    if level * (1 - level) * samples < 5:  # too few mistakes to tell anything by
        return
    expected = math.sqrt(level * (1 - level) / samples)
    scatter = look.noise(late)
    figure = (
        f"train/accuracy moves by ±{scatter:.2g} between rows of {samples:,.0f} samples; drawn "
        f"independently they would give ±{expected:.2g}"
    )
    values = {"scatter": scatter, "expected": expected, "batch_size": batch}
    if scatter < ROUGH * expected:
        yield Verdict("batches", "ok", figure, values=values)
        return
    yield Verdict(
        "batches", "note", figure,
        f"Steps are too rough or batches too unlike: a lower rate{_from(run)}, or "
        f"data.batch_size={2 * batch:.0f}.",
        {**values, "found": "rough", "metric": "train/accuracy_step"},
    )  # fmt: skip


def _place(run: Training, name: str, index: int) -> tuple[str, dict[str, int]]:
    if name == TRAIN:
        epoch = run.epoch(name, index)
        return f"epoch {epoch + 1}", {"epoch": epoch}
    points = [p for p in run.curves[name] if math.isfinite(p.value)]
    point = points[min(index, len(points) - 1)]
    return f"step {point.step:,}", {"epoch": point.epoch, "step": point.step}


def _from(run: Training) -> str:
    rate = run.number("optimizer.lr")
    return "" if rate is None else f" (now {rate:g})"


def _times(run: Training, factor: float) -> str:
    rate = run.number("optimizer.lr")
    return f"{factor:g} times optimizer.lr" if rate is None else f"optimizer.lr={rate * factor:.3g}"
