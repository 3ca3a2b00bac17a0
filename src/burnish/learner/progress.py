"""What a person sees while a run trains: a bar for the epoch, one line for each that is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from tqdm.auto import tqdm

from burnish.runs.console import say

HEADINGS = ("epoch", "train/loss", "train/accuracy", "val/loss", "val/accuracy", "seconds")


class EpochProgress(ProgressBar):
    """A bar with loss, accuracy, rate and remaining time; a line per epoch stays.

    The bar shows only on a terminal, so that logs of a cluster hold lines, not bars. Its figures
    change when the module logs (``trainer.log_every_n_steps``): reading them more often would make
    a GPU wait at every step.

    Args:
        say: where the lines go.
    """

    def __init__(self, say: Callable[[str], None] = say) -> None:
        super().__init__()
        self._say = say
        self._bar: tqdm[Any] | None = None
        self._enabled = True
        self._titled = False
        self._started = 0.0
        self._ended: tuple[int, float] | None = None

    def disable(self) -> None:
        """Lightning calls this on every process but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Show the bar and the lines."""
        self._enabled = True

    def _open(self, total: float, description: str) -> None:
        self._close()
        self._bar = tqdm(
            total=None if total == float("inf") else int(total),
            desc=description,
            leave=False,
            dynamic_ncols=True,
            file=sys.stdout,
            disable=not self._enabled or not sys.stdout.isatty(),
        )

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A run resumed within an epoch sees no start of that epoch."""
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say the epoch before, open this one's bar."""
        self._say_epoch(trainer)
        self._started = time.perf_counter()
        self._open(self.total_train_batches, f"epoch {trainer.current_epoch + 1}")

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        """Advance; tqdm draws ten times a second at most."""
        if self._bar is None:
            return
        if self._bar.update(1) and (latest := getattr(pl_module, "latest", None)):
            self._bar.set_postfix({k: f"{v:.4f}" for k, v in latest.items()}, refresh=False)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Validation has a bar of its own."""
        if not trainer.sanity_checking:
            self._open(sum(trainer.num_val_batches), "validate")

    def on_validation_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Advance."""
        if self._bar is not None and not trainer.sanity_checking:
            self._bar.update(1)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar of the evaluated split."""
        self._open(sum(trainer.num_test_batches), "test")

    def on_test_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Advance."""
        if self._bar is not None:
            self._bar.update(1)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave the terminal clean."""
        self._close()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The module logs its figures after this hook: the line is said a moment later."""
        self._close()
        self._ended = (trainer.current_epoch + 1, time.perf_counter() - self._started)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say the last epoch."""
        self._say_epoch(trainer)

    def _say_epoch(self, trainer: pl.Trainer) -> None:
        if self._ended is None or not self._enabled:
            return
        (epoch, seconds), self._ended = self._ended, None
        if not self._titled:
            self._say("  ".join(f"{name:>14}" for name in HEADINGS))
            self._titled = True
        values = {name: float(v) for name, v in trainer.callback_metrics.items()}
        cells = [f"{epoch:>14}"]
        cells += [f"{values[n]:>14.4f}" if n in values else f"{'-':>14}" for n in HEADINGS[1:-1]]
        self._say("  ".join([*cells, f"{seconds:>14.1f}"]))
