"""Does the net begin without an opinion, or confidently wrong?"""

from __future__ import annotations

import math

import torch

from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Status, Verdict

# The first epochs of a net above this multiple go into unlearning what its initial weights say.
# The nets of conf/model begin between 0.98 and 1.6.
ODD = 2.0
# Logits then differ by about 20 where they should by 1: gradients are as much too large, and with
# usual rates the first steps kill units or overflow.
FAR = 10.0
# A net from scratch cannot know so much.
KNOWING = 0.5


def check(subject: Subject) -> Verdict:
    """The loss of the first batch against that of equal logits.

    For cross entropy over K classes equal logits cost ln(K); with weights of classes, label
    smoothing or a focal loss it is another number, and so the run's own loss is asked for it.
    """
    module = subject.make()
    inputs, targets = subject.few()
    with torch.no_grad():
        logits = module.net.train()(inputs)
        loss = float(module.loss(logits, targets))
        guessing = float(module.loss(torch.zeros_like(logits), targets))
    status, advice = _judge(loss, guessing, subject)
    classes = subject.data.spec.num_classes
    known = f"ln({classes})" if math.isclose(guessing, math.log(classes), rel_tol=1e-4) else ""
    return Verdict(
        "initial loss",
        status,
        f"{loss:.3f}; guessing costs {guessing:.3f}" + (f", {known}" if known else ""),
        advice,
        {"loss": loss, "guessing": guessing},
    )


def _judge(loss: float, guessing: float, subject: Subject) -> tuple[Status, str]:
    if not math.isfinite(loss) or not math.isfinite(guessing):
        return (
            "broken",
            "the loss is NaN or infinite: look at the inputs, the net's outputs and loss",
        )
    if guessing <= 0:
        return "note", "the loss has no positive value for equal logits: nothing to compare with"
    if loss > FAR * guessing:
        return "broken", (
            "the net begins confidently wrong: normalise the inputs, or start the last layer with "
            "smaller weights"
        )
    if loss > ODD * guessing:
        return "note", "above guessing: smaller initial weights of the last layer save some epochs"
    started = subject.config.get("init_from") or subject.config["model"].get("weights")
    if loss < KNOWING * guessing and not started:
        return "note", "below guessing without any training: does the answer stand in the inputs?"
    return "ok", ""
