"""TrivialAugment: one random change an image, of random strength, and nothing to tune.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from burnish.data import pixel_ops, warp
from burnish.data.augment import Batch, Transform
from burnish.spec import ImageSpec

STEPS = 30  # strengths are multiples of 1/30 of the largest, zero included


def _signed(strength: Tensor, largest: float) -> Tensor:
    """Up to ``largest``, half of them negative."""
    sign = torch.randint(2, strength.shape, device=strength.device) * 2 - 1
    return strength * largest * sign


def _warped(row: int, column: int, largest: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Shear (from the upper left corner) or translation along one axis."""

    def change(images: Tensor, strength: Tensor) -> Tensor:
        amount = _signed(strength, largest)
        matrices = warp.identity(len(images), images.device)
        if column == 2:
            matrices[:, row, 2] = amount.trunc()
        else:
            height, width = images.shape[-2:]
            matrices[:, row, column] = amount
            matrices[:, row, 2] = amount * (height if column == 1 else width) / 2
        return warp.affine(images, matrices, mode="nearest")

    return change


def _rotated(images: Tensor, strength: Tensor) -> Tensor:
    return warp.affine(images, warp.rotation(_signed(strength, 135.0)), mode="nearest")


def _coloured(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda images, strength: change(images, 1 + _signed(strength, 0.99))


# The 14 changes of the "wide" space with their largest strengths (Müller & Hutter 2021, table 1).
CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "identity": lambda images, strength: images,
    "shear_x": _warped(row=0, column=1, largest=0.99),
    "shear_y": _warped(row=1, column=0, largest=0.99),
    "translate_x": _warped(row=0, column=2, largest=32.0),
    "translate_y": _warped(row=1, column=2, largest=32.0),
    "rotate": _rotated,
    "brightness": _coloured(pixel_ops.brightness),
    "saturation": _coloured(pixel_ops.saturation),
    "contrast": _coloured(pixel_ops.contrast),
    "sharpness": _coloured(pixel_ops.sharpness),
    "posterize": lambda images, strength: pixel_ops.posterize(images, 8 - (6 * strength).round()),
    "solarize": lambda images, strength: pixel_ops.solarize(images, 1 - strength),
    "autocontrast": lambda images, strength: pixel_ops.autocontrast(images),
    "equalize": lambda images, strength: pixel_ops.equalize(images),
}


class TrivialAugment(Transform):
    """Applies one of 14 changes to each image, with equal probability and uniform strength.

    TrivialAugment in its wide search space (Müller & Hutter 2021, "TrivialAugment: Tuning-free
    Yet State-of-the-Art Data Augmentation"). uint8 becomes float32 in [0, 1]. Translations are
    up to 32 pixels whatever the size, as in the paper.
    """

    def __call__(self, images: Tensor, labels: Tensor, spec: ImageSpec) -> Batch:
        """Change the images in groups that share a change; gives float32 in [0, 1]."""
        images = pixel_ops.to_float(images)
        device = images.device
        choice = torch.randint(len(CHANGES), (len(images),), device=device)
        strength = torch.randint(STEPS + 1, (len(images),), device=device) / STEPS
        changed = images.clone()
        for number, change in enumerate(CHANGES.values()):
            rows = torch.nonzero(choice == number).squeeze(1)
            if len(rows):
                changed[rows] = change(images[rows], strength[rows])
        return changed, labels
