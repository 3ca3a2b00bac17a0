"""The one LightningModule: it trains any net that turns a batch into logits.

It knows neither data sets nor models nor Hydra: it is handed a net, a loss and two factories.
Shapes: B batch, C classes.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from burnish.errors import ConfigError, ModelError, TrainingError
from burnish.learner.metrics import SplitMetrics

Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves.

    Args:
        factory: called with the optimizer; its parameters ``total_steps`` and
            ``steps_per_epoch``, if it has them and they are still open, are filled from the
            trainer, in optimizer steps.
        interval: ``step`` or ``epoch``: how often the scheduler is stepped.
        monitor: the metric that ReduceLROnPlateau watches.
    """

    factory: Callable[..., Any]
    interval: str = "epoch"
    monitor: str | None = None

    def build(self, optimizer: Optimizer, trainer: pl.Trainer) -> dict[str, Any]:
        """The entry that Lightning expects under ``lr_scheduler``.

        Raises:
            ConfigError: if the schedule needs the number of steps and the training has no end.
        """
        given = getattr(self.factory, "keywords", {})
        function = getattr(self.factory, "func", self.factory)
        wanted = [
            name
            for name in ("total_steps", "steps_per_epoch")
            if name in inspect.signature(function).parameters and given.get(name) is None
        ]
        # OneCycleLR takes either total_steps or epochs with steps_per_epoch, not both.
        if given.get("epochs") is None and "epochs" in inspect.signature(function).parameters:
            wanted = [name for name in wanted if name == "total_steps"]
        counts = _step_counts(trainer) if wanted else {}
        peaks = _scaled_peaks(optimizer, given.get("max_lr"))
        scheduler = self.factory(optimizer, **{name: counts[name] for name in wanted}, **peaks)
        config = {"scheduler": scheduler, "interval": self.interval, "name": "lr"}
        return {**config, "monitor": self.monitor} if self.monitor else config


def _scaled_peaks(optimizer: Optimizer, peak: Any) -> dict[str, list[float]]:
    """OneCycleLR takes one peak for all groups; those with a scaled rate keep their scale."""
    rates = [group["lr"] for group in optimizer.param_groups]
    if not isinstance(peak, int | float) or len(set(rates)) == 1:
        return {}
    return {"max_lr": [peak * rate / max(rates) for rate in rates]}


def _step_counts(trainer: pl.Trainer) -> dict[str, int]:
    trainer.fit_loop.setup_data()  # the number of batches is not known before
    total = trainer.estimated_stepping_batches
    if math.isinf(total):
        raise ConfigError(
            "trainer.max_epochs: the scheduler needs the number of steps; set trainer.max_epochs "
            "or trainer.max_steps, or choose scheduler=none"
        )
    batches = trainer.num_training_batches
    per_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
    return {"total_steps": int(total), "steps_per_epoch": max(1, per_epoch)}


