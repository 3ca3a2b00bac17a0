"""What the net answers in a test, kept for a report.

Shapes: N samples, B batch, C classes.
"""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor


class KeepAnswers(Callback):
    """Keeps the logits and targets of one process's test, in the order of its loader.

    They wait in the host's memory: 4 bytes a class and sample.
    """

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Take the batch's."""
        self._logits.append(outputs.detach().float().cpu())
        self._targets.append(batch[1].cpu())

    def __len__(self) -> int:
        """Batches so far."""
        return len(self._logits)

    @property
    def logits(self) -> Tensor:
        """float32 ``[N, C]``, of at least one batch."""
        return torch.cat(self._logits)

    @property
    def targets(self) -> Tensor:
        """int64 ``[N]``."""
        return torch.cat(self._targets)
