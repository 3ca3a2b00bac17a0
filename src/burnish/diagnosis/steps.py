"""Training steps outside of a trainer, as the run would take them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.optim import Optimizer

from burnish.data.loading import Batch, TableLoader
from burnish.diagnosis.subject import Subject
from burnish.errors import ConfigError
from burnish.learner.module import ClassifierModule


@contextmanager
def seeded(subject: Subject) -> Iterator[None]:
    """Randomness starts from the run's seed, and is as before when the check is over."""
    with isolate_rng():
        torch.manual_seed(subject.config["seed"])
        yield


def batches(subject: Subject) -> Iterator[Batch]:
    """Training batches without end, as the net gets them, epoch after epoch."""
    for batch in loaded(subject):
        yield prepared(subject, batch)


def loaded(subject: Subject) -> Iterator[Batch]:
    """Training batches without end, as the loader hands them out.

    Raises:
        ConfigError: if there is no training batch.
    """
    loader = subject.data.train_dataloader()
    if isinstance(loader, TableLoader):  # a run's trainer would have placed it
        loader.table = subject.data.placed(loader.table, subject.device)  # type: ignore[assignment]
        order = loader.batch_sampler
        order.rows = order.rows.to(loader.table.labels.device)
    for epoch in itertools.count():
        loader.batch_sampler.set_epoch(epoch)
        yield from loader


def prepared(subject: Subject, batch: Batch) -> Batch:
    """A loaded batch on the device, augmented and normalised."""
    data = subject.data
    return data.for_training(data.transfer_batch_to_device(batch, subject.device, 0))


def batch_size(subject: Subject) -> int:
    """Samples of a training batch: as configured, but no more than there are."""
    return min(subject.data.batch_size, sum(subject.data.class_counts["train"]))


class Steps:
    """A module of its own and its optimizer, one step after another.

    As in the run: precision, clipping of gradients, what is frozen at the beginning. Not compiled,
    one process, nothing logged.

    Args:
        subject: the run.
        precision: instead of the run's own ``trainer.precision``; "" for that.
    """

    def __init__(self, subject: Subject, precision: str = "") -> None:
        self.module: ClassifierModule = subject.make()
        net = self.module.net.train()
        if subject.config.get("freeze") == "backbone":
            _freeze(net)
        factory = self.module.optimizer
        if factory is None:
            raise ConfigError("optimizer: is missing")
        self.optimizer: Optimizer = factory(net)
        trainer: Mapping[str, Any] = subject.config["trainer"]
        self.precision = precision or str(trainer.get("precision") or "32-true")
        self.device = subject.device
        self._clip = trainer.get("gradient_clip_val"), trainer.get("gradient_clip_algorithm")
        half = self.autocast_dtype == torch.float16
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=half)

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """Of the matrix products; None: they are not cast. Lightning has no fp16 on a CPU."""
        if not self.precision.startswith(("16", "bf16")):
            return None
        half = self.precision.startswith("16") and self.device.type != "cpu"
        return torch.float16 if half else torch.bfloat16

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = self.autocast_dtype
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Forward pass; the scalar loss with its graph."""
        with self._autocast():
            loss: Tensor = self.module.loss(self.module.net(inputs), targets)
        return loss

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, added to those that are there."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]

    def update(self) -> None:
        """Move the parameters, and forget their gradients."""
        self._scaler.unscale_(self.optimizer)
        self._clip_gradients()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad()

    def step(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Forward, backward and update; the detached loss before the update."""
        loss = self.loss(inputs, targets)
        self.backward(loss)
        self.update()
        return loss.detach()

    def make_state(self) -> None:
        """Have the optimizer make its state, which it does at its first step: one of zeros."""
        for parameter in self.module.net.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _clip_gradients(self) -> None:
        limit, way = self._clip
        if not limit:
            return
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        if way == "value":
            nn.utils.clip_grad_value_(parameters, limit)
        else:
            nn.utils.clip_grad_norm_(parameters, limit)


def _freeze(net: nn.Module) -> None:
    """As :class:`~burnish.learner.freeze.Freeze` leaves a net at the first step."""
    head: Any = net.head
    net.requires_grad_(False).eval()
    head.requires_grad_(True).train()
