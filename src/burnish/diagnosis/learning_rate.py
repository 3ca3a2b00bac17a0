"""The learning-rate range test: which rates the run could train with, and does it have one?

Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks",
https://arxiv.org/abs/1506.01186, section 3.3.
Shapes: S steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator
from numpy.typing import NDArray

from burnish.data.loading import Batch
from burnish.diagnosis.steps import Steps, batches, seeded
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Status, Verdict
from burnish.report.figures import Drawn, Theme, draw

NAME = "learning rate"
LOWEST, HIGHEST = 1e-6, 10.0
STEPS, FEWEST = 100, 25
SECONDS = 60.0
# Of the kernel that smooths, in decades of the rate: wide enough for the noise of batches, and
# narrow beside the one to two decades in which a loss falls.
WIDTH = 0.3
EXPLODED = 2.0  # times the loss of guessing, or of the start if that is larger
# A rate that rises gets further than one that stays, as divergence needs time.
SAFETY = 4.0
CERTAIN = 1.5  # standard deviations of the losses; smoothing leaves a third of their noise
DOUBTFUL = 10.0  # times the suggestion
FAR_BELOW = 100.0
WORTH_TRYING = 3.0  # a suggestion nearer to the configured rate is the same rate
TRIAL_STEPS, TRIAL_SECONDS = 40, 30.0
# Twice is survived: a transformer under sgd with 0.05 reaches 2.5 times the start, then learns.
TRIAL_EXPLODED = 4.0

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """What a range test found.

    Args:
        rates: of the optimizer's main group, per optimizer step, rising, float64 ``[S]``.
        losses: before each step, float64 ``[S]``; the last one may be infinite.
        guessing: the loss of equal logits, what a net has that knows nothing.
        configured: the optimizer's own rate.
        seconds: that the test took.
    """

    rates: Array
    losses: Array
    guessing: float
    configured: float
    seconds: float

    @property
    def ceiling(self) -> float:
        """A loss from which on everything is lost."""
        return EXPLODED * max(self.guessing, float(self.losses[0]))

    @property
    def smoothed(self) -> Array:
        """Losses up to the ceiling, averaged with weights that fall exponentially to both sides.

        The weights of each average sum to one, at the ends as well, and so neither a start from
        zero nor a lag shifts the curve.
        """
        decades = np.log10(self.rates)
        weights = np.exp(-np.abs(decades[:, None] - decades) / WIDTH)
        losses = np.nan_to_num(self.losses, nan=np.inf).clip(max=self.ceiling)
        smoothed: Array = weights @ losses / weights.sum(1)
        return smoothed

    @property
    def lowest(self) -> int:
        """Step at which the smoothed loss is lowest."""
        return int(self.smoothed.argmin())

    @property
    def falls(self) -> bool:
        """Whether the loss falls by clearly more than its noise."""
        smoothed, end = self.smoothed, self.lowest + 1
        noise = float(np.std(self.losses[:end] - smoothed[:end]))
        return end >= 3 and bool(smoothed[0] - smoothed[end - 1] > CERTAIN * noise)

    @property
    def diverges(self) -> float | None:
        """Rate from which on all that was learned is lost; None if the test met none.

        There, behind its lowest point, the smoothed loss is above that of guessing, or of the
        start if that is lower; where nothing was learned, halfway from the start to the ceiling.
        """
        smoothed = self.smoothed
        start = float(smoothed[0])
        level = min(self.guessing, start) if self.falls else (start + self.ceiling) / 2
        lost = smoothed > level
        lost[: self.lowest + 1] = False
        return float(self.rates[lost.argmax()]) if lost.any() else None

    @property
    def suggested(self) -> float | None:
        """Where the smoothed loss falls most steeply, and well below divergence.

        Steepest for equal ratios of rates, up to the lowest point, and at most a quarter of the
        rate that diverges. Falling to the loss of guessing does not count where the loss gets
        below it: that is a net unlearning its initial outputs, for which small rates are enough.
        None if the loss does not fall.
        """
        if not self.falls:
            return None
        smoothed = self.smoothed[: self.lowest + 1]
        slope = np.gradient(smoothed, np.log10(self.rates[: self.lowest + 1]))
        if smoothed[-1] < self.guessing:
            slope[smoothed > self.guessing] = np.inf
        return min(float(self.rates[slope.argmin()]), (self.diverges or math.inf) / SAFETY)


def find(subject: Subject, *, steps: int = STEPS, seconds: float = SECONDS) -> Curve:
    """Train a fresh net for about a hundred steps, at a rate that rises exponentially.

    All groups of the run's own optimizer keep their proportions. Batches, augmentation, precision
    and clipping are those of the run; its schedule and accumulation are left out.

    Args:
        subject: the run.
        steps: from the lowest rate to the highest; fewer if the loss explodes.
        seconds: steps are fewer, but not under 25, if they would take longer: nothing else here
            depends on the clock.
    """
    start = time.perf_counter()
    with seeded(subject):
        training, source = Steps(subject), batches(subject)
        configured = float(training.optimizer.defaults["lr"])
        rated = _rated(training)
        steps = min(steps, max(FEWEST, int(seconds / _seconds_of_step(source, rated))))
        guessing = guess(subject, training)
        losses: list[float] = []
        rates = np.geomspace(LOWEST, HIGHEST, steps)
        for batch, rate in zip(source, rates, strict=False):
            losses.append(rated(batch, float(rate)))
            if _is_over(losses, guessing):
                break
    seen = len(losses)
    return Curve(rates[:seen], np.array(losses), guessing, configured, time.perf_counter() - start)


def _seconds_of_step(source: Iterator[Batch], rated: Callable[[Batch, float], float]) -> float:
    """The shortest of three, at a rate that changes nothing: the first one is always slow."""
    times = [time.perf_counter()]
    for batch in islice(source, 3):
        rated(batch, LOWEST)
        times.append(time.perf_counter())
    return float(np.diff(times).min())


def _is_over(losses: list[float], guessing: float) -> bool:
    """Whether the loss is no number, or three in a row have exploded: one may be an accident."""
    ceiling = EXPLODED * max(guessing, losses[0])
    return not math.isfinite(losses[-1]) or min(losses[-3:]) > ceiling


def _rated(training: Steps) -> Callable[[Batch, float], float]:
    """A function that takes a step at a rate and returns the loss before it."""
    optimizer = training.optimizer
    own = float(optimizer.defaults["lr"])
    scales = [float(group["lr"]) / own if own else 1.0 for group in optimizer.param_groups]

    def step(batch: Batch, rate: float) -> float:
        for group, scale in zip(optimizer.param_groups, scales, strict=True):
            group["lr"] = rate * scale
        return float(training.step(*batch))

    return step


def guess(subject: Subject, training: Steps) -> float:
    """The loss of equal logits on the subject's batch, through the run's own loss."""
    logits = torch.zeros(len(subject.targets), subject.data.spec.num_classes, device=subject.device)
    with torch.no_grad():
        return float(training.module.loss(logits, subject.targets))


def peak(config: Mapping[str, Any], rate: float) -> tuple[str, float]:
    """The key that sets the largest rate of a run, and that rate.

    Warm-ups and annealing stay below the optimizer's rate; OneCycleLR and CyclicLR rise to a
    ``max_lr`` of their own.

    Args:
        config: of the run.
        rate: of its optimizer.
    """
    schedule = (config.get("scheduler") or {}).get("schedule") or {}
    top = schedule.get("max_lr")
    if top is None:
        return "optimizer.lr", rate
    top = float(max(top)) if isinstance(top, Iterable) else float(top)
    return ("optimizer.lr" if top == rate else "scheduler.schedule.max_lr"), top


def survives(subject: Subject, rate: float, guessing: float, steps: int = TRIAL_STEPS) -> bool:
    """Whether a fresh net bears a rate for some steps, the first half of them a warm-up to it.

    It does not if the loss explodes on the way and is no better than guessing at the full rate.

    Args:
        subject: the run.
        rate: of the optimizer's main group.
        guessing: the loss of a net that knows nothing.
        steps: at least 2.
    """
    losses = []
    with seeded(subject):
        rated = _rated(Steps(subject))
        for number, batch in enumerate(islice(batches(subject), steps), 1):
            losses.append(rated(batch, rate * min(1.0, 2 * number / steps)))
            if not math.isfinite(losses[-1]):
                return False
    exploded = max(losses) > TRIAL_EXPLODED * max(guessing, losses[0])
    return not exploded or float(np.mean(losses[-(steps // 2) :])) < guessing


def check(subject: Subject) -> Verdict:
    """Compare the largest rate that the run will use with those of a range test.

    A rate beyond divergence is broken only if a fresh net does not bear it in a trial either.
    """
    curve = find(subject)
    key, rate = peak(subject.config, curve.configured)
    status, said = _judge(subject, curve, rate)
    paste = "" if curve.suggested is None else f"{key}={curve.suggested:.2g}"
    return Verdict(
        NAME,
        status,
        f"{key}={rate:.3g}{said}; {_described(curve)}",
        advice=_advice(paste, status, rate, curve),
        values={
            "key": key,
            "configured": rate,
            "suggested": curve.suggested,
            "diverges": curve.diverges,
            "guessing": curve.guessing,
            "seconds": curve.seconds,
            "rates": curve.rates.tolist(),
            "losses": [x if math.isfinite(x) else None for x in curve.losses.tolist()],
        },
        drawing=drawing(curve, rate),
    )


def _judge(subject: Subject, curve: Curve, rate: float) -> tuple[Status, str]:
    if rate <= 0:
        return "broken", ": nothing would move"
    end = curve.diverges or float(curve.rates[-1])
    # What was learned at lower rates can carry a net far, and without any fall the curve tells
    # little: in doubt a trial decides.
    if curve.suggested is None or rate > min(end, DOUBTFUL * curve.suggested):
        steps = int(TRIAL_SECONDS * len(curve.losses) / curve.seconds)
        steps = min(TRIAL_STEPS, max(FEWEST // 2, steps))
        if not survives(subject, rate, curve.guessing, steps):
            return "broken", f": training diverges within {steps} steps"
        if rate > end:
            return "note", f": high, though {steps} steps with a warm-up went well"
    if curve.suggested and rate < curve.suggested / FAR_BELOW:
        return "note", ": training would be very slow"
    if curve.suggested is None:
        return "note", ": it does not diverge, more cannot be told"
    return "ok", ""


def _described(curve: Curve) -> str:
    falls = (
        f"the loss falls fastest at {curve.suggested:.2g}"
        if curve.suggested
        else f"no rate lets the loss fall within {len(curve.rates)} steps"
    )
    lost = curve.diverges
    return falls + (f", diverges from {lost:.2g} on" if lost else ", diverges nowhere")


def _advice(paste: str, status: Status, rate: float, curve: Curve) -> str:
    if status == "broken":
        return paste or "lower it tenfold until this check passes"
    if not curve.suggested or 1 / WORTH_TRYING < rate / curve.suggested < WORTH_TRYING:
        return ""
    return f"worth a try: {paste}"


def drawing(curve: Curve, rate: float) -> Drawn:
    """Losses over rates, with the configured rate and the suggested one.

    Args:
        curve: of the range test.
        rate: the configured one.
    """

    def paint(axes: Axes, theme: Theme) -> None:
        blue, orange, green, red, _ = theme.colours
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.plot(curve.rates, curve.losses, ".", color=theme.muted, alpha=0.5, markersize=3)
        axes.plot(curve.rates, curve.smoothed, color=blue, linewidth=1.8, label="smoothed loss")
        axes.axhline(
            curve.guessing, color=theme.muted, linewidth=1, linestyle=":", label="guessing"
        )
        marks = {"diverges": (curve.diverges, red), "suggested": (curve.suggested, green)}
        for name, (value, colour) in {**marks, "configured": (rate, orange)}.items():
            if value:
                axes.axvline(value, color=colour, linewidth=1.6, label=f"{name} {value:.2g}")
        low = float(np.nanmin(np.where(np.isfinite(curve.losses), curve.losses, np.nan)))
        axes.set_ylim(max(0.0, low - 0.1 * curve.ceiling), 1.02 * curve.ceiling)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("training loss")
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(loc="outside lower left", ncols=2, handlelength=1.4)

    return draw("Loss while the learning rate rises", paint, height=3.3)
