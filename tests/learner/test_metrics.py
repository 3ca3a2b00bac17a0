from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    top_k_accuracy_score,
)

from burnish.learner import metrics as module
from burnish.learner.metrics import SplitMetrics


def filled(split: str, sizes: list[int], classes: int, *, confusion: bool = False):
    """Metrics fed with batches of these sizes, and all that they were fed with."""
    generator = torch.Generator().manual_seed(1)
    metrics = SplitMetrics(split, classes, confusion=confusion)
    logits = [torch.randn(n, classes, generator=generator) for n in sizes]
    targets = [torch.randint(0, classes, (n,), generator=generator) for n in sizes]
    losses = [torch.nn.functional.cross_entropy(x, y) for x, y in zip(logits, targets, strict=True)]
    for loss, x, y in zip(losses, logits, targets, strict=True):
        metrics.add(loss, x, y)
    return metrics, torch.cat(logits), torch.cat(targets)


def test_equals_scikit_learn_over_uneven_batches():
    metrics, logits, targets = filled("val", [7, 7, 7, 2], 8)
    values = metrics.compute()
    predicted = logits.argmax(1)
    macro = {"average": "macro", "zero_division": 0}
    scores = torch.softmax(logits, 1).numpy()
    expected = {
        "val/loss": torch.nn.functional.cross_entropy(logits, targets).item(),
        "val/accuracy": accuracy_score(targets, predicted),
        "val/precision": precision_score(targets, predicted, **macro),
        "val/recall": recall_score(targets, predicted, **macro),
        "val/f1": f1_score(targets, predicted, **macro),
        "val/top5_accuracy": top_k_accuracy_score(targets, scores, k=5, labels=range(8)),
    }
    assert set(values) == set(expected)
    for name, value in expected.items():
        assert values[name].item() == pytest.approx(value, abs=1e-6), name


def test_confusion_matrix_equals_scikit_learn():
    metrics, logits, targets = filled("test", [20, 13], 4, confusion=True)
    metrics.compute()
    expected = confusion_matrix(targets, logits.argmax(1), labels=range(4))
    np.testing.assert_array_equal(metrics.confusion.numpy(), expected)


@pytest.mark.parametrize("limit", ["BLOCK_STEPS", "BLOCK_ELEMENTS"])
def test_the_size_of_blocks_does_not_matter(limit, monkeypatch):
    whole = filled("val", [5] * 9, 6)[0].compute()
    monkeypatch.setattr(module, limit, 2)
    parts = filled("val", [5] * 9, 6)[0].compute()
    for name in whole:
        assert parts[name].item() == pytest.approx(whole[name].item(), abs=1e-6)


def test_soft_targets_count_their_largest_class():
    metrics = SplitMetrics("train", 3)
    logits = torch.tensor([[3.0, 0, 0], [0, 3, 0], [0, 0, 3]])
    soft = torch.tensor([[0.6, 0.4, 0], [0.7, 0.3, 0], [0, 0, 1.0]])
    metrics.add(torch.tensor(1.0), logits, soft)
    assert metrics.compute()["train/accuracy"].item() == pytest.approx(2 / 3)


def test_flush_gives_the_figures_since_the_last_flush():
    metrics = SplitMetrics("train", 2)
    right, wrong = torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    zero = torch.tensor([0])
    metrics.add(torch.tensor(1.0), right, zero)
    assert metrics.flush()["accuracy"].item() == 1
    metrics.add(torch.tensor(4.0), wrong, zero)
    metrics.add(torch.tensor(1.0), wrong.repeat(2, 1), zero.repeat(2))
    later = metrics.flush()
    assert later["accuracy"].item() == 0
    assert later["loss"].item() == pytest.approx((4 * 1 + 1 * 2) / 3)  # weighted by samples
    assert metrics.compute()["train/accuracy"].item() == pytest.approx(1 / 4)


def test_nothing_added_computes_nothing_and_reset_forgets():
    metrics, _, _ = filled("train", [4], 3)
    metrics.reset()
    assert metrics.compute() == {}
    assert metrics.flush() == {}


def test_a_lost_loss_is_not_hidden():
    metrics = SplitMetrics("val", 2)
    metrics.add(torch.tensor(float("nan")), torch.zeros(1, 2), torch.tensor([0]))
    assert torch.isnan(metrics.compute()["val/loss"])


def test_two_classes_have_no_top5():
    assert "val/top5_accuracy" not in filled("val", [6], 2)[0].compute()
