"""Two checkpoints a run: ``best.ckpt`` by the monitored metric, and ``last.ckpt``."""

from __future__ import annotations

import math
import os
import shutil
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn


class BestAndLast(Checkpoint):
    """Writes ``checkpoints/last.ckpt`` after every validation and keeps the best as ``best.ckpt``.

    Lightning's ModelCheckpoint serialises the best epoch twice, writes ``last`` only when the
    best changed and forgets the best when the folder was moved. Here a file is written once, to a
    temporary name, and renamed: a kill at any moment leaves the former one whole.

    Args:
        monitor: a logged metric, ``val/accuracy`` say.
        mode: ``max`` or ``min``.
        weights_only: leave the optimizer's state out (smaller files that cannot be resumed).
    """

    def __init__(self, monitor: str, mode: str = "max", *, weights_only: bool = False) -> None:
        self.monitor = monitor
        self.mode = mode
        self.weights_only = weights_only
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.folder: Path | None = None

    @property
    def best_model_path(self) -> str:
        """Where the best checkpoint lies; empty before there is one."""
        path = self.folder / "best.ckpt" if self.folder else None
        return str(path) if path and path.exists() else ""

    @property
    def last_model_path(self) -> str:
        """Where the last checkpoint lies; empty before there is one."""
        path = self.folder / "last.ckpt" if self.folder else None
        return str(path) if path and path.exists() else ""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Checkpoints go into the run folder."""
        self.folder = Path(trainer.default_root_dir) / "checkpoints"
        if trainer.is_global_zero and stage == TrainerFn.FITTING:
            self.folder.mkdir(parents=True, exist_ok=True)

    def state_dict(self) -> dict[str, Any]:
        """Best value so far; paths are not stored, so that a run folder can move."""
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the best of the interrupted run."""
        self.best = state_dict["best"]
        self.best_epoch = state_dict["best_epoch"]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """At the end of an epoch everything is consistent: the usual moment to save."""
        self._save_all(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Also save after validations in the middle of an epoch (trainer.val_check_interval)."""
        in_the_middle = trainer.val_check_interval != 1.0 or trainer.check_val_every_n_epoch is None
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and in_the_middle:
            self._save_all(trainer)

    def _save_all(self, trainer: pl.Trainer) -> None:
        if getattr(trainer, "fast_dev_run", False):
            return
        value = trainer.callback_metrics.get(self.monitor)
        improved = value is not None and self._improves(float(value))
        if improved:
            self.best, self.best_epoch = float(value), trainer.current_epoch  # type: ignore[arg-type]
        self.save_last(trainer)
        if improved and trainer.is_global_zero and self.folder:
            _replace(self.folder / "last.ckpt", self.folder / "best.ckpt")

    def save_last(self, trainer: pl.Trainer) -> None:
        """Write ``last.ckpt``; all processes call it, the first one writes."""
        assert self.folder is not None
        partial = self.folder / "last.ckpt.partial"
        trainer.save_checkpoint(partial, weights_only=self.weights_only)
        if trainer.is_global_zero:
            os.replace(partial, self.folder / "last.ckpt")  # noqa: PTH105

    def _improves(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        return value > self.best if self.mode == "max" else value < self.best


def _replace(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``: a link where the disk can, else a copy."""
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(source, partial)
    except OSError:
        shutil.copyfile(source, partial)
    partial.replace(target)
