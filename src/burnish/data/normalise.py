"""From uint8 images to what a net receives.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class Normaliser:
    """Scales pixels to [0, 1], subtracts the mean and divides by the deviation, per channel.

    Both are one multiplication and one addition, ``x * scale + shift``, in place on the fresh
    float copy.

    Args:
        mean: per channel, of pixels in [0, 1].
        std: per channel, of pixels in [0, 1], greater than 0.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        mean_C11 = torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1)
        std_C11 = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
        self._shift = (-mean_C11 / std_C11).float()
        self._scale = {
            torch.uint8: (1 / (255 * std_C11)).float(),
            torch.float32: (1 / std_C11).float(),
        }

    def __call__(self, images: Tensor) -> Tensor:
        """Normalise a batch.

        Args:
            images: uint8 in [0, 255] or float32 in [0, 1], ``[B, C, H, W]``.

        Returns:
            float32 ``[B, C, H, W]``.
        """
        if self._shift.device != images.device:
            self._shift = self._shift.to(images.device)
            self._scale = {kind: t.to(images.device) for kind, t in self._scale.items()}
        scale = self._scale[images.dtype]
        # Converted first: multiplying uint8 by float32 in one call is 17 times slower on a CPU.
        return images.to(torch.float32, copy=True).mul_(scale).add_(self._shift)


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Resize a uint8 batch with antialiasing, rounded to uint8 again; itself if it fits."""
    if images.shape[-2:] == (height, width):
        return images
    resized = F.interpolate(images.float(), (height, width), mode="bilinear", antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def measure(batches: Iterable[Tensor]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Exact mean and standard deviation per channel, of pixels in [0, 1].

    Counted over the 256 possible values, so that no rounding builds up over large data sets. A
    channel that never changes gets the deviation 1.

    Args:
        batches: uint8 ``[B, C, H, W]``.
    """
    counts = torch.stack([_histogram(batch) for batch in batches]).sum(0).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    share = counts / counts.sum(1, keepdim=True)
    mean = share @ values
    variance = (share * (values - mean.unsqueeze(1)) ** 2).sum(1)
    std = variance.sqrt()
    std[std == 0] = 1.0
    return tuple(mean.tolist()), tuple(std.tolist())


def _histogram(images: Tensor) -> Tensor:
    channels = images.transpose(0, 1).flatten(1)
    return torch.stack([torch.bincount(channel, minlength=256) for channel in channels])
