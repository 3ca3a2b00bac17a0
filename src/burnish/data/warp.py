"""Rotation, shear and translation of a batch, one matrix a sample.

Shapes: B batch, C channels, H height, W width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def affine(images: Tensor, matrices: Tensor, mode: str = "bilinear") -> Tensor:
    """Sample each image at ``matrix @ (x, y, 1)``; zeros outside.

    Args:
        images: float32 ``[B, C, H, W]``.
        matrices: from the result's pixels to the image's, both counted from the centre, x to the
            right and y downwards, float32 ``[B, 2, 3]``.
        mode: ``bilinear`` or ``nearest``.
    """
    height, width = images.shape[-2:]
    half = torch.tensor([width / 2, height / 2], device=images.device)
    x = torch.arange(width, device=images.device) + 0.5 - half[0]
    y = torch.arange(height, device=images.device) + 0.5 - half[1]
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    points = torch.stack([grid_x, grid_y, torch.ones_like(grid_x)], dim=-1).view(1, -1, 3)
    grid = (points @ (matrices / half.view(2, 1)).transpose(1, 2)).view(-1, height, width, 2)
    return F.grid_sample(images, grid, mode=mode, padding_mode="zeros", align_corners=False)


def rotation(degrees: Tensor) -> Tensor:
    """Matrices that turn the picture counter-clockwise, ``[B, 2, 3]`` from ``[B]``."""
    angle = torch.deg2rad(degrees)
    sine, cosine, zero = angle.sin(), angle.cos(), torch.zeros_like(angle)
    rows = [torch.stack([cosine, -sine, zero], -1), torch.stack([sine, cosine, zero], -1)]
    return torch.stack(rows, 1)


def identity(batch: int, device: torch.device) -> Tensor:
    """Matrices that change nothing, ``[B, 2, 3]``, to be filled in by the caller."""
    return torch.eye(2, 3, device=device).repeat(batch, 1, 1)
