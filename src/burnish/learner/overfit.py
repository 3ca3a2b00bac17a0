"""debug=overfit: a net that cannot learn one batch by heart will not learn anything."""

from __future__ import annotations

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from burnish.errors import TrainingError


class MustOverfit(Callback):
    """Stops once the batch is known; fails the run if the epochs end before.

    Args:
        accuracy: training accuracy that counts as known by heart, in (0, 1].
    """

    def __init__(self, accuracy: float = 1.0) -> None:
        self.accuracy = accuracy

    def _reached(self, trainer: pl.Trainer) -> float:
        return float(trainer.callback_metrics.get("train/accuracy", 0.0))

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last epoch's accuracy is logged by now."""
        if self._reached(trainer) >= self.accuracy:
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say loudly what was not learned.

        Raises:
            TrainingError: if the accuracy was not reached.
        """
        if (reached := self._reached(trainer)) < self.accuracy:
            raise TrainingError(
                f"debug=overfit: after {trainer.current_epoch} epochs of the same batch "
                f"train/accuracy is {reached:.4f}, not {self.accuracy}: the net, the loss, the "
                "labels or optimizer.lr is wrong (or dropout is too strong: model.dropout=0)"
            )
