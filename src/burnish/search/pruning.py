"""Tells the study how a trial goes, and ends one that falls behind."""

from __future__ import annotations

import lightning.pytorch as pl
import optuna
from lightning.pytorch.callbacks import Callback


class Pruning(Callback):
    """Reports the monitored value after every validation and asks the pruner.

    A trial that falls behind ends as if it had reached its last epoch: with its checkpoints and
    figures. Raising, as Optuna's own examples do, would leave Lightning in the middle of an epoch.
    The last epoch is not pruned: by then the trial is as good as finished. Of several processes
    the first one asks, and all of them stop.

    Args:
        trial: None in the processes of a distributed run but the first.
        monitor: the reported metric.
    """

    def __init__(self, trial: optuna.Trial | None, monitor: str) -> None:
        self.trial = trial
        self.monitor = monitor
        self.pruned = False
        self._reports = 0

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The usual moment."""
        if not trainer.sanity_checking and not self.monitor.startswith("train/"):
            self._report(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Figures of the training split are complete here."""
        if self.monitor.startswith("train/"):
            self._report(trainer)

    def _report(self, trainer: pl.Trainer) -> None:
        behind = False
        value = trainer.callback_metrics.get(self.monitor)
        if self.trial is not None and value is not None:
            self._reports += 1  # from 1: pruners take it for the epochs that were spent
            self.trial.report(float(value), self._reports)
            behind = not _in_last_epoch(trainer) and self.trial.should_prune()
        if trainer.strategy.reduce_boolean_decision(behind, all=False):
            self.pruned = True
            trainer.should_stop = True


def _in_last_epoch(trainer: pl.Trainer) -> bool:
    epochs = trainer.max_epochs
    return epochs is not None and 0 < epochs <= trainer.current_epoch + 1
