"""Reading the curves of a run, going on or ended: what went wrong, since when, and what to try."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean, median

from burnish.diagnosis import curves as look
from burnish.diagnosis.collapse import divergence, finite
from burnish.diagnosis.course import ending, progress
from burnish.diagnosis.terms import TRAIN, VAL, rate_now, standard_error
from burnish.diagnosis.training import Training, read_training
from burnish.diagnosis.verdict import Verdict
from burnish.errors import RunError
from burnish.runs.folder import RunFolder

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
    checks = (finite, divergence, progress, _overfitting, ending, _noise, _batches)
    return [verdict for check in checks for verdict in check(training)] or [_nothing(training)]


def _nothing(run: Training) -> Verdict:
    if "logger" in run.config and not run.config["logger"]:
        advice = "It ran with logger=none; logger=csv keeps the curves."
    else:
        advice = "A run logs at the end of each epoch and every trainer.log_every_n_steps steps."
    return Verdict("curves", "note", "nothing was logged in metrics.csv", advice)


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


def _noise(run: Training) -> Iterator[Verdict]:
    """The monitored metric from epoch to epoch, against what the split's size allows to tell."""
    series = run.series(run.monitor)
    error = standard_error(run, series) if series else None
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
            f"a lower one{rate_now(run)}, larger batches or callbacks.ema.enabled=true."
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
        f"Steps are too rough or batches too unlike: a lower rate{rate_now(run)}, or "
        f"data.batch_size={2 * batch:.0f}.",
        {**values, "found": "rough", "metric": "train/accuracy_step"},
    )  # fmt: skip
