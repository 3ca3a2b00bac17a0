"""Whether the losses of a run stopped being finite, or rose."""

from __future__ import annotations

import math
from collections.abc import Iterator

from burnish.diagnosis import curves as look
from burnish.diagnosis.terms import TRAIN, rate_now, rate_times
from burnish.diagnosis.training import Training
from burnish.diagnosis.verdict import Verdict
from burnish.runs.console import short
from burnish.runs.folder import NONFINITE


def finite(run: Training) -> Iterator[Verdict]:
    """Whether every logged loss and metric is a number, and what the run was stopped by."""
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
        f"Lower optimizer.lr{rate_now(run)} or set trainer.gradient_clip_val=1{kept}.",
        {"found": "not finite", "metric": name, "step": step, "epoch": point.epoch},
    )  # fmt: skip


def divergence(run: Training) -> Iterator[Verdict]:
    """Whether the training loss rises, by its epochs or, in a short run, its steps."""
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
    rate = "" if run.number("optimizer.lr") is None else f", {rate_times(run, 0.1)}"
    return (
        f"Train anew with a lower rate{rate}, {'' if clipped else 'trainer.gradient_clip_val=1 '}"
        f"or scheduler=warmup_cosine{'; best.ckpt is from before' * began_well}."
    )


def _place(run: Training, name: str, index: int) -> tuple[str, dict[str, int]]:
    if name == TRAIN:
        epoch = run.epoch(name, index)
        return f"epoch {epoch + 1}", {"epoch": epoch}
    points = [p for p in run.curves[name] if math.isfinite(p.value)]
    point = points[min(index, len(points) - 1)]
    return f"step {point.step:,}", {"epoch": point.epoch, "step": point.step}
