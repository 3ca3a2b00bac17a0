"""A net that cannot learn a handful of samples by heart will not learn anything."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from torch import Tensor, nn

from burnish.data.loading import Batch
from burnish.diagnosis.steps import Steps, seeded
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Status, Verdict
from burnish.report.figures import Drawn, Theme, draw

SAMPLES = 16  # few, so that even a slow net gets through many steps
SECONDS, MOST_STEPS = 15.0, 300
# Of the way from guessing to the least that the loss can be: what is left when a batch is known.
# Softmax outputs before cross entropy stop at 0.63 of it with 10 classes, at 0.45 with 2.
KNOWN = 0.1
# Too few steps to blame the net.
FEW = 50
MOVING = 0.4  # on its way, which is enough if time was short
# Nothing moves, while a rate that is merely small shows: 300 steps of AdamW at 1e-5 take an MLP
# that begins at 4.3 to 1.9, though no more than 16 % below guessing.
STUCK = 0.98
AT_REST = 0.02  # of the whole fall, in the last third of the steps


@dataclass(frozen=True)
class Curve:
    """What the steps reached.

    Args:
        losses: at each step, before its update.
        guessing: the loss of equal logits.
        blind: the loss of logits that know how frequent each label is, and nothing of the inputs.
        least: what the loss can be at best for these labels.
        seconds: spent.
    """

    losses: list[float]
    guessing: float
    blind: float
    least: float
    seconds: float

    @property
    def left(self) -> float:
        """Share of the way from guessing to the least loss that is still to go."""
        return self._left(self.guessing)

    @property
    def stuck(self) -> bool:
        """Whether it hardly got away from where it began, or came to rest knowing no input."""
        if self._left(max(self.guessing, self.losses[0])) > STUCK:
            return True
        before, lowest = min(self.losses[: -len(self.losses) // 3]), min(self.losses)
        rests = before - lowest < AT_REST * (self.losses[0] - lowest)
        return rests and self._left(self.blind) > STUCK

    def _left(self, start: float) -> float:
        return (min(self.losses) - self.least) / max(start - self.least, 1e-12)


def check(subject: Subject) -> Verdict:
    """Train a fresh module on 16 training samples, as they are, with the run's own optimizer.

    Nothing is augmented and nothing is dropped: a sample with a mask of its own could be told by
    it, whatever its inputs are. The net stays in training mode.
    """
    if not any(p.requires_grad for p in subject.make().net.parameters()):
        return Verdict("one batch", "broken", "nothing is trained", "see gradients")
    with seeded(subject):
        steps = Steps(subject)
        _drop_nothing(steps.module.net)
        curve = _trained(steps, _batch(subject))
    rate = str(subject.config["optimizer"].get("lr"))
    status, advice = _judge(curve, rate, head_alone=subject.config.get("freeze") == "backbone")
    losses = f"loss from {curve.losses[0]:.3g} to {min(curve.losses):.3g}"
    return Verdict(
        "one batch",
        status,
        f"{losses} on {SAMPLES} samples in {len(curve.losses)} steps, {curve.seconds:.1f} s",
        advice,
        {"losses": curve.losses, "guessing": curve.guessing, "least": curve.least},
        drawing=_drawing(curve) if math.isfinite(max(curve.losses)) else None,
    )


def _batch(subject: Subject) -> Batch:
    """Some training samples drawn at random, preprocessed as for evaluation."""
    data = subject.data
    source, rows = data.splits["train"]
    chosen = rows[torch.randperm(len(rows))[:SAMPLES]]
    batch = source.__getitems__(chosen.tolist())
    inputs, targets = data.transfer_batch_to_device(batch, subject.device, 0)
    return data.preprocess(inputs), targets


def _drop_nothing(net: nn.Module) -> None:
    """Set every rate of dropout, stochastic depth and the like to 0."""
    for module in net.modules():
        named = type(module).__name__
        for rate in ("p", "drop_prob", "dropout"):
            drops = rate != "p" or "Drop" in named or named == "StochasticDepth"
            if drops and isinstance(getattr(module, rate, None), float):
                setattr(module, rate, 0.0)


def _trained(steps: Steps, batch: Batch) -> Curve:
    inputs, targets = batch
    module = steps.module
    with torch.no_grad():
        logits = module.net(inputs)
        guessing = float(module.loss(torch.zeros_like(logits), targets))
        blind = float(module.loss(_frequencies(targets, logits.shape[1]), targets))
    least = _least(module.loss, targets, logits.shape[1])
    curve = Curve([], guessing, blind, least, 0.0)
    started = time.monotonic()
    while len(curve.losses) < MOST_STEPS and time.monotonic() - started < SECONDS:
        curve.losses.append(float(steps.step(inputs, targets)))
        if not math.isfinite(curve.losses[-1]) or curve.left < KNOWN:
            break
    return replace(curve, seconds=time.monotonic() - started)


def _frequencies(targets: Tensor, classes: int) -> Tensor:
    """Logits ``[B, K]`` of the share that each label has among these."""
    share = F.one_hot(targets, classes).float().mean(0)
    return (share + 1e-6).log().expand(len(targets), classes)


def _least(loss: Any, targets: Tensor, classes: int) -> float:
    """The least loss that logits for these labels can have: 0, but with label smoothing.

    It is looked for among logits that are s for the label and 0 for the others.
    """
    right = F.one_hot(targets, classes).float()
    return min(float(loss(right * s, targets)) for s in torch.logspace(-1, 2, 61).tolist())


def _judge(curve: Curve, rate: str, head_alone: bool = False) -> tuple[Status, str]:
    if not all(map(math.isfinite, curve.losses)):
        return "broken", f"the loss became NaN or infinite: lower optimizer.lr={rate}"
    few = len(curve.losses) < FEW
    if curve.left < (MOVING if few else KNOWN):
        return "ok", ""
    reached = f"{curve.left:.0%} of the way from guessing to knowing is left"
    if few:
        return "note", f"{reached}, but only {len(curve.losses)} steps fitted into {SECONDS:.0f} s"
    if curve.stuck:
        return "broken", f"{reached}: see the other checks, then optimizer.lr={rate} and the net"
    if head_alone:
        return "note", f"{reached}: the head alone learns more slowly by heart"
    return "note", f"{reached}: see the other checks; is optimizer.lr={rate} meant to be so slow?"


def _drawing(curve: Curve) -> Drawn:
    def paint(axes: Axes, theme: Theme) -> None:
        axes.plot(range(1, len(curve.losses) + 1), curve.losses, color=theme.colours[0])
        axes.axhline(curve.guessing, color=theme.muted, linewidth=1, linestyle=":")
        axes.annotate(
            "guessing", (1, curve.guessing), (0, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", color=theme.muted,
        )  # fmt: skip
        axes.set_ylim(bottom=0)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")

    return draw("The loss on one batch", paint)
