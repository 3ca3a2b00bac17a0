"""What TensorBoard can show of a run besides the curves of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from burnish.errors import ConfigError
from burnish.report import board_net, board_numbers, board_pictures, board_samples, board_words
from burnish.report.board_validation import Validation
from burnish.runs.console import say


class Board(Callback):
    """Writes into the run's event files; the training goes exactly as it would without.

    With several processes the first one writes, from its own share of the validation split.

    Args:
        graph: the net's graph.
        histograms: of every parameter and of its gradient at the epoch's last step.
        inputs: samples of the first batch as the net gets them, augmented and mixed.
        mistakes: validation samples that the net is wrong about and sure of.
        pr_curves: precision and recall of each class against the rest, of 30 classes at most.
        confusion: the matrix of true and predicted classes of the validation split.
        embeddings: what the net's head reads of validation samples, after the training.
        hparams: the run's row in the HPARAMS tab, with the last value of every metric.
        config: the configuration as text.
        every_n_epochs: how often histograms and what comes from the validation are written.
        samples: most samples in the projector.

    Raises:
        ConfigError: if a number is out of range.
    """

    def __init__(
        self,
        *,
        graph: bool = True,
        histograms: bool = True,
        inputs: bool = True,
        mistakes: bool = True,
        pr_curves: bool = True,
        confusion: bool = True,
        embeddings: bool = True,
        hparams: bool = True,
        config: bool = True,
        every_n_epochs: int = 1,
        samples: int = 1000,
    ) -> None:
        _refuse_less_than_one(every_n_epochs=every_n_epochs, samples=samples)
        self.graph, self.histograms, self.inputs = graph, histograms, inputs
        self.mistakes, self.pr_curves, self.confusion = mistakes, pr_curves, confusion
        self.embeddings, self.hparams, self.config = embeddings, hparams, config
        self.every_n_epochs, self.samples = every_n_epochs, samples
        self._writer: SummaryWriter | None = None
        self._awaits_batch = False
        self._validation: Validation | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Find TensorBoard's logger."""
        self._writer = _writer(trainer)
        self._awaits_batch = self._writer is not None and (self.graph or self.inputs)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the configuration, and open the row of the HPARAMS tab."""
        config = _config(pl_module)
        if self._writer is None or not config:
            return
        if self.config:
            self._writer.add_text("config", board_words.listing(config), trainer.global_step)
        if self.hparams:
            board_numbers.session(self._writer, config)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: Any, batch: tuple[Tensor, Tensor], batch_idx: int
    ) -> None:
        """Show the first batch, and the graph that it goes through."""
        if not self._awaits_batch or self._writer is None:
            return
        self._awaits_batch = False
        if self.inputs:
            board_samples.inputs(self._writer, batch, _spec(trainer), trainer.global_step)
        if self.graph:
            board_net.graph(self._writer, pl_module.net, batch[0])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Show weights and gradients at the epoch's last step: validation clears the gradients."""
        if self.histograms and trainer.is_last_batch and self._is_due(trainer):
            assert self._writer is not None
            board_numbers.histograms(self._writer, pl_module.net, trainer.global_step)

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Begin to collect, if this epoch's validation is to be shown."""
        wanted = self.mistakes or self.pr_curves or self.confusion
        if wanted and self._is_due(trainer) and not trainer.sanity_checking:
            self._validation = Validation(board_samples.SHOWN)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: Any,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Collect; the step's outputs are its logits."""
        if self._validation is not None:
            inputs, targets = batch
            self._validation.add(inputs, outputs, targets)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write what the validation showed."""
        found, self._validation = self._validation, None
        if self._writer is None or found is None or found.empty:
            return
        spec, step = _spec(trainer), trainer.global_step
        if self.mistakes:
            board_samples.mistakes(self._writer, found.mistakes, spec, step)
        if not (self.pr_curves or self.confusion):
            return
        truth, probabilities = found.truth, found.probabilities
        if self.pr_curves:
            board_numbers.pr_curves(self._writer, truth, probabilities, spec.class_names, step)
        if self.confusion:
            picture = board_pictures.confusion(truth, probabilities.argmax(1), spec.class_names)
            self._writer.add_image("validation/confusion", picture, step, dataformats="HWC")

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the features of the trained net."""
        if self.embeddings and self._writer is not None:
            board_net.embeddings(self._writer, trainer, pl_module.net, self.samples)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the row of the HPARAMS tab; the figures of a test that follows still join it."""
        if self._writer is None or not self.hparams:
            return
        best = getattr(trainer.checkpoint_callback, "best", None)
        if best is not None:
            # Under the name and step of a sweep's objective.
            self._writer.add_scalar(f"best/{_config(pl_module).get('monitor')}", best, 0)
        board_numbers.session_end(self._writer)

    def _is_due(self, trainer: pl.Trainer) -> bool:
        return self._writer is not None and (trainer.current_epoch + 1) % self.every_n_epochs == 0


def _refuse_less_than_one(**numbers: Any) -> None:
    wrong = [
        f"callbacks.tensorboard.{key}: must be a whole number of at least 1, found {value!r}"
        for key, value in numbers.items()
        if isinstance(value, bool) or not isinstance(value, int) or value < 1
    ]
    if wrong:
        raise ConfigError(wrong)


def _writer(trainer: pl.Trainer) -> SummaryWriter | None:
    """None on other processes than the first, and in runs that keep no events."""
    if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
        return None
    if _spec(trainer) is None:
        say(f"{'note':<12}callbacks.tensorboard writes nothing without a data module of burnish")
        return None
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            writer: SummaryWriter = logger.experiment
            return writer
    say(
        f"{'note':<12}callbacks.tensorboard writes nothing without TensorBoard's logger: choose "
        "logger=default or logger=tensorboard"
    )
    return None


def _spec(trainer: Any) -> Any:
    return getattr(trainer.datamodule, "spec", None)


def _config(pl_module: Any) -> Mapping[str, Any]:
    config: Mapping[str, Any] = pl_module.card.get("config", {})
    return config
