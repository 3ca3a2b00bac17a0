"""Loss and classification metrics of one split, at almost no cost per step.

A torchmetrics object costs some 100 microseconds per update, more than a small net's step. The
figures of an epoch do not need it every step: batches are kept as they come (detached, on their
device) and handed over in blocks. The result is the same to the last sample.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection, SumMetric
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassPrecision,
    MulticlassRecall,
)

# Logits kept before a block is handed over: 16 MB of float32.
BLOCK_ELEMENTS = 4_000_000
BLOCK_STEPS = 64


def _collection(split: str, num_classes: int) -> MetricCollection:
    """Accuracy over samples; precision, recall and F1 as unweighted means over classes."""
    metrics: dict[str, Metric | MetricCollection] = {
        "accuracy": MulticlassAccuracy(num_classes, average="micro", validate_args=False)
    }
    groups = [["accuracy"]]
    if split != "train":
        metrics["precision"] = MulticlassPrecision(num_classes, validate_args=False)
        metrics["recall"] = MulticlassRecall(num_classes, validate_args=False)
        metrics["f1"] = MulticlassF1Score(num_classes, validate_args=False)
        # These count the same things; torchmetrics would find out by comparing their states.
        groups.append(["precision", "recall", "f1"])
        if num_classes > 5:
            metrics["top5_accuracy"] = MulticlassAccuracy(
                num_classes, top_k=5, average="micro", validate_args=False
            )
            groups.append(["top5_accuracy"])
    return MetricCollection(metrics, prefix=f"{split}/", compute_groups=groups)


class SplitMetrics(nn.Module):
    """Mean loss and classification metrics over the samples of one split.

    Args:
        split: ``train``, ``val`` or ``test``; the prefix of every name.
        num_classes: width of the logits.
        confusion: also count a confusion matrix, read from :attr:`confusion` after
            :meth:`compute`.
    """

    def __init__(self, split: str, num_classes: int, *, confusion: bool = False) -> None:
        super().__init__()
        self.split = split
        # Not MeanMetric: torchmetrics 1.9 drops its weights with nan_strategy="disable", and its
        # other strategies hide a NaN.
        self.loss_sum = SumMetric(nan_strategy="disable")
        self.samples = SumMetric(nan_strategy="disable")
        self.metrics = _collection(split, num_classes)
        self.confusion_counts = (
            MulticlassConfusionMatrix(num_classes, validate_args=False) if confusion else None
        )
        self._losses: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._targets: list[Tensor] = []
        self._elements = 0

    def add(self, loss: Tensor, logits_BC: Tensor, targets: Tensor) -> None:
        """Keep one batch.

        Args:
            loss: mean over the batch, scalar, detached.
            logits_BC: ``[batch, classes]``, detached.
            targets: int64 ``[batch]``, or soft float ``[batch, classes]``, of which the largest
                counts as the true class.
        """
        self._losses.append(loss)
        self._logits.append(logits_BC)
        self._targets.append(targets)
        self._elements += logits_BC.numel()
        if len(self._losses) >= BLOCK_STEPS or self._elements >= BLOCK_ELEMENTS:
            self.flush()

    def flush(self) -> dict[str, Tensor]:
        """Hand the kept batches over; returns their own mean ``loss`` and ``accuracy``."""
        if not self._losses:
            return {}
        sizes = torch.tensor([len(x) for x in self._logits], dtype=torch.float32)
        losses = torch.stack(self._losses).float()
        logits = torch.cat(self._logits)
        targets = torch.cat([t.argmax(1) if t.is_floating_point() else t for t in self._targets])
        self._forget()
        sizes = sizes.to(losses.device)
        self.loss_sum.update(losses * sizes)
        self.samples.update(sizes)
        self.metrics.update(logits, targets)
        if self.confusion_counts is not None:
            self.confusion_counts.update(logits, targets)
        accuracy = (logits.argmax(1) == targets).float().mean()
        return {"loss": (losses * sizes).sum() / sizes.sum(), "accuracy": accuracy}

    def compute(self) -> dict[str, Tensor]:
        """All metrics under their logged names, over every process; empty if nothing was added."""
        self.flush()
        if not self.samples.update_called:
            return {}
        values: dict[str, Tensor] = self.metrics.compute()
        return {f"{self.split}/loss": self.loss_sum.compute() / self.samples.compute(), **values}

    @property
    def confusion(self) -> Tensor | None:
        """int64 ``[true class, predicted class]`` counts, if asked for."""
        counts = self.confusion_counts
        return None if counts is None else counts.compute()

    def reset(self) -> None:
        """Forget everything, before the next epoch."""
        self._forget()
        self.loss_sum.reset()
        self.samples.reset()
        self.metrics.reset()
        if self.confusion_counts is not None:
            self.confusion_counts.reset()

    def _forget(self) -> None:
        self._losses, self._logits, self._targets, self._elements = [], [], [], 0
