"""Layers that torch does not bring.

Shape suffixes: B batch, C channels or features, K classes or outputs.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.errors import ConfigError
from burnish.nn.checks import not_between, not_positive, report


class WeightNormLinear(nn.Module):
    r"""A linear layer whose rows have a learned length apart from their direction.

    Output k is :math:`g_k \, \frac{w_k}{\lVert w_k \rVert} \cdot x + b_k`: the size of the weight
    vector ``w_k`` has no influence, only its direction. It starts as ``nn.Linear`` does.

    Source: Salimans & Kingma 2016, "Weight Normalization", https://arxiv.org/abs/1602.07868.

    Args:
        in_features: C.
        out_features: K.
        bias: whether there is an offset for each output.

    Attributes:
        weight: the directions, float ``[K, C]``, of any length but 0.
        gain: the lengths, float ``[K]``.
        bias: float ``[K]`` or None.
    """

    bias: nn.Parameter | None

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        report(
            not_positive("WeightNormLinear.in_features", in_features),
            not_positive("WeightNormLinear.out_features", out_features),
        )
        self.in_features = in_features
        self.out_features = out_features
        self.weight = nn.Parameter(torch.empty(out_features, in_features))
        self.gain = nn.Parameter(torch.empty(out_features))
        self.register_parameter("bias", nn.Parameter(torch.empty(out_features)) if bias else None)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Start as ``nn.Linear``: weights and biases uniform within 1 / sqrt(C)."""
        limit = 1 / math.sqrt(self.in_features)
        self.weight.uniform_(-limit, limit)
        self.gain.copy_(self.weight.norm(dim=1))
        if self.bias is not None:
            self.bias.uniform_(-limit, limit)

    def forward(self, x: Tensor) -> Tensor:
        """Float ``[..., C]`` to ``[..., K]``."""
        return F.linear(x, self.gain[:, None] * F.normalize(self.weight, dim=1), self.bias)

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class LearnableSwish(nn.Module):
    r"""The activation :math:`x \, \sigma(\beta x)` with a learned :math:`\beta`.

    At beta 0 it is the linear map x / 2, at 1 SiLU, and it nears ReLU as beta grows.

    Source: Ramachandran et al. 2017, "Searching for Activation Functions",
    https://arxiv.org/abs/1710.05941.

    Args:
        channels: None for one beta, or the size of dimension 1 for one beta a channel.
        beta: where it starts.
    """

    def __init__(self, channels: int | None = None, beta: float = 1.0) -> None:
        super().__init__()
        report(
            None if channels is None else not_positive("LearnableSwish.channels", channels),
            not_between("LearnableSwish.beta", beta, -math.inf, math.inf),
        )
        self.beta = nn.Parameter(torch.full((channels or 1,), float(beta)))

    def forward(self, x: Tensor) -> Tensor:
        """Float of any shape (``[B, channels, ...]`` with one beta a channel) to the same shape."""
        beta = self.beta if self.beta.numel() == 1 else _along_channels(self.beta, x)
        return x * torch.sigmoid(beta * x)

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"channels={self.beta.numel()}"


def _along_channels(values_C: Tensor, x: Tensor) -> Tensor:
    return values_C.view(-1, *[1] * (x.ndim - 2))


class ClampSTE(nn.Module):
    """Limits values to [low, high], with a choice of gradient.

    ``masked`` passes the gradient within the limits, themselves included, and makes it 0 beyond,
    as ``torch.clamp`` does: what is out stays out.
    ``straight_through`` passes the gradient on as if there were no limits (Bengio et al. 2013,
    https://arxiv.org/abs/1308.3432): values beyond them can be pulled back.

    Args:
        low: lower limit.
        high: upper limit, above ``low``.
        mode: ``straight_through`` or ``masked``.

    Raises:
        ConfigError: if the limits are not in order or the mode is another.
    """

    def __init__(
        self,
        low: float = -1.0,
        high: float = 1.0,
        mode: Literal["straight_through", "masked"] = "straight_through",
    ) -> None:
        super().__init__()
        if not low < high:
            raise ConfigError(f"ClampSTE.low: must lie below high, found {low} and {high}")
        if mode not in ("straight_through", "masked"):
            raise ConfigError(f"ClampSTE.mode: must be straight_through or masked, found {mode!r}")
        self.low, self.high, self.mode = low, high, mode

    def forward(self, x: Tensor) -> Tensor:
        """Float of any shape to the same shape."""
        limited: Tensor = _Clamp.apply(x, self.low, self.high, self.mode == "masked")
        return limited

    def extra_repr(self) -> str:
        """What ``print`` shows of it."""
        return f"{self.low}, {self.high}, mode={self.mode!r}"


class _Clamp(torch.autograd.Function):
    """``clamp`` whose gradient passes everywhere, or only within the limits."""

    @staticmethod
    def forward(x: Tensor, low: float, high: float, masked: bool) -> Tensor:
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, low, high, masked = inputs
        ctx.masked = masked
        if masked:
            ctx.save_for_backward((low <= x) & (x <= high))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = gradients
        if ctx.masked:
            (inside,) = ctx.saved_tensors
            gradient = gradient * inside
        return gradient, None, None, None
