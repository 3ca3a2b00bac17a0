"""What is examined before a run: its data, its first batch, and its net as it would begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.data.base import DataModule
from burnish.data.loading import Batch
from burnish.learner.module import ClassifierModule
from burnish.spec import PAD

# What is said of a batch would be chance with fewer: a sample alone is equal to all others, and
# leaves most units at zero.
SAMPLES = 32


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
            float32 ``[B, C, H, W]`` or int64 ``[B, L]``. Several where batches are small; the
            configured size is ``data.batch_size``.
        targets: int64 ``[B]``, or float32 ``[B, K]`` where a transform mixes classes.
    """

    config: Mapping[str, Any]
    data: DataModule
    make: Callable[[], ClassifierModule]
    device: torch.device
    inputs: Tensor
    targets: Tensor

    def few(self, count: int = SAMPLES) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the batch's first samples, for what needs no more of them."""
        return self.inputs[:count], self.targets[:count]


def first_samples(data: DataModule, device: torch.device) -> Batch:
    """The first training batch as the net gets it, and more until there are 32 samples.

    Args:
        data: set up; an epoch with fewer samples gives what it has.
        device: where they go.
    """
    batches: list[Batch] = []
    for batch in data.train_dataloader():
        batches.append(data.for_training(data.transfer_batch_to_device(batch, device, 0)))
        if sum(len(targets) for _, targets in batches) >= SAMPLES:
            break
    return joined(batches, data.spec.num_classes)


def joined(batches: Sequence[Batch], num_classes: int) -> Batch:
    """One batch of several: shorter texts are padded, classes are shares where some are mixed.

    Args:
        batches: as :attr:`Subject.inputs` and :attr:`Subject.targets`, one at least.
        num_classes: K.
    """
    inputs, targets = [x for x, _ in batches], [y for _, y in batches]
    if not inputs[0].is_floating_point():
        longest = max(x.shape[1] for x in inputs)
        inputs = [F.pad(x, (0, longest - x.shape[1]), value=PAD) for x in inputs]
    if any(y.is_floating_point() for y in targets):
        targets = [
            y if y.is_floating_point() else F.one_hot(y, num_classes).float() for y in targets
        ]
    return torch.cat(inputs), torch.cat(targets)
