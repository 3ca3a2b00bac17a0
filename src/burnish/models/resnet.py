"""Residual nets.

Source: He et al. 2015, "Deep Residual Learning for Image Recognition",
https://arxiv.org/abs/1512.03385. In the bottleneck block the 3x3 convolution carries the stride
(the variant known as v1.5), as in today's common weights. The names of the parameters are the
usual ones too, but for the last layer, which is ``head`` in every net of this package.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from burnish.models.checks import require_image
from burnish.nn.checkpointing import checkpointed
from burnish.nn.checks import not_fraction, report
from burnish.nn.init import kaiming_init
from burnish.spec import ImageSpec

MIN_SIDE = 8  # the small stem's three halvings leave one pixel
SMALL_STEM_SIDE = 64  # up to here the ImageNet stem's first factor of 4 costs more than it saves


def resnet18(
    spec: ImageSpec,
    *,
    dropout: float = 0.0,
    zero_init_residual: bool = True,
    grad_checkpointing: bool = False,
) -> ResNet:
    """ResNet-18: two basic blocks a stage. Arguments and errors: see :class:`ResNet`."""
    return ResNet(spec, BasicBlock, (2, 2, 2, 2), dropout, zero_init_residual, grad_checkpointing)


def resnet34(
    spec: ImageSpec,
    *,
    dropout: float = 0.0,
    zero_init_residual: bool = True,
    grad_checkpointing: bool = False,
) -> ResNet:
    """ResNet-34: 3, 4, 6 and 3 basic blocks. Arguments and errors: see :class:`ResNet`."""
    return ResNet(spec, BasicBlock, (3, 4, 6, 3), dropout, zero_init_residual, grad_checkpointing)


def resnet50(
    spec: ImageSpec,
    *,
    dropout: float = 0.0,
    zero_init_residual: bool = True,
    grad_checkpointing: bool = False,
) -> ResNet:
    """ResNet-50: 3, 4, 6 and 3 bottlenecks. Arguments and errors: see :class:`ResNet`."""
    return ResNet(spec, Bottleneck, (3, 4, 6, 3), dropout, zero_init_residual, grad_checkpointing)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        fan_in: channels that come in.
        width: channels of both convolutions and of the output.
        stride: of the first convolution and of the shortcut.
    """

    expansion = 1

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(fan_in, width, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The norm right before the shortcut is added."""
        return self.bn2

    def forward(self, x: Tensor) -> Tensor:
        """``[B, fan_in, H, W]`` to ``[B, width, H / stride, W / stride]``."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.downsample(x))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones that narrow and widen by 4, beside a shortcut.

    Args:
        fan_in: channels that come in.
        width: channels of the 3x3 convolution; the output has four times as many.
        stride: of the 3x3 convolution and of the shortcut.
    """

    expansion = 4

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        fan_out = width * self.expansion
        self.conv1 = nn.Conv2d(fan_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, fan_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(fan_out)
        self.downsample = _shortcut(fan_in, fan_out, stride)

    @property
    def last_norm(self) -> nn.BatchNorm2d:
        """The norm right before the shortcut is added."""
        return self.bn3

    def forward(self, x: Tensor) -> Tensor:
        """``[B, fan_in, H, W]`` to ``[B, 4 width, H / stride, W / stride]``."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """A stem, four stages of residual blocks (64 to 512 wide), global average pooling, a head.

    Images of up to 64 pixels get a 3x3 stem of stride 1 without pooling, larger ones the 7x7
    stem of stride 2 with max pooling that was made for ImageNet.

    Args:
        spec: the images and classes; from 8x8 pixels upwards, any number of channels.
        block: :class:`BasicBlock` or :class:`Bottleneck`.
        depths: number of blocks in each of the four stages.
        dropout: share of the pooled features dropped before the head, in [0, 1).
        zero_init_residual: let every block start as its shortcut, with the last norm's scale at 0
            (Goyal et al. 2017, https://arxiv.org/abs/1706.02677).
        grad_checkpointing: in training keep only what enters each block and compute the rest again
            for the gradients: less memory, the same result, more time a step.

    Raises:
        ModelError: if the data is no image or smaller than 8x8.
        ConfigError: naming ``model.dropout``.
    """

    def __init__(
        self,
        spec: ImageSpec,
        block: type[BasicBlock] | type[Bottleneck],
        depths: Sequence[int],
        dropout: float,
        zero_init_residual: bool,
        grad_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        require_image("ResNet", spec, MIN_SIDE)
        report(not_fraction("model.dropout", dropout))
        self.grad_checkpointing = grad_checkpointing
        small = max(spec.height, spec.width) <= SMALL_STEM_SIDE
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(spec.channels, 64, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, padding=1)
        widen = block.expansion
        self.layer1 = _stage(block, depths[0], 64, 64, stride=1)
        self.layer2 = _stage(block, depths[1], 64 * widen, 128, stride=2)
        self.layer3 = _stage(block, depths[2], 128 * widen, 256, stride=2)
        self.layer4 = _stage(block, depths[3], 256 * widen, 512, stride=2)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(512 * widen, spec.num_classes)
        kaiming_init(self)
        if zero_init_residual:
            _zero_last_norms(self)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of float images ``[B, C, H, W]``."""
        y = self.maxpool(F.relu(self.bn1(self.conv1(x_BCHW))))
        again = self.grad_checkpointing and self.training and torch.is_grad_enabled()
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            y = _block_by_block(stage, y) if again else stage(y)
        y_BC = torch.mean(y, dim=(2, 3))
        logits: Tensor = self.head(self.dropout(y_BC))
        return logits


def _shortcut(fan_in: int, fan_out: int, stride: int) -> nn.Module:
    """Identity where the shape stays, else a strided 1x1 projection."""
    if fan_in == fan_out and stride == 1:
        return nn.Identity()
    projection = nn.Conv2d(fan_in, fan_out, 1, stride, bias=False)
    return nn.Sequential(projection, nn.BatchNorm2d(fan_out))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], depth: int, fan_in: int, width: int, stride: int
) -> nn.Sequential:
    """``depth`` blocks, of which the first takes the stride and the change of width."""
    fan_out = width * block.expansion
    rest = (block(fan_out, width, 1) for _ in range(depth - 1))
    return nn.Sequential(block(fan_in, width, stride), *rest)


def _block_by_block(stage: nn.Sequential, y: Tensor) -> Tensor:
    for block in stage:
        y = checkpointed(block, y)
    return y


def _zero_last_norms(net: nn.Module) -> None:
    for layer in net.modules():
        if isinstance(layer, BasicBlock | Bottleneck):
            nn.init.zeros_(layer.last_norm.weight)
