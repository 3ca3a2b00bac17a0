"""Train the head alone, for some epochs or for good, and leave the backbone as it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from burnish.errors import ConfigError
from burnish.nn.checks import not_positive, report


class Freeze(Callback):
    """Keeps everything of the net but ``head`` as it is: weights, and the statistics of norms.

    A frozen part runs in evaluation mode, so that neither running statistics move nor dropout
    acts inside of it. What stands before the head without any weights, a dropout say, belongs to
    the head's training.

    Without ``unfreeze_epoch`` the frozen parameters never reach the optimizer. With it they are
    in the optimizer from the start, without gradients, so that its state and the checkpoint's
    have one form whenever a run is resumed; optimizers leave parameters without gradient alone.

    Args:
        unfreeze_epoch: the first epoch, counted from 0, that trains everything; None never does.

    Raises:
        ConfigError: naming ``unfreeze_epoch``.
    """

    def __init__(self, unfreeze_epoch: int | None = None) -> None:
        report(None if unfreeze_epoch is None else not_positive("unfreeze_epoch", unfreeze_epoch))
        self.unfreeze_epoch = unfreeze_epoch
        self._frozen: list[nn.Parameter] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Before the optimizer is made and DDP looks for what needs gradients.

        Raises:
            ConfigError: if the net has no head, or DDP would wait for gradients that never come.
        """
        if stage != TrainerFn.FITTING:
            return
        if not isinstance(getattr(pl_module.net, "head", None), nn.Module):
            raise ConfigError(
                "freeze: backbone trains the layer named head, but "
                f"{type(pl_module.net).__name__} has none; set freeze=none"
            )
        if self.unfreeze_epoch is None:
            self._stop_gradients(pl_module)
        elif isinstance(trainer.strategy, DDPStrategy) and not _finds_unused(trainer.strategy):
            raise ConfigError(
                "unfreeze_epoch: with several processes, frozen parameters that will train later "
                "need trainer.strategy=ddp_find_unused_parameters_true"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch is known by now; a run resumed inside an epoch does not start one."""
        self._apply(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch of thawing may have come."""
        self._apply(trainer, pl_module)

    def _apply(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.unfreeze_epoch is None or trainer.current_epoch < self.unfreeze_epoch:
            self._stop_gradients(pl_module)
            for part in _backbone(pl_module):
                part.eval()  # Lightning restores the modes of before after each validation
        elif self._frozen:
            self._thaw(pl_module)

    def _stop_gradients(self, pl_module: pl.LightningModule) -> None:
        net: Any = pl_module.net
        head = set(net.head.parameters())
        for parameter in net.parameters():
            if parameter.requires_grad and parameter not in head:
                parameter.requires_grad_(False)
                self._frozen.append(parameter)

    def _thaw(self, pl_module: pl.LightningModule) -> None:
        for part in _backbone(pl_module):
            part.train()
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []


def _backbone(pl_module: pl.LightningModule) -> Iterator[nn.Module]:
    """The net's children, but for its head and what has neither weights nor statistics."""
    net: Any = pl_module.net
    for name, child in net.named_children():
        if name != "head" and [*child.parameters(), *child.buffers()]:
            yield child


def _finds_unused(strategy: DDPStrategy) -> bool:
    return bool(strategy._ddp_kwargs.get("find_unused_parameters"))
