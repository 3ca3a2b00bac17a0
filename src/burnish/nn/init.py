"""The one place that decides how the nets of this package start."""

from __future__ import annotations

from torch import nn


def kaiming_init(net: nn.Module) -> None:
    """Initialise the convolutions and linear layers of ``net`` in place for ReLU.

    Convolutions keep the variance of the gradients (fan out), linear layers that of the
    activations (fan in). The layer named ``head`` is followed by no ReLU, so it starts with gain
    1, which keeps the first logits small. Biases start at 0; norm layers stay at torch's 1 and 0.

    Source: He et al. 2015, "Delving Deep into Rectifiers", https://arxiv.org/abs/1502.01852.
    """
    head = getattr(net, "head", None)
    for layer in net.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        nn.init.kaiming_normal_(
            layer.weight,
            mode="fan_out" if isinstance(layer, nn.Conv2d) else "fan_in",
            nonlinearity="linear" if layer is head else "relu",
        )
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
