"""Are the net's outputs logits? Losses such as cross entropy apply the softmax themselves.

Shapes: B batch, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Status, Verdict

CLOSE = 1e-3  # also in half precision rows of probabilities sum to 1 so closely


def check(subject: Subject) -> Verdict:
    """Look for probabilities, and for NaN, in the outputs of a batch."""
    inputs, _ = subject.few()
    with torch.no_grad():
        logits_BK = subject.make().net.train()(inputs).float().cpu()
    status, advice = judge(logits_BK)
    finite = logits_BK[torch.isfinite(logits_BK)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    sums = logits_BK.sum(1)
    return Verdict(
        "outputs",
        status,
        f"from {low:.3g} to {high:.3g}, rows sum to {float(sums.min()):.3g} to "
        f"{float(sums.max()):.3g}",
        advice,
        {"min": low, "max": high},
    )


def judge(logits_BK: Tensor) -> tuple[Status, str]:
    """What a batch of outputs looks like, float32 ``[B, K]``."""
    lost = ~torch.isfinite(logits_BK).all(1)
    if bool(lost.any()):
        return "broken", f"NaN or infinite for {int(lost.sum())} of {len(lost)} samples"
    if float(logits_BK.min()) >= 0 and _all_one(logits_BK.sum(1)):
        return "broken", (
            "these are probabilities: remove the softmax, the loss applies its own; with both the "
            "loss cannot fall to zero and gradients vanish"
        )
    if _all_one(logits_BK.exp().sum(1)):
        return (
            "note",
            "these are log-probabilities; a log-softmax before cross entropy does nothing",
        )
    if len(logits_BK) > 1 and bool((logits_BK == logits_BK[:1]).all()):
        return "note", "every sample gets the same: fine for a last layer that begins at zero"
    if float(logits_BK.min()) >= 0:
        bounded = "a sigmoid" if float(logits_BK.max()) <= 1 else "a ReLU"
        return "note", f"no output is negative: is there {bounded} behind the last layer?"
    return "ok", ""


def _all_one(sums_B: Tensor) -> bool:
    return bool(((sums_B - 1).abs() < CLOSE).all())
