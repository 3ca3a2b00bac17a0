"""Small convolutional nets that train in minutes without a GPU.

Shape suffixes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from burnish.models.checks import require_image
from burnish.nn.checks import not_fraction, not_positive, report
from burnish.nn.init import kaiming_init
from burnish.spec import ImageSpec

MIN_SIDE = 8  # both nets halve the image three times
MAX_GRID = 4  # sides of the grid handed to the classifier: 32 px images arrive at it unpooled


class SimpleCNN(nn.Module):
    """Three 3x3 convolutions (16, 32, 64 channels) with ReLU and max pooling, then a classifier.

    Args:
        spec: the images and classes; from 8x8 pixels upwards.
        hidden: width of the hidden layer of the classifier.
        dropout: share of the hidden layer dropped in training, in [0, 1).

    Raises:
        ModelError: if the data is no image or smaller than 8x8.
        ConfigError: naming ``model.hidden`` or ``model.dropout``.
    """

    def __init__(self, spec: ImageSpec, *, hidden: int = 512, dropout: float = 0.5) -> None:
        super().__init__()
        require_image("SimpleCNN", spec, MIN_SIDE)
        report(not_positive("model.hidden", hidden), not_fraction("model.dropout", dropout))
        self.features = nn.Sequential()
        widths = [spec.channels, 16, 32, 64]
        for fan_in, fan_out in pairwise(widths):
            self.features.extend(
                [nn.Conv2d(fan_in, fan_out, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            )
        self.classifier = _classifier(spec, widths[-1], hidden, dropout)
        self.head = nn.Linear(hidden, spec.num_classes)
        kaiming_init(self)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of float images ``[B, C, H, W]``."""
        logits: Tensor = self.head(self.classifier(self.features(x_BCHW)))
        return logits


class CIFAR10Net(nn.Module):
    """Three blocks of two normalised 3x3 convolutions (32, 64, 128 channels), then a classifier.

    Args:
        spec: the images and classes; from 8x8 pixels upwards.
        hidden: width of the hidden layer of the classifier.
        block_dropout: share of whole channels dropped after each block, in [0, 1)
            (Tompson et al. 2015, https://arxiv.org/abs/1411.4280).
        dropout: share of the hidden layer dropped in training, in [0, 1).

    Raises:
        ModelError: if the data is no image or smaller than 8x8.
        ConfigError: naming the argument under ``model.``.
    """

    def __init__(
        self,
        spec: ImageSpec,
        *,
        hidden: int = 256,
        block_dropout: float = 0.1,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        require_image("CIFAR10Net", spec, MIN_SIDE)
        report(
            not_positive("model.hidden", hidden),
            not_fraction("model.block_dropout", block_dropout),
            not_fraction("model.dropout", dropout),
        )
        widths = [spec.channels, 32, 64, 128]
        self.features = nn.Sequential(
            *(_double_conv(fan_in, fan_out, block_dropout) for fan_in, fan_out in pairwise(widths))
        )
        self.classifier = _classifier(spec, widths[-1], hidden, dropout)
        self.head = nn.Linear(hidden, spec.num_classes)
        kaiming_init(self)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of float images ``[B, C, H, W]``."""
        logits: Tensor = self.head(self.classifier(self.features(x_BCHW)))
        return logits


def _double_conv(fan_in: int, fan_out: int, dropout: float) -> nn.Sequential:
    """Two convolutions with batch norm and ReLU; halves height and width."""
    return nn.Sequential(
        nn.Conv2d(fan_in, fan_out, 3, padding=1, bias=False),  # the norm brings the bias
        nn.BatchNorm2d(fan_out),
        nn.ReLU(),
        nn.Conv2d(fan_out, fan_out, 3, padding=1, bias=False),
        nn.BatchNorm2d(fan_out),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout2d(dropout),
    )


def _classifier(spec: ImageSpec, channels: int, hidden: int, dropout: float) -> nn.Sequential:
    """From feature maps an eighth of the image's size to ``[B, hidden]``.

    Large maps are averaged to at most 4x4 first, so that the hidden layer's weights do not grow
    with the image.
    """
    rows, columns = (min(MAX_GRID, side // 8) for side in (spec.height, spec.width))
    return nn.Sequential(
        nn.AdaptiveAvgPool2d((rows, columns)),
        nn.Flatten(),
        nn.Linear(channels * rows * columns, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
