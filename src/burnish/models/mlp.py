"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from burnish.models.checks import require_image
from burnish.nn.checks import not_all_positive, not_fraction, report
from burnish.nn.init import kaiming_init
from burnish.spec import ImageSpec


class MLP(nn.Module):
    """Fully connected layers with ReLU and dropout on the flattened image.

    Args:
        spec: the images and classes; any size.
        sizes: width of each hidden layer; empty gives softmax regression.
        dropout: share of each hidden layer's activations dropped in training, in [0, 1).

    Raises:
        ModelError: if the data is no image.
        ConfigError: naming ``model.sizes`` or ``model.dropout``.
    """

    def __init__(
        self, spec: ImageSpec, *, sizes: Sequence[int] = (256, 128), dropout: float = 0.2
    ) -> None:
        super().__init__()
        require_image("MLP", spec)
        report(not_all_positive("model.sizes", sizes), not_fraction("model.dropout", dropout))
        widths = [spec.channels * spec.height * spec.width, *sizes]
        self.body = nn.Sequential(nn.Flatten())
        for fan_in, fan_out in pairwise(widths):
            self.body.extend([nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Dropout(dropout)])
        self.head = nn.Linear(widths[-1], spec.num_classes)
        kaiming_init(self)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of float images ``[B, C, H, W]``."""
        logits: Tensor = self.head(self.body(x_BCHW))
        return logits