class ClassifierModule(pl.LightningModule):
    """Trains and evaluates a classifier.

    Args:
        net: maps a batch to logits ``[B, C]``.
        loss: ``loss(logits_BC, targets)`` with int64 ``[B]`` or soft float ``[B, C]`` targets,
            returning the mean over the batch as a scalar.
        num_classes: C.
        optimizer: makes the optimizer of the net's parameters.
        schedule: how the learning rate moves; None keeps it.
        compile: compile the net (its state-dict keys stay the same).
        card: plain containers stored in every checkpoint under ``burnish``: the config and the
            spec, so that a checkpoint explains itself.
    """

    def __init__(
        self,
        net: nn.Module,
        loss: nn.Module,
        num_classes: int,
        optimizer: Callable[[nn.Module], Optimizer] | None = None,
        schedule: Schedule | None = None,
        *,
        compile: bool = False,
        card: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.loss = loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.compile_net = compile
        self.card = dict(card or {})
        self.train_metrics = SplitMetrics("train", num_classes)
        self.val_metrics = SplitMetrics("val", num_classes)
        self.test_metrics = SplitMetrics("test", num_classes, confusion=True)
        self.latest: dict[str, float] = {}

    def configure_model(self) -> None:
        """Compile the net in place, once; Lightning calls this before every stage."""
        if self.compile_net:
            self.net.compile()
            self.compile_net = False

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, C]`` of a preprocessed batch."""
        return self.net(x)  # type: ignore[no-any-return]

    def shared_step(self, batch: Batch, metrics: SplitMetrics) -> tuple[Tensor, Tensor]:
        """Loss and logits ``[B, C]``; the figures are kept for later, without touching the host."""
        inputs, targets = batch
        logits: Tensor = self.net(inputs)
        loss: Tensor = self.loss(logits, targets)
        metrics.add(loss.detach(), logits.detach(), targets)
        return loss, logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch of training; returns the scalar loss."""
        return self.shared_step(batch, self.train_metrics)[0]

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch of validation; returns its logits ``[B, C]``, for callbacks."""
        return self.shared_step(batch, self.val_metrics)[1]

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """One batch of the evaluated split; returns its logits ``[B, C]``, for callbacks."""
        return self.shared_step(batch, self.test_metrics)[1]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Every ``log_every_n_steps``: the figures since the last time, to the loggers."""
        every: int = getattr(self.trainer, "log_every_n_steps", 0)
        if every and (batch_idx + 1) % every == 0:
            self._log_interval()

    def _log_interval(self) -> None:
        values = {name: float(value) for name, value in self.train_metrics.flush().items()}
        if not values:
            return
        self._show(values)
        named = {f"train/{name}_step": value for name, value in values.items()}
        for logger in self.trainer.loggers:
            # Lightning counts the step that is ending, starting from 0.
            logger.log_metrics(named, step=self.global_step - 1)

    def on_train_epoch_start(self) -> None:
        """Forget the last epoch."""
        self.train_metrics.reset()

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.val_metrics.reset()

    def on_test_epoch_start(self) -> None:
        """Forget the last test."""
        self.test_metrics.reset()

    def on_train_epoch_end(self) -> None:
        """Log the epoch's training figures."""
        self._log_epoch(self.train_metrics)

    def on_validation_epoch_end(self) -> None:
        """Log the validation figures, under the names that callbacks monitor."""
        self._log_epoch(self.val_metrics)

    def on_test_epoch_end(self) -> None:
        """Log the test figures."""
        self._log_epoch(self.test_metrics)

    def _log_epoch(self, metrics: SplitMetrics) -> None:
        values = metrics.compute()
        # Every process computed the same figures over all of them.
        self.log_dict({name: value.float() for name, value in values.items()})
        if metrics is self.train_metrics and values:
            self._show({name: float(values[f"train/{name}"]) for name in ("loss", "accuracy")})

    def _show(self, figures: dict[str, float]) -> None:
        """Hand the figures to the progress bar; refuse to go on with a loss that is lost.

        callbacks.finite stops earlier and knows more; this is for runs without it. Every process
        comes by here, and all of them stop.
        """
        self.latest = figures
        finite = math.isfinite(figures["loss"])
        if not self.trainer.strategy.reduce_boolean_decision(finite, all=True):
            from burnish.learner.finite import Finite  # which imports this module

            there = any(
                isinstance(callback, Finite) for callback in getattr(self.trainer, "callbacks", ())
            )
            watch = "" if there else "callbacks.finite.enabled=true or "
            raise TrainingError(
                f"train/loss is {figures['loss']} at step {self.global_step}: lower optimizer.lr, "
                "set trainer.gradient_clip_val=1, or look for the cause with "
                f"{watch}debug=anomaly"
            )

    def configure_optimizers(self) -> Any:
        """The optimizer and, if there is one, the schedule with its step counts."""
        if self.optimizer is None:
            return None
        optimizer = self.optimizer(self.net)
        if self.schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": self.schedule.build(optimizer, self.trainer),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the card beside the weights."""
        checkpoint["burnish"] = self.card


def net_weights(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The net's own weights out of a checkpoint of :class:`ClassifierModule`."""
    prefix = "net."
    state: Mapping[str, Tensor] = checkpoint.get("state_dict", {})
    return {name[len(prefix) :]: w for name, w in state.items() if name.startswith(prefix)}


def load_weights(net: nn.Module, weights: Mapping[str, Tensor]) -> list[str]:
    """Load weights into a net, leaving out an output layer of another size.

    Args:
        net: the net to fill.
        weights: state dict of a net of the same architecture.

    Returns:
        The names that were left at their initial values because their shapes differ: the
        parameters of the last layer, or none.

    Raises:
        ModelError: if anything but the last layer differs.
    """
    own = net.state_dict()
    missing = sorted(own.keys() - weights.keys())
    unexpected = sorted(weights.keys() - own.keys())
    reshaped = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    last = list(own)[-1].rpartition(".")[0]
    wrong = [name for name in reshaped if name.rpartition(".")[0] != last]
    if missing or unexpected or wrong:
        lines = [
            f"{what}: {', '.join(names[:5])}" + (f" and {len(names) - 5} more" * (len(names) > 5))
            for what, names in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", wrong),
            )
            if names
        ]
        raise ModelError("the weights do not fit the net; " + "; ".join(lines))
    # In place: loading hooks of some nets (torchvision's MNASNet) want metadata that a checkpoint
    # of the whole module does not keep.
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in reshaped:
                tensor.copy_(weights[name])
    return reshaped
