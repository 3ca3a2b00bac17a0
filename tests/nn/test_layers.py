from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from burnish.errors import ConfigError
from burnish.nn.layers import ClampSTE, LearnableSwish, WeightNormLinear


def test_weight_norm_linear_is_torch_s_parametrisation_of_linear() -> None:
    ours = WeightNormLinear(4, 3)
    with torch.no_grad():
        ours.gain.copy_(torch.tensor([0.5, -2.0, 3.0]))
    theirs = weight_norm(nn.Linear(4, 3))
    with torch.no_grad():
        theirs.parametrizations.weight.original0.copy_(ours.gain[:, None])
        theirs.parametrizations.weight.original1.copy_(ours.weight)
        theirs.bias.copy_(ours.bias)
    x = torch.randn(5, 4)
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours(x[:, None]), theirs(x)[:, None])


def test_weight_norm_linear_by_hand() -> None:
    layer = WeightNormLinear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 4.0]]))
        layer.gain.fill_(10.0)
        layer.bias.fill_(1.0)
    assert layer(torch.tensor([[1.0, 2.0]])).item() == pytest.approx(10 * (0.6 + 1.6) + 1)
    before = layer(torch.ones(1, 2))
    with torch.no_grad():
        layer.weight *= 7
    torch.testing.assert_close(layer(torch.ones(1, 2)), before)


def test_weight_norm_linear_starts_as_linear() -> None:
    torch.manual_seed(0)
    layer = WeightNormLinear(64, 100)
    x = torch.randn(8, 64)
    torch.testing.assert_close(layer(x), F.linear(x, layer.weight, layer.bias))
    assert layer.weight.abs().max() <= 1 / 8
    assert layer.weight.std().item() == pytest.approx(1 / 8 / math.sqrt(3), rel=0.05)


def test_weight_norm_linear_s_state_is_plain_tensors() -> None:
    shapes = {key: tuple(value.shape) for key, value in WeightNormLinear(4, 3).state_dict().items()}
    assert shapes == {"weight": (3, 4), "gain": (3,), "bias": (3,)}
    bare = WeightNormLinear(4, 3, bias=False)
    assert (bare.in_features, bare.out_features, bare.bias) == (4, 3, None)
    assert list(bare.state_dict()) == ["weight", "gain"]


def test_swish_between_its_limits() -> None:
    x = torch.linspace(-4, 4, 9)
    torch.testing.assert_close(LearnableSwish(beta=0.0)(x), x / 2)
    torch.testing.assert_close(LearnableSwish()(x), F.silu(x))
    torch.testing.assert_close(LearnableSwish(beta=100.0)(x), F.relu(x))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5)])
def test_swish_has_one_beta_a_channel_if_asked(shape: tuple[int, ...]) -> None:
    layer = LearnableSwish(channels=3)
    with torch.no_grad():
        layer.beta.copy_(torch.tensor([0.5, 1.0, 2.0]))
    x = torch.randn(shape)
    for channel, beta in enumerate((0.5, 1.0, 2.0)):
        want = x[:, channel] * torch.sigmoid(beta * x[:, channel])
        torch.testing.assert_close(layer(x)[:, channel], want)


@pytest.mark.parametrize("channels", [None, 3])
def test_swish_and_its_beta_have_right_gradients(channels: int | None) -> None:
    layer = LearnableSwish(channels, beta=0.7).double()
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, beta: torch.func.functional_call(layer, {"beta": beta}, (x,)), (x, layer.beta)
    )


def clamp_gradient(layer: nn.Module, x: torch.Tensor) -> list[float]:
    x = x.clone().requires_grad_()
    (layer(x) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).sum().backward()
    assert x.grad is not None
    return x.grad.tolist()


def test_clamp_limits_alike_and_differs_in_its_gradient() -> None:
    x = torch.tensor([-2.0, -0.5, 0.0, 1.0, 3.0])
    straight, masked = ClampSTE(-0.5, 1.0), ClampSTE(-0.5, 1.0, mode="masked")
    assert straight(x).tolist() == masked(x).tolist() == [-0.5, -0.5, 0.0, 1.0, 1.0]
    assert clamp_gradient(straight, x) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert clamp_gradient(masked, x) == [0.0, 2.0, 3.0, 4.0, 0.0]

    off = x + 0.1  # at the limits themselves torch's versions differ
    assert clamp_gradient(masked, off) == clamp_gradient(nn.Hardtanh(-0.5, 1.0), off)


def test_values_out_of_limits_come_back_straight_through_only() -> None:
    for mode, moved in (("straight_through", True), ("masked", False)):
        value = nn.Parameter(torch.tensor(5.0))
        layer: Any = ClampSTE(-1.0, 1.0, mode=mode)
        for _ in range(200):
            (gradient,) = torch.autograd.grad((layer(value) - 0.25) ** 2, value)
            with torch.no_grad():
                value -= 0.1 * gradient
        assert (abs(value.item() - 0.25) < 1e-3) is moved


@pytest.mark.parametrize(
    ("layer", "arguments", "key"),
    [
        (WeightNormLinear, (0, 3), "WeightNormLinear.in_features"),
        (WeightNormLinear, (3, 2.5), "WeightNormLinear.out_features"),
        (LearnableSwish, (0,), "LearnableSwish.channels"),
        (LearnableSwish, (None, float("inf")), "LearnableSwish.beta"),
        (ClampSTE, (1.0, 1.0), "ClampSTE.low"),
        (ClampSTE, (float("nan"), 1.0), "ClampSTE.low"),
        (ClampSTE, (0.0, 1.0, "soft"), "ClampSTE.mode"),
    ],
)
def test_bad_arguments_are_named(layer: Any, arguments: tuple[Any, ...], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}: must"):
        layer(*arguments)
