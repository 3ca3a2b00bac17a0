"""Random changes of whole training batches, on their device, drawn anew for each sample.

A transform is called with images uint8 or float32 in [0, 1] ``[B, C, H, W]`` and labels int64
``[B]`` or float32 ``[B, K]``, and returns both. All randomness comes from torch's global
generator of the batch's device: the same seed gives the same batches.
Shapes: B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from burnish.data import pixel_ops, warp
from burnish.errors import ConfigError
from burnish.spec import ImageSpec

Batch = tuple[Tensor, Tensor]


class Transform(ABC):
    """One random change of a batch."""

    @abstractmethod
    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Change a batch; never in place."""


class RandomCrop(Transform):
    """Pads with zeros, then cuts a window of the old size at a random place.

    Args:
        padding: pixels on each side.
    """

    def __init__(self, padding: int = 4) -> None:
        if padding < 0:
            raise ConfigError(f"augment.crop.padding: must be at least 0, found {padding}")
        self.padding = padding

    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Crop; keeps dtype and size."""
        batch, channels, height, width = images.shape
        device = images.device
        top, left = torch.randint(2 * self.padding + 1, (2, batch, 1, 1), device=device)
        padded = F.pad(images, [self.padding] * 4)
        # Every row of every window is one of the runs of ``width`` neighbouring values; a whole
        # row is copied at a time, 3 times as fast on a CPU as indexing windows of two dimensions.
        runs = padded.flatten().unfold(0, width, 1)
        plane = torch.arange(batch * channels, device=device).view(batch, channels, 1)
        row = plane * padded.shape[2] + top + torch.arange(height, device=device)
        starts = row * padded.shape[3] + left
        return runs.index_select(0, starts.flatten()).view_as(images), labels


class RandomHorizontalFlip(Transform):
    """Mirrors left and right.

    Args:
        p: probability; None: 0.5 if a mirrored image still shows its class, else 0.
    """

    def __init__(self, p: float | None = None) -> None:
        if p is not None and not 0 <= p <= 1:
            raise ConfigError(f"augment.flip.p: must lie between 0 and 1, found {p}")
        self.p = p

    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Flip; keeps the dtype."""
        p = self.p if self.p is not None else 0.5 * spec.mirror
        if p == 0:
            return images, labels
        chosen = torch.rand(len(images), device=images.device) < p
        # Choosing whole images from both kinds: 5 times as fast on a CPU as torch.where.
        both = torch.cat([images, images.flip(-1)])
        rows = torch.arange(len(images), device=images.device) + len(images) * chosen
        return both.index_select(0, rows), labels


class ColorJitter(Transform):
    """Changes brightness, contrast, saturation and hue, in an order drawn once a batch.

    Factors are drawn for each sample from ``[max(0, 1 - strength), 1 + strength]``; the hue turns
    by a share of the circle from ``[-hue, hue]``. Saturation and hue do nothing to grey images.
    uint8 becomes float32 in [0, 1].

    Args:
        brightness: strength, at least 0.
        contrast: strength, at least 0.
        saturation: strength, at least 0.
        hue: at most half the circle, in [0, 0.5].
    """

    def __init__(
        self,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
    ) -> None:
        strengths = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        problems = [
            f"augment.jitter.{key}: must be at least 0, found {value}"
            for key, value in strengths.items()
            if value < 0
        ]
        if not 0 <= hue <= 0.5:
            problems.append(f"augment.jitter.hue: must lie between 0 and 0.5, found {hue}")
        if problems:
            raise ConfigError(problems)
        # Each change with the range that its strength is drawn from.
        self._changes = [
            (getattr(pixel_ops, key), max(0.0, 1 - value), 1 + value)
            for key, value in strengths.items()
            if value > 0
        ]
        if hue > 0:
            self._changes.append((pixel_ops.hue, -hue, hue))

    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Jitter; gives float32 in [0, 1]."""
        images = pixel_ops.to_float(images)
        for which in torch.randperm(len(self._changes)).tolist():
            change, low, high = self._changes[which]
            strength = torch.empty(len(images), device=images.device).uniform_(low, high)
            images = change(images, strength)
        return images, labels


class RandomRotation(Transform):
    """Turns around the centre, bilinear, with zeros outside; uint8 becomes float32 in [0, 1].

    Args:
        degrees: angles are drawn from ``[-degrees, degrees]``.
    """

    def __init__(self, degrees: float = 10.0) -> None:
        if not 0 <= degrees <= 180:
            raise ConfigError(
                f"augment.rotation.degrees: must lie between 0 and 180, found {degrees}"
            )
        self.degrees = degrees

    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Rotate; gives float32 in [0, 1]."""
        angles = torch.empty(len(images), device=images.device)
        angles.uniform_(-self.degrees, self.degrees)
        return warp.affine(pixel_ops.to_float(images), warp.rotation(angles)), labels


