"""Changes of colour, a strength for each sample of a batch.

Images are float32 in [0, 1]. Shapes: B batch, C channels (1 or 3), H height, W width; strengths
are ``[B]``. What needs colour leaves grey images as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# ITU-R BT.601, as Pillow and torchvision turn colour to grey.
GREY_WEIGHTS = (0.2989, 0.587, 0.114)


def to_float(images: Tensor) -> Tensor:
    """uint8 in [0, 255] to float32 in [0, 1]; float images as they are."""
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def to_uint8(images: Tensor) -> Tensor:
    """float32 in [0, 1] to the nearest uint8."""
    return images.mul(255).round_().clamp_(0, 255).to(torch.uint8)


def grey(images: Tensor) -> Tensor:
    """Luminance ``[B, 1, H, W]``."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(GREY_WEIGHTS, device=images.device).view(-1, 1, 1)
    return (images * weights).sum(1, keepdim=True)


def blend(images: Tensor, others: Tensor | float, share: Tensor) -> Tensor:
    """``share * images + (1 - share) * others``, clamped; a share above 1 moves away."""
    share_B111 = share.view(-1, 1, 1, 1)
    return (share_B111 * images + (1 - share_B111) * others).clamp_(0, 1)


def brightness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is black, 1 the image, 2 twice as bright."""
    return blend(images, 0.0, factor)


def contrast(images: Tensor, factor: Tensor) -> Tensor:
    """0 is the image's mean grey, 1 the image."""
    return blend(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def saturation(images: Tensor, factor: Tensor) -> Tensor:
    """0 is grey, 1 the image."""
    return images if images.shape[1] == 1 else blend(images, grey(images), factor)


def sharpness(images: Tensor, factor: Tensor) -> Tensor:
    """0 is the image smoothed by a 3x3 kernel (the border kept), 1 the image."""
    channels = images.shape[1]
    if min(images.shape[-2:]) < 3:
        return images
    kernel = torch.ones(channels, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5.0
    smooth = images.clone()
    smooth[:, :, 1:-1, 1:-1] = F.conv2d(images, kernel / 13, groups=channels)
    return blend(images, smooth, factor)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Rotate the hue by a share of the circle, in [-0.5, 0.5]; value and saturation stay.

    Back from hue h, saturation s and value v, each channel is ``v - v s max(0, min(k, 4-k, 1))``
    with ``k = (n + 6 h) mod 6`` and n = 5, 3, 1 for red, green, blue.
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    value, _ = images.max(1)
    chroma = value - images.amin(1)
    safe = torch.where(chroma == 0, 1.0, chroma)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    offsets = torch.tensor([5.0, 3.0, 1.0], device=images.device).view(1, 3, 1, 1)
    k = (offsets + (sixth + 6 * turn.view(-1, 1, 1)).unsqueeze(1)) % 6
    falls = torch.minimum(k, 4 - k).clamp_(0, 1)
    return (value.unsqueeze(1) - chroma.unsqueeze(1) * falls).clamp_(0, 1)


def posterize(images: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper bits (integers from 1 to 8) of the 8 of each value."""
    mask = (255 << (8 - bits.long())) & 255
    return to_float(to_uint8(images) & mask.to(torch.uint8).view(-1, 1, 1, 1))


def solarize(images: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at least as bright as the threshold in [0, 1]."""
    return torch.where(images >= threshold.view(-1, 1, 1, 1), 1 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Stretch every channel to the range [0, 1]; a channel of one value stays."""
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    stretched = (images - low) / (high - low)
    return torch.where(high == low, images, stretched).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Spread the values of every channel evenly, by its histogram over 256 values.

    As in Pillow: with ``step = (pixels - pixels of the brightest value) // 255``, a value maps
    to ``(pixels darker than it + step // 2) // step``; a channel whose step is 0 stays.
    """
    values = to_uint8(images).flatten(2).flatten(0, 1).long()
    histogram = torch.zeros(len(values), 256, dtype=torch.long, device=images.device)
    histogram.scatter_add_(1, values, torch.ones_like(values))
    brightest = histogram.gather(1, values.amax(1, keepdim=True))
    step = (values.shape[1] - brightest) // 255
    darker = histogram.cumsum(1) - histogram
    table = ((darker + step // 2) // step.clamp(min=1)).clamp_(max=255)
    spread = torch.where(step == 0, values, table.gather(1, values))
    return spread.view_as(images).float() / 255
