from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from burnish.errors import ConfigError
from burnish.nn.losses import FocalLoss


def random_batch(classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(6, classes, generator=generator, dtype=torch.float64)
    soft = torch.randn(6, classes, generator=generator, dtype=torch.float64).softmax(1)
    return logits, torch.arange(6) % classes, soft


def test_hand_computed() -> None:
    logits = torch.tensor([[0.25, 0.75], [0.9, 0.1]], dtype=torch.float64).log()
    labels = torch.tensor([1, 1])
    loss = FocalLoss(gamma=2.0, reduction="none")(logits, labels)
    want = [-(0.25**2) * math.log(0.75), -(0.9**2) * math.log(0.1)]
    torch.testing.assert_close(loss.tolist(), want)
    weighted = FocalLoss(gamma=1.0, alpha=[0.3, 0.7], reduction="none")(logits, labels.flip(0) * 0)
    want = [-0.3 * 0.75 * math.log(0.25), -0.3 * 0.1 * math.log(0.9)]
    torch.testing.assert_close(weighted.tolist(), want, rtol=1e-6, atol=0)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_gamma_0_is_cross_entropy(reduction: Any) -> None:
    logits, labels, soft = random_batch()
    loss = FocalLoss(gamma=0.0, reduction=reduction)
    for target in (labels, soft):
        want = F.cross_entropy(logits, target, reduction=reduction)
        torch.testing.assert_close(loss(logits, target), want)


@pytest.mark.parametrize("alpha", [None, 0.25, [0.5, 1.0, 2.0, 0.25]])
def test_one_hot_soft_labels_equal_indices(alpha: Any) -> None:
    logits, labels, _ = random_batch()
    loss = FocalLoss(gamma=1.5, alpha=alpha)
    one_hot = F.one_hot(labels, 4).double()
    torch.testing.assert_close(loss(logits, one_hot), loss(logits, labels))


def test_mean_divides_by_the_batch_whatever_alpha_is() -> None:
    logits, labels, _ = random_batch()
    alpha = [0.5, 1.0, 2.0, 0.25]
    each = FocalLoss(alpha=alpha, reduction="none")(logits, labels)
    torch.testing.assert_close(FocalLoss(alpha=alpha)(logits, labels), each.sum() / 6)
    torch.testing.assert_close(FocalLoss(alpha=alpha, reduction="sum")(logits, labels), each.sum())
    plain = FocalLoss(reduction="none")(logits, labels)
    torch.testing.assert_close(each, plain * torch.tensor(alpha).double()[labels])
    scaled = FocalLoss(alpha=0.25, reduction="none")(logits, labels)
    torch.testing.assert_close(scaled, 0.25 * plain)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.7])
def test_gradients_agree_with_finite_differences(gamma: float) -> None:
    logits, labels, soft = random_batch()
    logits.requires_grad_()
    loss = FocalLoss(gamma, alpha=[0.5, 1.0, 2.0, 0.25])
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits)
    assert torch.autograd.gradcheck(lambda x: loss(x, soft), logits)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("soft", [False, True])
def test_certain_predictions_stay_finite(gamma: float, soft: bool) -> None:
    logits = torch.tensor([[1000.0, -1000.0], [-1000.0, 1000.0], [0.0, 90.0]], requires_grad=True)
    labels = torch.tensor([0, 0, 1])
    target = F.one_hot(labels, 2).float() if soft else labels
    loss = FocalLoss(gamma, reduction="none")(logits, target)
    loss.sum().backward()
    torch.testing.assert_close(loss.tolist(), [0.0, 2000.0, 0.0], atol=1e-6, rtol=1e-6)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    torch.testing.assert_close(logits.grad[1].tolist(), [-1.0, 1.0])


def test_small_misses_keep_their_digits() -> None:
    logits = torch.tensor([[0.0, 11.0], [0.0, 13.0]])
    log_p = F.log_softmax(logits, dim=1)[:, 1].double()
    loss = FocalLoss(gamma=1.0, reduction="none")(logits, torch.tensor([1, 1]))
    torch.testing.assert_close(loss.double(), torch.expm1(log_p) * log_p, rtol=1e-6, atol=0)


def test_alpha_stays_out_of_checkpoints() -> None:
    assert FocalLoss(alpha=[1.0, 2.0]).state_dict() == {}


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"gamma": -1.0}, "loss.gamma"),
        ({"gamma": float("inf")}, "loss.gamma"),
        ({"alpha": -0.5}, "loss.alpha"),
        ({"alpha": []}, "loss.alpha"),
        ({"alpha": [1.0, -2.0]}, r"loss.alpha\[1\]"),
        ({"reduction": "average"}, "loss.reduction"),
    ],
)
def test_bad_arguments_name_their_key(arguments: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must"):
        FocalLoss(**arguments)


def test_alpha_of_another_number_of_classes_is_refused() -> None:
    logits, labels, _ = random_batch(classes=4)
    with pytest.raises(ConfigError, match=r"loss.alpha: needs one weight .* 4 classes, found 3"):
        FocalLoss(alpha=[1.0, 1.0, 1.0])(logits, labels)


@pytest.mark.parametrize(
    "labels",
    [torch.zeros(6, dtype=torch.int32), torch.zeros(5, dtype=torch.int64), torch.zeros(6, 3)],
)
def test_labels_of_another_form_are_refused(labels: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="labels must be int64"):
        FocalLoss()(random_batch()[0], labels)
    with pytest.raises(ValueError, match="logits must be"):
        FocalLoss()(torch.zeros(6, 4, 2), labels)
