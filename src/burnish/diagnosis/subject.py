"""What is examined before a run: its data, its first batch, and its net as it would begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from burnish.data.base import DataModule
from burnish.learner.module import ClassifierModule


@dataclass(frozen=True)
class Subject:
    """A run that has not begun.

    Shapes: B batch, C channels, H height, W width, L length, K classes.

    Args:
        config: checked, plain containers.
        data: set up, without a trainer.
        make: builds the module anew with the initial weights of the run, on :attr:`device`, with
            its optimizer's factory; every call gives equal weights.
        device: where the checks run.
        inputs: a training batch as the net gets it, augmented and normalised, on the device:
            float32 ``[B, C, H, W]`` or int64 ``[B, L]``.
        targets: int64 ``[B]``, or float32 ``[B, K]`` where a transform mixes classes.
    """

    config: Mapping[str, Any]
    data: DataModule
    make: Callable[[], ClassifierModule]
    device: torch.device
    inputs: Tensor
    targets: Tensor

    def few(self, count: int = 32) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the batch's first samples, for what needs no more of them."""
        return self.inputs[:count], self.targets[:count]
