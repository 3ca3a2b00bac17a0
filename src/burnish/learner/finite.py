"""Stops a training at the first loss that is no number, with all that is needed to see why.

What is kept lies in ``<run folder>/nonfinite.pt``: the batch, the weights that met it, and where
they met. ``burnish diagnose run=<run folder>`` reads it.
"""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from burnish.errors import TrainingError
from burnish.learner.module import Batch
from burnish.learner.tracing import Origin, few, find_before, find_origin, wrong_gradients
from burnish.nn.checks import not_positive, report
from burnish.runs.console import short
from burnish.runs.folder import NONFINITE


class Finite(Callback):
    """Raises at the first step whose loss, or gradients, are not finite, before the weights move.

    On a CPU every step is looked at. On a GPU a look makes the host wait for the device, and with
    several processes they must agree, so that all of them stop: there it happens every
    ``every_n_steps`` alone, the first bad step is still named, but the batch and the weights that
    are kept are those of the later step. Set ``every_n_steps=1`` there and repeat the run to catch
    the very batch. Of several processes the first that found something keeps its batch.

    Args:
        gradients: look at the gradients as well, which can be infinite under a finite loss. Not
            under 16-mixed precision, whose scaler skips such steps as a matter of course.
        every_n_steps: batches between two looks, besides those whose figures are logged and the
            last of an epoch or a training; None: 1 for one process on a CPU, else
            ``trainer.log_every_n_steps``.

    Raises:
        ConfigError: naming ``callbacks.finite.every_n_steps``.
    """

    def __init__(self, gradients: bool = False, every_n_steps: int | None = None) -> None:
        key = "callbacks.finite.every_n_steps"
        report(None if every_n_steps is None else not_positive(key, every_n_steps))
        self.gradients = gradients
        self.every_n_steps = every_n_steps
        self._every = 1
        self._logged = 50
        self._batch: Batch | None = None
        self._batch_idx = 0
        self._step = 0
        self._losses: list[Tensor] = []
        self._steps: list[int] = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The device is known by now."""
        alone = trainer.world_size == 1 and pl_module.device.type == "cpu"
        self._logged = getattr(trainer, "log_every_n_steps", 0) or 50
        self._every = self.every_n_steps or (1 if alone else self._logged)
        self._losses, self._steps = [], []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Remember the batch; nothing is copied."""
        self._batch, self._batch_idx = batch, batch_idx
        self._step = trainer.global_step

    def on_before_backward(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor
    ) -> None:
        """Look at the loss while the weights are those that made it.

        Raises:
            TrainingError: if it is not finite.
        """
        if self._every == 1 and trainer.world_size == 1:
            if not math.isfinite(loss.item()):
                self._stop(trainer, pl_module, [loss.detach()], [self._step])
            return
        self._losses.append(loss.detach())
        self._steps.append(self._step)
        if self._is_due(trainer):
            self._look_back(trainer, pl_module)

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at the gradients, if asked to.

        Raises:
            TrainingError: if they are not finite.
        """
        if not self.gradients or not self._is_due(trainer):
            return
        if getattr(trainer.precision_plugin, "scaler", None) is not None:
            return
        own = [p.grad for p in pl_module.parameters() if p.grad is not None]
        # The cheapest look at all of them; squares may overflow where gradients do not.
        finite = not own or bool(torch.nn.utils.get_total_norm(own).isfinite())
        finite = finite or not wrong_gradients(pl_module)
        if not _all_finite(trainer, finite):
            self._stop(trainer, pl_module, [], [])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Let go of the batch: the next one shall not lie in memory beside it."""
        self._batch = None

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at what an epoch left that was told to stop; the batches are gone by then.

        Raises:
            TrainingError: if a loss was not finite.
        """
        if self._losses:
            self._look_back(trainer, pl_module)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        """Nothing that was not looked at shall meet the log, the end of an epoch or of all steps.

        The same in every process.
        """
        done = self._batch_idx + 1
        last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        last = last or 0 < trainer.max_steps <= trainer.global_step + 1
        return last or done % self._every == 0 or done % self._logged == 0

    def _look_back(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        losses, steps = self._losses, self._steps
        self._losses, self._steps = [], []
        finite = not losses or bool(torch.stack(losses).isfinite().all())
        if not _all_finite(trainer, finite):
            self._stop(trainer, pl_module, losses, steps)

    def _stop(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        losses: Sequence[Tensor],
        steps: Sequence[int],
    ) -> None:
        """Raise in every process what the first one that found something has to say."""
        found = _first(losses, steps)
        names = [] if losses else wrong_gradients(pl_module)
        speaker = _lowest(trainer, found is not None or bool(names))
        text = ""
        if trainer.global_rank == speaker:
            text = self._story(trainer, pl_module, found, names)
        # The others wait here: one that ended would take the speaker with it.
        text = trainer.strategy.broadcast(text, speaker)
        if trainer.global_rank:  # once on the terminal is enough
            text = "train/loss or a gradient is not finite: the first process says where"
        raise TrainingError(text)

    def _story(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        found: tuple[int, float] | None,
        names: Sequence[str],
    ) -> str:
        """Find out where, and keep what is needed to look closer."""
        several = trainer.world_size > 1
        if found is not None:
            step, value = found
            origin = self._origin(trainer, pl_module)
            where = f" in process {trainer.global_rank}" * several
            what = (
                f"train/loss is {value} at step {step}{where}: {origin.advice}; {origin.sentence}"
            )
        else:
            step = self._step
            bare = few([name.removeprefix("net.") for name in names])
            what = (
                f"train/loss is finite at step {step}, but not the gradients of {bare}: "
                "lower optimizer.lr or set trainer.gradient_clip_val=1"
                + "; what is kept may be the batch of a process whose own are finite"
                * several
            )
        lines = [what]
        if self._batch is None:
            return f"{what} (callbacks.finite.every_n_steps=1 keeps its batch)"
        if step < self._step:
            lines.append(
                f"What is kept is the batch of step {self._step}, the first that was looked at "
                "after it; callbacks.finite.every_n_steps=1 catches the very batch."
            )
        if not getattr(trainer, "fast_dev_run", False):
            lines.append(self._keep(trainer, pl_module, step, what))
        return "\n".join(lines)

    def _origin(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Origin:
        net: Any = pl_module.net
        loss: Any = pl_module.loss
        if self._batch is None:
            return Origin("nowhere", "the training was told to stop before the step was looked at")
        if trainer.world_size > 1 and _waits_for_others(net):
            return find_before(net, loss, *self._batch) or Origin(
                "nowhere", "its layers share statistics with other processes and are not searched"
            )
        try:
            with trainer.precision_plugin.forward_context():
                origin = find_origin(net, loss, *self._batch)
        except RuntimeError as error:  # out of memory: the other processes wait for a word
            return Origin("nowhere", f"a second pass of the batch failed ({error})")
        if origin.kind == "layer" and str(trainer.precision).startswith("16"):
            half = "float16 ends at 65504, trainer.precision=bf16-mixed does not"
            return replace(origin, sentence=f"{origin.sentence}; {half}")
        return origin

    def _keep(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, first: int, what: str
    ) -> str:
        """Write the file; a sentence that says where, or why not."""
        path = Path(trainer.default_root_dir) / NONFINITE
        try:
            _write(path, self._contents(trainer, pl_module, first, what))
        except (OSError, RuntimeError) as error:
            return f"The batch could not be kept in {short(path)} ({error})."
        return (
            f"The batch and the weights before the step are kept in {short(path)}; layer by layer: "
            f"burnish diagnose run={short(path.parent)}"
        )

    def _contents(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, first: int, what: str
    ) -> dict[str, Any]:
        """A checkpoint's weights and card, and the batch beside them; plain containers only.

        Running statistics are as the batch left them.
        """
        assert self._batch is not None
        net: Any = pl_module.net
        inputs, targets = (tensor.detach().cpu() for tensor in self._batch)
        return {
            "what": what,
            "step": self._step,
            "first_step": first,
            "epoch": trainer.current_epoch,
            "batch": self._batch_idx,
            "rank": trainer.global_rank,
            "precision": str(trainer.precision),
            "inputs": inputs,
            "targets": targets,
            "evaluating": [name for name, module in net.named_modules() if not module.training],
            "state_dict": {name: t.detach().cpu() for name, t in pl_module.state_dict().items()},
            "burnish": getattr(pl_module, "card", {}),
        }


def _first(losses: Sequence[Tensor], steps: Sequence[int]) -> tuple[int, float] | None:
    """The first step whose loss is not finite, and that loss."""
    values = [float(loss) for loss in losses]
    return next(((s, v) for s, v in zip(steps, values, strict=True) if not math.isfinite(v)), None)


def _all_finite(trainer: pl.Trainer, finite: bool) -> bool:
    """Whether it is so in every process: all go on, or all stop."""
    return bool(trainer.strategy.reduce_boolean_decision(finite, all=True))


def _lowest(trainer: pl.Trainer, found: bool) -> int:
    """The first process that found something; every process must ask."""
    own = trainer.global_rank if found else trainer.world_size - 1
    rank = torch.tensor(own, device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(rank, reduce_op="min"))


def _waits_for_others(net: nn.Module) -> bool:
    """Whether a pass by one process alone would hang."""
    return any(isinstance(module, nn.SyncBatchNorm) for module in net.modules())


def _write(path: Path, contents: dict[str, Any]) -> None:
    """All or nothing: a reader never meets half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            torch.save(contents, file)
        os.replace(partial, path)  # noqa: PTH105
    finally:
        partial.unlink(missing_ok=True)
