"""All checks before a run, by the names of the configuration."""

from __future__ import annotations

from collections.abc import Callable

from burnish.diagnosis import (
    batch_size,
    dead_units,
    gradients,
    initial_loss,
    inputs,
    labels,
    learning_rate,
    loading,
    memory,
    one_batch,
    outputs,
    shapes,
    signal,
)
from burnish.diagnosis.subject import Subject
from burnish.diagnosis.verdict import Verdict

Check = Callable[[Subject], Verdict]

# In the order of burnish.config.diagnosis.CHECKS.
CHECKS: dict[str, Check] = {
    "inputs": inputs.check,
    "labels": labels.check,
    "signal": signal.check,
    "shapes": shapes.check,
    "initial_loss": initial_loss.check,
    "outputs": outputs.check,
    "gradients": gradients.check,
    "dead_units": dead_units.check,
    "one_batch": one_batch.check,
    "learning_rate": learning_rate.check,
    "batch_size": batch_size.check,
    "loading": loading.check,
    "memory": memory.check,
}
