"""eval: score a run's checkpoint on a split of its data, as training would have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor

from burnish.build import make
from burnish.commands.opening import differing_data
from burnish.commands.quiet import quiet
from burnish.commands.restoring import restore
from burnish.errors import RunError
from burnish.learner.progress import EpochProgress
from burnish.runs.console import open_log, say, table
from burnish.runs.folder import RunFolder


def evaluate(
    config: Mapping[str, Any],
    run: RunFolder,
    checkpoint: Path,
    split: str,
    trusted: Sequence[str] = (),
) -> dict[str, float]:
    """Rebuild everything from the run and score ``split``.

    Args:
        config: the run's configuration, checked, with the command's changes applied.
        run: the run folder; the figures go into ``eval-<split>.json`` there.
        checkpoint: the weights to score.
        split: ``train`` (without augmentation), ``val`` or ``test``.
        trusted: packages that the configuration may name classes of.

    Returns:
        The metrics, ``test/accuracy`` and so on.
    """
    quiet()
    open_log(run.path / "eval.log")
    restored = restore(config, checkpoint, trusted)
    data, module = restored.data, restored.module
    for note in differing_data(run, data):
        say(f"note        {note}")
    if split == "test" and not data.has_test:
        raise RunError(f"split: the data of {run.path} has no test split; choose split=val")
    data.evaluate_split = split  # type: ignore[assignment]
    trainer = _trainer(config, run)
    figures = dict(trainer.test(module, data, verbose=False)[0])
    metrics = {name.replace("test/", f"{split}/", 1): value for name, value in figures.items()}
    rows = _per_class(module.test_metrics.confusion, data.spec.class_names)
    _show(checkpoint, metrics, rows)
    run.write_json(
        f"eval-{split}",
        {"checkpoint": str(checkpoint), "metrics": metrics, "classes": rows},
    )
    say(f"\nwritten to {run.path / f'eval-{split}.json'}")
    return metrics


def _trainer(config: Mapping[str, Any], run: RunFolder) -> pl.Trainer:
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
        callbacks=[EpochProgress(say)],
        logger=False,
        enable_checkpointing=False,
        default_root_dir=str(run.path),
    )
    return trainer


def _per_class(confusion: Tensor | None, names: Sequence[str]) -> list[dict[str, Any]]:
    """Precision, recall, F1 and support of each class, from the confusion matrix."""
    if confusion is None:
        return []
    counts = confusion.double().cpu()
    hits, true, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    rows = []
    for i, name in enumerate(names):
        precision = float(hits[i] / predicted[i]) if predicted[i] else 0.0
        recall = float(hits[i] / true[i]) if true[i] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        support = int(true[i])
        rows.append(
            {"class": name, "precision": precision, "recall": recall, "f1": f1, "support": support}
        )
    return rows


def _show(checkpoint: Path, metrics: Mapping[str, float], rows: list[dict[str, Any]]) -> None:
    say(f"checkpoint  {checkpoint}\n")
    say(table([(name, f"{value:.4f}") for name, value in sorted(metrics.items())]))
    say()
    heading = ("class", "precision", "recall", "f1", "support")
    cells = [
        (
            r["class"],
            f"{r['precision']:.4f}",
            f"{r['recall']:.4f}",
            f"{r['f1']:.4f}",
            str(r["support"]),
        )
        for r in rows
    ]
    say(table([heading, *cells]))
