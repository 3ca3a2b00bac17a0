from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from burnish.errors import ConfigError
from burnish.nn.muon import MuonWithAdamW
from burnish.nn.schedules import cosine


def twins(*shape: int) -> tuple[nn.Parameter, nn.Parameter]:
    value = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return nn.Parameter(value.clone()), nn.Parameter(value.clone())


def give_gradients(step: int, *parameters: nn.Parameter) -> None:
    """The same gradient to all, another one at each step, in each parameter's memory format."""
    for parameter in parameters:
        generator = torch.Generator().manual_seed(step)
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = torch.empty_like(parameter).copy_(gradient)


@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust", [None, "match_rms_adamw"])
@pytest.mark.parametrize("shape", [(6, 4), (4, 6)])
def test_matrices_move_as_with_torch_muon(
    nesterov: bool, adjust: str | None, shape: tuple[int, int]
) -> None:
    ours, theirs = twins(*shape)
    common: dict[str, Any] = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    common |= {"nesterov": nesterov, "adjust_lr_fn": adjust}
    one = MuonWithAdamW([ours], **common)
    other = torch.optim.Muon([theirs], **common)
    for step in range(5):
        give_gradients(step, ours, theirs)
        one.step()
        other.step()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_kernels_move_as_flattened_matrices_in_either_memory_format() -> None:
    plain, flat = twins(8, 3, 3, 3)
    last = nn.Parameter(plain.detach().clone().to(memory_format=torch.channels_last))
    flat = nn.Parameter(flat.detach().flatten(1))
    one = MuonWithAdamW([plain, last], lr=0.02, momentum=0.95, weight_decay=0.1)
    other = torch.optim.Muon([flat], lr=0.02, momentum=0.95, weight_decay=0.1)
    for step in range(4):
        give_gradients(step, plain, last)
        assert plain.grad is not None
        flat.grad = plain.grad.flatten(1)
        one.step()
        other.step()
        torch.testing.assert_close(plain.flatten(1), flat, rtol=0, atol=0)
        torch.testing.assert_close(last, plain, rtol=0, atol=0)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(5,), ()])
def test_the_rest_moves_as_with_torch_adamw(shape: tuple[int, ...]) -> None:
    ours, theirs = twins(*shape)
    one = MuonWithAdamW([ours], adamw_lr=0.01, adamw_betas=[0.8, 0.9], weight_decay=0.2)
    other = torch.optim.AdamW([theirs], lr=0.01, betas=(0.8, 0.9), weight_decay=0.2)
    for step in range(5):
        give_gradients(step, ours, theirs)
        one.step()
        other.step()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_group_can_keep_its_matrices_from_muon() -> None:
    ours, theirs = twins(4, 4)
    one = MuonWithAdamW([{"params": [ours], "use_muon": False}], adamw_betas=(0.9, 0.999))
    other = torch.optim.AdamW([theirs])
    give_gradients(0, ours, theirs)
    one.step()
    other.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_schedules_scale_both_rates() -> None:
    (matrix, muon_twin), (bias, adamw_twin) = twins(4, 4), twins(4)
    one = MuonWithAdamW([matrix, bias], lr=0.02, adamw_lr=0.005, adamw_betas=(0.9, 0.95))
    muon = torch.optim.Muon([muon_twin], lr=0.02, weight_decay=0.01)
    adamw = torch.optim.AdamW([adamw_twin], lr=0.005, betas=(0.9, 0.95), weight_decay=0.01)
    optimizers = (one, muon, adamw)
    schedules = [cosine(optimizer, total_steps=6) for optimizer in optimizers]
    for step in range(6):
        give_gradients(step, matrix, muon_twin, bias, adamw_twin)
        for stepped in (*optimizers, *schedules):
            stepped.step()
        torch.testing.assert_close(matrix, muon_twin, rtol=0, atol=1e-7)
        torch.testing.assert_close(bias, adamw_twin, rtol=0, atol=1e-7)


def test_a_group_with_its_own_rate_keeps_adamw_lr_while_unscheduled() -> None:
    ours, theirs = twins(5)
    one = MuonWithAdamW([{"params": [ours], "lr": 0.5}], lr=0.02, adamw_lr=0.01, weight_decay=0.0)
    other = torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
    give_gradients(0, ours, theirs)
    one.step()
    other.step()
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def small_net() -> tuple[nn.Module, MuonWithAdamW, torch.optim.lr_scheduler.LambdaLR]:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)
    )
    optimizer = MuonWithAdamW(net.parameters(), lr=0.02)
    return net, optimizer, cosine(optimizer, total_steps=40)


def train(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    steps: range,
) -> list[float]:
    losses = []
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        labels = torch.arange(16) % 2
        images = torch.randn(16, 1, 8, 8, generator=generator)
        images[:, :, :4] += labels.view(-1, 1, 1, 1)  # class 1 is brighter at the top
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def test_learns_and_resumes_exactly() -> None:
    net, optimizer, schedule = small_net()
    losses = train(net, optimizer, schedule, range(15))
    file = io.BytesIO()
    torch.save([x.state_dict() for x in (net, optimizer, schedule)], file)
    losses += train(net, optimizer, schedule, range(15, 30))
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])

    file.seek(0)
    fresh = small_net()
    for part, state in zip(fresh, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    assert train(*fresh, range(15, 30)) == losses[15:]


def test_frozen_parameters_and_closures() -> None:
    matrix, _ = twins(3, 3)
    idle = nn.Parameter(torch.ones(3))
    optimizer = MuonWithAdamW([matrix, idle], weight_decay=0.5)

    def closure() -> float:
        optimizer.zero_grad()
        loss = matrix.square().sum()
        loss.backward()
        return loss.item()

    first, second = optimizer.step(closure), optimizer.step(closure)
    assert first is not None
    assert second is not None
    assert second < first
    torch.testing.assert_close(idle, torch.ones(3), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"lr": 0.0}, "optimizer.lr"),
        ({"momentum": 1.0}, "optimizer.momentum"),
        ({"weight_decay": -1.0}, "optimizer.weight_decay"),
        ({"ns_steps": 0}, "optimizer.ns_steps"),
        ({"adjust_lr_fn": "none"}, "optimizer.adjust_lr_fn"),
        ({"adamw_lr": -1.0}, "optimizer.adamw_lr"),
        ({"adamw_betas": [0.9]}, "optimizer.adamw_betas"),
        ({"adamw_betas": [0.9, 1.0]}, "optimizer.adamw_betas"),
        ({"adamw_eps": -1.0}, "optimizer.adamw_eps"),
    ],
)
def test_bad_arguments_name_their_key(arguments: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must be"):
        MuonWithAdamW([twins(2, 2)[0]], **arguments)
