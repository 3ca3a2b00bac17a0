from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import ops

from burnish.errors import ConfigError
from burnish.nn.box_losses import DIoULoss, GIoULoss, IoULoss

LOSSES = [IoULoss, GIoULoss, DIoULoss]
TRUE = [0.0, 0.0, 2.0, 2.0]
# box, IoU, GIoU, DIoU against TRUE, by hand
CASES = {
    "identical": ([0.0, 0.0, 2.0, 2.0], 1.0, 1.0, 1.0),
    "overlapping": ([1.0, 1.0, 3.0, 3.0], 1 / 7, 1 / 7 - 2 / 9, 1 / 7 - 2 / 18),
    "nested": ([0.5, 0.5, 1.5, 1.5], 1 / 4, 1 / 4, 1 / 4),
    "nested in a corner": ([0.0, 0.0, 1.0, 1.0], 1 / 4, 1 / 4, 1 / 4 - 0.5 / 8),
    "touching": ([2.0, 0.0, 4.0, 2.0], 0.0, 0.0, -4 / 20),
    "touching in a point": ([2.0, 2.0, 4.0, 4.0], 0.0, -8 / 16, -8 / 32),
    "disjoint": ([4.0, 0.0, 6.0, 2.0], 0.0, -4 / 12, -16 / 40),
    "without area": ([1.0, 1.0, 1.0, 1.0], 0.0, 0.0, 0.0),
}


def random_boxes(seed: int, count: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, 2, generator=generator, dtype=torch.float64).sort(dim=1).values
    return corners.flatten(1)


def plain_iou(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (areas - width * height)


@pytest.mark.parametrize("case", CASES)
def test_hand_computed(case: str) -> None:
    box, *values = CASES[case]
    for loss, value in zip(LOSSES, values, strict=True):
        found = loss()(torch.tensor([box]), torch.tensor([TRUE]))
        assert found.item() == pytest.approx(1 - value, abs=1e-6), loss.__name__


def test_against_plain_python_and_torchvision_s_matrices() -> None:
    a, b = random_boxes(0), random_boxes(1)
    want = [plain_iou(*pair) for pair in zip(a.tolist(), b.tolist(), strict=True)]
    assert max(want) > 0.3
    assert min(want) == 0
    loose = {"rtol": 0, "atol": 1e-4}  # torchvision's matrices divide without our eps
    torch.testing.assert_close(IoULoss("none")(a, b), 1 - torch.tensor(want).double(), **loose)
    for loss, matrix in ((GIoULoss, ops.generalized_box_iou), (DIoULoss, ops.distance_box_iou)):
        torch.testing.assert_close(loss("none")(a, b), 1 - matrix(a, b).diagonal(), **loose)


@pytest.mark.parametrize("loss", LOSSES)
def test_reductions(loss: Any) -> None:
    a, b = random_boxes(2, 7), random_boxes(3, 7)
    each = loss(reduction="none")(a, b)
    assert each.shape == (7,)
    torch.testing.assert_close(loss()(a, b), each.mean())
    torch.testing.assert_close(loss(reduction="sum")(a, b), each.sum())


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_agree_with_finite_differences(loss: Any) -> None:
    a, b = random_boxes(4, 6).requires_grad_(), random_boxes(5, 6)
    assert torch.autograd.gradcheck(lambda x: loss("none")(x, b), a)


def test_disjoint_boxes_are_pulled_together_by_all_but_iou() -> None:
    for loss, pulls in ((IoULoss, False), (GIoULoss, True), (DIoULoss, True)):
        box = torch.tensor([[4.0, 0.0, 6.0, 2.0]], requires_grad=True)
        loss()(box, torch.tensor([TRUE])).backward()
        assert box.grad is not None
        assert bool(box.grad[0, 0] > 0) is pulls, loss.__name__


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_no_boxes_cost_nothing(loss: Any, reduction: str) -> None:
    none = torch.zeros(0, 4, requires_grad=True)
    total = loss(reduction)(none, torch.zeros(0, 4))
    total.backward()
    assert total.item() == 0


@pytest.mark.parametrize("loss", LOSSES)
def test_other_forms_are_refused(loss: Any) -> None:
    good = torch.zeros(3, 4)
    for wrong in (torch.zeros(3, 5), torch.zeros(4), torch.zeros(3, 4, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"boxes must be float \[N, 4\]"):
            loss()(wrong, good)
        with pytest.raises(ValueError, match=r"targets must be float \[N, 4\]"):
            loss()(good, wrong)
    with pytest.raises(ValueError, match="3 boxes cannot be compared with 1 targets"):
        loss()(good, good[:1])
    with pytest.raises(ConfigError, match=r"^loss.reduction: must be .* found 'average'"):
        loss(reduction="average")
