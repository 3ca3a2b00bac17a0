from __future__ import annotations

import torch
from torchvision.transforms import v2

from burnish.data.normalise import Normaliser, measure, resize

IMAGES = torch.randint(0, 256, (5, 3, 9, 7), dtype=torch.uint8, generator=torch.manual_seed(0))


def test_normalises_like_torchvision() -> None:
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    expected = v2.functional.normalize(IMAGES / 255, mean, std)
    normalise = Normaliser(mean, std)
    torch.testing.assert_close(normalise(IMAGES), expected)
    floats = IMAGES / 255
    untouched = floats.clone()
    torch.testing.assert_close(normalise(floats), expected)
    assert torch.equal(floats, untouched)


def test_measures_exactly_whatever_the_batches() -> None:
    mean, std = measure(IMAGES.split(2))
    scaled = IMAGES.double() / 255
    torch.testing.assert_close(
        torch.tensor(mean).double(), scaled.mean((0, 2, 3)), rtol=1e-6, atol=0
    )
    expected = scaled.std((0, 2, 3), correction=0)
    torch.testing.assert_close(torch.tensor(std).double(), expected, rtol=1e-6, atol=0)


def test_a_constant_channel_has_deviation_one() -> None:
    assert measure([torch.full((2, 1, 3, 3), 51, dtype=torch.uint8)]) == ((0.2,), (1.0,))


def test_resizes_like_torchvision() -> None:
    expected = v2.functional.resize(IMAGES.float(), [14, 14], antialias=True)
    resized = resize(IMAGES, 14, 14)
    assert resized.dtype == torch.uint8
    assert torch.equal(resized, expected.round().to(torch.uint8))
    assert resize(IMAGES, 9, 7) is IMAGES
