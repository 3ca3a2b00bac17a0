"""Ctrl-C and SIGTERM: stop where a checkpoint is exact, and say so."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from burnish.errors import Interrupted
from burnish.learner.checkpoint import BestAndLast


class StopOnSignal(Callback):
    """Saves ``last.ckpt`` at the next batch boundary after a signal, then raises.

    Before training begins there is nothing to save: it stops at once. During validation it waits
    for its end: the epoch's checkpoint is written there. A second signal stops at once, without
    saving. With several processes the state of the last epoch's end is what remains: saving needs
    all of them at the same batch.
    """

    def __init__(self, say: Any = print) -> None:
        self.signum: int | None = None
        self._trainer: pl.Trainer | None = None
        self._say = say
        self._former: dict[int, Any] = {}

    def install(self) -> None:
        """Take over SIGINT and SIGTERM; only a main thread can."""
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGINT, signal.SIGTERM):
                self._former[signum] = signal.signal(signum, self._on_signal)

    def uninstall(self) -> None:
        """Put the former handlers back."""
        for signum, handler in self._former.items():
            signal.signal(signum, handler)
        self._former = {}

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None or self._trainer is None:
            raise Interrupted(signum)
        self.signum = signum
        launcher = self._trainer.strategy.launcher
        if signum == signal.SIGTERM and launcher is not None:
            launcher.kill(signum)  # a terminal sends Ctrl-C to every process, kill to one
        self._say(
            f"\n{signal.Signals(signum).name}: saving at the end of this batch "
            "(of the validation, if one is running); once more stops at once"
        )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning puts a handler of its own before ours, which ends a run with exit code 0."""
        self._trainer = trainer
        if signal.SIGTERM in self._former:
            signal.signal(signal.SIGTERM, self._on_signal)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """The safe point inside an epoch; at its last batch the epoch's own end is safer."""
        if self.signum is None or trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        checkpoint = trainer.checkpoint_callback
        if trainer.world_size == 1 and isinstance(checkpoint, BestAndLast):
            checkpoint.save_last(trainer)
        raise Interrupted(self.signum)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch's end was saved; do not begin another."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The signal came during the last epoch's validation."""
        if self.signum is not None:
            raise Interrupted(self.signum)

    def on_test_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Nothing to save while testing."""
        if self.signum is not None:
            raise Interrupted(self.signum)
