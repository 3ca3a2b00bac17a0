"""Overlays keep the image visible, put the colour where the heat is, and mark tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from burnish.report.overlays import marked, overlaid


def saturation(image: np.ndarray) -> np.ndarray:
    return image.max(0).astype(int) - image.min(0)


def test_no_heat_leaves_the_image_in_grey():
    grey = np.random.default_rng(0).integers(0, 256, (1, 9, 7), dtype=np.uint8)
    np.testing.assert_array_equal(overlaid(grey, np.zeros((3, 3))), np.repeat(grey, 3, axis=0))
    assert overlaid(np.zeros((3, 5, 4), np.uint8), np.ones((1, 1))).shape == (3, 5, 4)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_hottest_corner_is_the_brightest_whatever_the_scale(scale):
    heat = torch.zeros(4, 4)
    heat[3, 0] = scale
    shown = overlaid(torch.full((3, 32, 32), 128, dtype=torch.uint8), heat)
    assert shown.dtype == np.uint8
    total = shown.astype(int).sum(0)
    y, x = np.unravel_index(total.argmax(), total.shape)
    assert y >= 26
    assert x <= 5
    # Pale yellow there; elsewhere grey as it was, halved.
    assert saturation(shown)[31, 0] > 40
    assert saturation(shown)[:16, 16:].max() <= 3
    assert abs(int(shown[0, 0, 31]) - 64) <= 1


def test_enlarging_is_bilinear():
    shown = overlaid(np.zeros((1, 1, 8), np.uint8), [[0.0, 1.0]])
    brightness = shown.astype(int).sum(0)[0]
    assert (np.diff(brightness) >= 0).all()
    assert (np.diff(brightness[1:7]) > 0).all()


def test_the_image_stays_visible():
    image = np.zeros((3, 16, 16), np.uint8)
    image[:, ::2] = 255
    shown = overlaid(image, np.ones((2, 2))).astype(int)
    assert (shown[:, ::2] - shown[:, 1::2] > 100).all()


def test_tokens_are_marked_by_their_share_of_the_largest():
    assert marked(["好", "不", "。"], torch.tensor([1.0, -4.0, 0.0, 9.0])) == [
        ("好", 0.25),
        ("不", -1.0),
        ("。", 0.0),
    ]
    assert marked(["a"], [0.0]) == [("a", 0.0)]
    assert marked([], [0.0, 0.0]) == []
