from __future__ import annotations

import math

import torch
from torch import nn

from burnish.nn.init import kaiming_init


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 64, 3, stride=2)
        self.norm = nn.BatchNorm2d(64)
        self.hidden = nn.Linear(300, 200)
        self.head = nn.Linear(300, 200)


def test_standard_deviations_and_biases() -> None:
    torch.manual_seed(0)
    net = Net()
    kaiming_init(net)
    want = {
        net.conv: math.sqrt(2 / (64 * 9)),
        net.hidden: math.sqrt(2 / 300),
        net.head: math.sqrt(1 / 300),
    }
    for layer, deviation in want.items():
        assert abs(layer.weight.std().item() / deviation - 1) < 0.03
        assert abs(layer.weight.mean().item()) < 0.1 * deviation
        assert layer.bias is not None
        assert not layer.bias.any()
    assert (net.norm.weight == 1).all()
    assert not net.norm.bias.any()