class Mixup(Transform):
    """Blends every image and its label with another of the batch (Zhang et al. 2018).

    ``share * x + (1 - share) * x'`` with the share drawn for each sample from Beta(alpha, alpha).

    Args:
        alpha: greater than 0; the smaller, the nearer the shares are to 0 or 1.
    """

    def __init__(self, alpha: float = 0.2) -> None:
        if alpha <= 0:
            raise ConfigError(f"augment.mixup.alpha: must be greater than 0, found {alpha}")
        self.alpha = alpha

    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Mix; gives float32 images in [0, 1] and float32 labels ``[B, K]``."""
        partner = torch.randperm(len(images), device=images.device)
        share = _beta(self.alpha, len(images), images.device)
        images = pixel_ops.to_float(images)
        mixed = torch.lerp(images[partner], images, share.view(-1, 1, 1, 1))
        return mixed, _mixed_labels(labels, partner, share, spec.num_classes)


class CutMix(Transform):
    """Replaces a box of every image by that of another of the batch (Yun et al. 2019).

    The box keeps the image's proportions, covers ``1 - share`` of it before it is clipped at the
    border, and its centre lies anywhere; labels are weighted by the pixels that remain.

    Args:
        alpha: shares are drawn from Beta(alpha, alpha); greater than 0.
    """

    def __init__(self, alpha: float = 1.0) -> None:
        if alpha <= 0:
            raise ConfigError(f"augment.cutmix.alpha: must be greater than 0, found {alpha}")
        self.alpha = alpha

    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Mix; keeps the images' dtype, gives float32 labels ``[B, K]``."""
        batch, _, height, width = images.shape
        partner = torch.randperm(batch, device=images.device)
        side = (1 - _beta(self.alpha, batch, images.device)).sqrt()
        inside_B1H1 = _span(side, height).view(batch, 1, height, 1)
        inside_B11W = _span(side, width).view(batch, 1, 1, width)
        box = inside_B1H1 & inside_B11W
        share = 1 - box.float().mean((1, 2, 3))
        mixed = torch.where(box, images[partner], images)
        return mixed, _mixed_labels(labels, partner, share, spec.num_classes)


def _beta(alpha: float, batch: int, device: torch.device) -> Tensor:
    parameter = torch.tensor(alpha, device=device)
    return torch.distributions.Beta(parameter, parameter).sample((batch,))


def _span(share: Tensor, length: int) -> Tensor:
    """A random stretch covering a share of ``length`` pixels, bool ``[B, length]``."""
    centre = torch.randint(length, share.shape, device=share.device)
    half = (share * length / 2).floor()
    pixels = torch.arange(length, device=share.device)
    start, end = (centre - half).unsqueeze(1), (centre + half).unsqueeze(1)
    return (pixels >= start) & (pixels < end)


def _mixed_labels(labels: Tensor, partner: Tensor, share: Tensor, num_classes: int) -> Tensor:
    soft = F.one_hot(labels, num_classes).float() if labels.dim() == 1 else labels
    return torch.lerp(soft[partner], soft, share.unsqueeze(1))
