"""Randomness that depends on the seed and the epoch alone, so that a resumed run is exact."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor


class Reproducible(Callback):
    """Reseeds at the start of every epoch; carries the rest of the state in the checkpoint.

    After this an epoch's dropout and augmentation do not depend on what ran before it (a sanity
    check, another number of validation batches, a restart). A checkpoint taken in the middle of
    an epoch also carries the generators' states, and one taken at its end the monitored value
    that a ReduceLROnPlateau is about to see: Lightning steps it only after checkpoints are
    written, so a resumed run would lose that step.

    Args:
        seed: the run's seed; 0 counts like any other.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._restored: dict[str, Any] = {}

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Seed torch for this epoch and process."""
        # Distinct for every (seed, epoch, process): no two of the factors collide below 2^20.
        torch.manual_seed(
            (self.seed << 32) + (trainer.current_epoch << 12) + trainer.global_rank
            & 0x7FFF_FFFF_FFFF_FFFF
        )

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Write generators and pending plateau values into the checkpoint."""
        state: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            state["cuda"] = torch.cuda.get_rng_state_all()
        checkpoint["burnish_random"] = state
        checkpoint["burnish_epoch_end"] = _at_epoch_end(trainer)
        checkpoint["burnish_plateau"] = [
            None if value is None else float(value) for value in _pending_plateau(trainer)
        ]

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Remember them until training starts."""
        self._restored = {k: v for k, v in checkpoint.items() if k.startswith("burnish_")}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put back what the checkpoint carried, after any sanity check."""
        restored, self._restored = self._restored, {}
        if not restored:
            return
        if not restored["burnish_epoch_end"]:
            _restore_generators(restored["burnish_random"])
            # Lightning does this when it first asks for the loader; a schedule that needs the
            # number of steps asked before the checkpoint was read. Loaded twice, it is a no-op.
            trainer.fit_loop._load_combined_loader_states()
            return
        _begin_next_epoch(trainer)
        for config, value in zip(
            trainer.lr_scheduler_configs, restored["burnish_plateau"], strict=False
        ):
            if value is not None:
                config.scheduler.step(value)


def _restore_generators(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"].cpu())
    gpus = [s.cpu() for s in state.get("cuda", ())]
    if torch.cuda.is_available() and len(gpus) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(gpus)


def _begin_next_epoch(trainer: pl.Trainer) -> None:
    """Undo what Lightning 2.6 takes for a restart inside an epoch.

    With ``trainer.max_steps`` it does so even if the checkpoint was written at an epoch's end:
    it would run an epoch of no batches, and callbacks would miss the metrics they monitor.
    """
    loop = trainer.fit_loop
    progress: Any = loop.epoch_progress.current
    if loop.restarting and progress.completed < progress.processed:
        loop.epoch_progress.increment_completed()
        loop.epoch_loop.restarting = False
        loop._restarting = False
        loop.reset_restart_stage()


def _at_epoch_end(trainer: pl.Trainer) -> bool:
    progress: Any = trainer.fit_loop.epoch_progress.current
    return bool(progress.processed > progress.completed)


def _pending_plateau(trainer: pl.Trainer) -> list[Tensor | None]:
    """Per scheduler: the value it will be stepped with once the epoch's checkpoint is written."""
    return [
        trainer.callback_metrics.get(str(config.monitor))
        if config.reduce_on_plateau and config.interval == "epoch" and _at_epoch_end(trainer)
        else None
        for config in trainer.lr_scheduler_configs
    ]
