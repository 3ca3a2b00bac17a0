"""Learning-rate schedules that know how long the training is.

Each returns a torch scheduler that is stepped once per OPTIMIZER STEP and multiplies every
group's own learning rate by the same factor, a pure function of the step. Resuming is therefore
exact, and the state holds plain numbers only, so that checkpoints load with ``weights_only=True``.
(torch's CosineAnnealingLR multiplies the previous rate instead, which adds up rounding, and ends
at an absolute rate, which is wrong for groups with rates of their own.)
"""

from __future__ import annotations

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from burnish.errors import ConfigError
from burnish.nn.checks import not_between, report

KEY = "scheduler.schedule"


def cosine(optimizer: Optimizer, *, total_steps: int, final_factor: float = 0.0) -> LambdaLR:
    r"""Half a cosine from the full learning rate down to ``final_factor`` times it.

    At step t of T the factor is :math:`f + (1 - f) (1 + \cos(\pi t / T)) / 2`; past T it stays f.
    Source: Loshchilov & Hutter 2017, SGDR without restarts, https://arxiv.org/abs/1608.03983.

    Args:
        optimizer: whose groups' learning rates (per optimizer step) are scaled.
        total_steps: optimizer steps of the whole training.
        final_factor: share of the learning rate left at the end, in [0, 1].

    Raises:
        ConfigError: naming the argument under ``scheduler.schedule``.
    """
    _require_length(total_steps)
    report(not_between(f"{KEY}.final_factor", final_factor, 0, 1))
    return LambdaLR(optimizer, lambda step: _cosine_factor(step / total_steps, final_factor))


def warmup_cosine(
    optimizer: Optimizer,
    *,
    total_steps: int,
    steps_per_epoch: int,
    warmup_epochs: float = 5.0,
    start_factor: float = 0.01,
    final_factor: float = 0.0,
) -> LambdaLR:
    """A linear warm-up to the full learning rate, then :func:`cosine` over the steps that are left.

    Source of the warm-up: Goyal et al. 2017, https://arxiv.org/abs/1706.02677.

    Args:
        optimizer: whose groups' learning rates (per optimizer step) are scaled.
        total_steps: optimizer steps of the whole training, warm-up included.
        steps_per_epoch: optimizer steps of one epoch.
        warmup_epochs: length of the warm-up, rounded to whole steps; 0 for none.
        start_factor: share of the learning rate at the first step, in [0, 1].
        final_factor: share of the learning rate left at the end, in [0, 1].

    Raises:
        ConfigError: naming the argument under ``scheduler.schedule``; also where the warm-up
            would fill the whole training.
    """
    _require_length(total_steps)
    report(
        not_between(f"{KEY}.warmup_epochs", warmup_epochs, 0, math.inf),
        not_between(f"{KEY}.start_factor", start_factor, 0, 1),
        not_between(f"{KEY}.final_factor", final_factor, 0, 1),
    )
    warmup_steps = round(warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps:
        raise ConfigError(
            f"{KEY}.warmup_epochs: {warmup_epochs:g} epochs are {warmup_steps} optimizer steps, "
            f"but the whole training has {total_steps}: warm up for fewer than "
            f"{total_steps / steps_per_epoch:g} epochs or train longer"
        )

    def factor(step: int) -> float:
        if step < warmup_steps:
            return start_factor + (1 - start_factor) * step / warmup_steps
        return _cosine_factor((step - warmup_steps) / (total_steps - warmup_steps), final_factor)

    return LambdaLR(optimizer, factor)


def _cosine_factor(progress: float, final: float) -> float:
    """From 1 at progress 0 to ``final`` at progress 1 and after."""
    return final + (1 - final) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def _require_length(total_steps: float) -> None:
    if not 1 <= total_steps < math.inf:
        raise ConfigError(
            f"{KEY}: needs to know the length of the training, found {total_steps} steps: set "
            "trainer.max_epochs or trainer.max_steps to at least 1"
        )
