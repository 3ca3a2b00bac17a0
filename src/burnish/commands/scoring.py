"""A run's checkpoint scored on a split, for the verbs that do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from burnish.build import make
from burnish.commands.restoring import Restored
from burnish.data.base import DataModule
from burnish.errors import RunError
from burnish.learner.predictions import KeepAnswers
from burnish.learner.progress import EpochProgress
from burnish.report.predictions import Ints, Predictions
from burnish.runs.console import say

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Scored:
    """A checkpoint's figures on a split.

    Args:
        metrics: under the split's names.
        confusion: int64 ``[true class, predicted class]``.
        predictions: if they were to be kept.
    """

    metrics: dict[str, float]
    confusion: torch.Tensor | None
    predictions: Predictions | None


def score(
    config: Config, restored: Restored, split: str, folder: Path, *, keep: bool = False
) -> Scored:
    """Score a split as training would have.

    Args:
        config: the run's, with what the command changes.
        restored: the run.
        split: ``train`` (without augmentation), ``val`` or ``test``.
        folder: of the run.
        keep: the predictions.

    Raises:
        RunError: if predictions are to be kept and there are none, or other processes make some.
    """
    data, module = restored.data, restored.module
    data.evaluate_split = split  # type: ignore[assignment]
    answers = KeepAnswers()
    trainer = _trainer(config, folder, [answers] if keep else [])
    if keep and trainer.world_size > 1:
        raise RunError("report: needs all samples in one process; set trainer.devices=1")
    rows = _rows(data) if keep else None
    figures = dict(trainer.test(module, data, verbose=False)[0])
    module.to(trainer.strategy.root_device)  # the trainer takes it off a GPU
    return Scored(
        {name.replace("test/", f"{split}/", 1): value for name, value in figures.items()},
        module.test_metrics.confusion,
        None if rows is None else _predictions(rows, answers),
    )


def _rows(data: DataModule) -> Ints:
    """Rows of the split's source in the order in which its loader will give them."""
    batches: Any = data.test_dataloader().batch_sampler
    return np.array([row for batch in batches for row in batch], dtype=np.int64)


def _predictions(rows: Ints, answers: KeepAnswers) -> Predictions:
    if not len(answers):
        raise RunError("report: no sample of the split was scored (trainer.limit_test_batches?)")
    targets = answers.targets.numpy()
    # trainer.limit_test_batches may have ended the pass early.
    return Predictions(rows[: len(targets)], targets, answers.logits.numpy())


def _trainer(config: Config, folder: Path, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    asked = config["trainer"]
    trainer: pl.Trainer = make(
        {
            "_target_": "lightning.pytorch.Trainer",
            "accelerator": asked["accelerator"],
            "devices": asked["devices"],
            "precision": asked["precision"],
            "deterministic": asked["deterministic"],
            "limit_test_batches": asked.get("limit_test_batches"),
            "enable_model_summary": False,
        },
        "trainer",
        callbacks=[EpochProgress(say), *callbacks],
        logger=False,
        enable_checkpointing=False,
        default_root_dir=str(folder),
    )
    return trainer
