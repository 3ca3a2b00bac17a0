from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

from burnish.data import pixel_ops, warp
from burnish.data.augment import (
    ColorJitter,
    CutMix,
    Mixup,
    RandomCrop,
    RandomHorizontalFlip,
    RandomRotation,
    Transform,
)
from burnish.data.trivial import TrivialAugment
from burnish.errors import ConfigError
from burnish.spec import ImageSpec

SPEC = ImageSpec(3, 12, 10, tuple("abcd"), (0.5,) * 3, (0.2,) * 3)
GREY = ImageSpec(1, 12, 10, tuple("abcd"), (0.5,), (0.2,), mirror=False)
IMAGES = torch.randint(0, 256, (40, 3, 12, 10), dtype=torch.uint8, generator=torch.manual_seed(1))
LABELS = torch.arange(40) % 4
ALL: list[Transform] = [
    RandomCrop(3),
    RandomHorizontalFlip(),
    ColorJitter(0.4, 0.4, 0.4, 0.1),
    RandomRotation(20),
    TrivialAugment(),
    Mixup(0.4),
    CutMix(),
]


def name(value: object) -> str:
    return type(value).__name__


def contains(candidates: Tensor, image: Tensor) -> bool:
    return bool((candidates == image).flatten(1).all(1).any())


@pytest.mark.parametrize("transform", ALL, ids=name)
@pytest.mark.parametrize("spec", [SPEC, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_contract(transform: Transform, spec: ImageSpec, dtype: torch.dtype) -> None:
    images = IMAGES[:, : spec.channels]
    images = images if dtype == torch.uint8 else images / 255
    before = images.clone()
    torch.manual_seed(7)
    changed, labels = transform(images, LABELS, spec)
    torch.manual_seed(7)
    again, labels_again = transform(images, LABELS, spec)
    assert torch.equal(changed, again)
    assert torch.equal(labels, labels_again)
    other, _ = transform(images, LABELS, spec)
    if not (isinstance(transform, RandomHorizontalFlip) and not spec.mirror):
        assert not torch.equal(changed, other)
    assert torch.equal(images, before)
    assert changed.shape == images.shape
    keeps = isinstance(transform, RandomCrop | RandomHorizontalFlip | CutMix)
    assert changed.dtype == (dtype if keeps else torch.float32)
    assert changed.min() >= 0
    assert changed.max() <= (255 if changed.dtype == torch.uint8 else 1)
    assert labels.shape in ((40,), (40, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crops_are_windows_of_the_padded_image(dtype: torch.dtype) -> None:
    images = IMAGES.to(dtype)
    torch.manual_seed(0)
    cropped, _ = RandomCrop(2)(images, LABELS, SPEC)
    places = set()
    for image, crop in zip(images, cropped, strict=True):
        padded = TF.pad(image, [2])
        windows = {
            (top, left): TF.crop(padded, top, left, 12, 10) for top in range(5) for left in range(5)
        }
        found = [place for place, window in windows.items() if torch.equal(window, crop)]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 12  # of 25, drawn 40 times: each image has its own


def test_every_crop_is_equally_likely() -> None:
    marker = torch.zeros(9000, 1, 3, 3, dtype=torch.uint8)
    marker[:, 0, 1, 1] = 1
    torch.manual_seed(0)
    cropped, _ = RandomCrop(1)(marker, LABELS, GREY)
    counts = cropped.sum((0, 1)).flatten()
    assert counts.sum() == 9000
    assert ((counts - 1000).abs() < 150).all()  # 5 standard deviations


def test_flips_half_of_the_images_where_the_spec_allows() -> None:
    torch.manual_seed(0)
    flipped, _ = RandomHorizontalFlip()(IMAGES, LABELS, SPEC)
    mirrored = TF.horizontal_flip(IMAGES)
    is_flipped = (flipped == mirrored).flatten(1).all(1)
    is_kept = (flipped == IMAGES).flatten(1).all(1)
    assert (is_flipped ^ is_kept).all()
    assert 10 <= is_flipped.sum() <= 30
    grey = IMAGES[:, :1]
    assert torch.equal(RandomHorizontalFlip()(grey, LABELS, GREY)[0], grey)
    assert torch.equal(RandomHorizontalFlip(1.0)(grey, LABELS, GREY)[0], grey.flip(-1))


@pytest.mark.parametrize(
    ("ours", "theirs", "values"),
    [
        (pixel_ops.brightness, TF.adjust_brightness, [0.0, 0.5, 1.0, 1.7]),
        (pixel_ops.contrast, TF.adjust_contrast, [0.0, 0.5, 1.0, 1.7]),
        (pixel_ops.saturation, TF.adjust_saturation, [0.0, 0.5, 1.0, 1.7]),
        (pixel_ops.sharpness, TF.adjust_sharpness, [0.0, 0.5, 1.0, 1.7]),
        (pixel_ops.hue, TF.adjust_hue, [-0.5, -0.1, 0.0, 0.3]),
        (pixel_ops.solarize, TF.solarize, [0.0, 0.3, 0.8, 1.0]),
    ],
    ids=["brightness", "contrast", "saturation", "sharpness", "hue", "solarize"],
)
def test_colour_changes_equal_torchvision_per_image(
    ours: object, theirs: object, values: list[float]
) -> None:
    images = pixel_ops.to_float(torch.cat([IMAGES[:3], torch.full((1, 3, 12, 10), 90).byte()]))
    changed = ours(images, torch.tensor(values))  # type: ignore[operator]
    for image, value, found in zip(images, values, changed, strict=True):
        torch.testing.assert_close(found, theirs(image, value))  # type: ignore[operator]


def test_uint8_changes_equal_torchvision_exactly() -> None:
    images = IMAGES.clone()
    images[1] = 77  # one value only
    images[2, :, :8] = 10  # most pixels equal
    wide = torch.randint(30, 99, (3, 3, 40, 40), generator=torch.manual_seed(2)).byte()
    for batch in (images, wide):
        floats = pixel_ops.to_float(batch)
        equalized = pixel_ops.to_uint8(pixel_ops.equalize(floats))
        assert torch.equal(equalized, torch.stack([TF.equalize(image) for image in batch]))
        stretched = pixel_ops.autocontrast(floats)
        expected = torch.stack([TF.autocontrast(image) for image in floats])
        torch.testing.assert_close(stretched, expected)
        for bits in range(2, 9):
            poster = pixel_ops.posterize(floats, torch.full((len(batch),), float(bits)))
            assert torch.equal(pixel_ops.to_uint8(poster), TF.posterize(batch, bits))


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_rotation_equals_torchvision(mode: str) -> None:
    degrees = torch.tensor([0.0, 10.0, -33.0, 90.0])
    images = pixel_ops.to_float(IMAGES[:4])
    turned = warp.affine(images, warp.rotation(degrees), mode)
    for image, angle, found in zip(images, degrees.tolist(), turned, strict=True):
        expected = TF.rotate(image, angle, interpolation=v2.InterpolationMode(mode))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_jitter_draws_a_factor_for_each_image_from_its_range() -> None:
    images = torch.full((500, 3, 2, 2), 0.5)
    torch.manual_seed(0)
    changed, _ = ColorJitter(brightness=0.4)(images, LABELS, SPEC)
    factors = changed[:, 0, 0, 0] / 0.5
    assert factors.min() == pytest.approx(0.6, abs=0.01)
    assert factors.max() == pytest.approx(1.4, abs=0.01)
    assert len(factors.unique()) > 450
    assert torch.equal(changed, changed[:, :1, :1, :1].expand_as(changed))


def test_mixup_weights_labels_as_it_weights_images() -> None:
    labels = torch.arange(40)
    spec = ImageSpec(1, 1, 1, tuple(map(str, range(40))), (0.5,), (0.2,))
    images = (torch.arange(40) / 40).view(-1, 1, 1, 1)
    torch.manual_seed(0)
    mixed, soft = Mixup(0.5)(images, labels, spec)
    torch.testing.assert_close(soft.sum(1), torch.ones(40))
    torch.testing.assert_close(mixed.flatten(), soft @ images.flatten())
    assert ((soft > 0).sum(1) <= 2).all()
    own = soft[torch.arange(40), labels]
    assert len(own.unique()) > 20


def test_cutmix_weights_labels_by_pixels() -> None:
    labels = torch.arange(40)
    spec = ImageSpec(1, 20, 30, tuple(map(str, range(40))), (0.5,), (0.2,))
    images = labels.to(torch.uint8).view(-1, 1, 1, 1).expand(40, 1, 20, 30)
    torch.manual_seed(0)
    mixed, soft = CutMix()(images, labels, spec)
    for image, target in zip(mixed, soft, strict=True):
        share = torch.bincount(image.flatten(), minlength=40) / image.numel()
        torch.testing.assert_close(share, target, atol=1e-6, rtol=0)
    foreign = [image != label for image, label in zip(mixed, labels, strict=True)]
    for box in (box[0] for box in foreign if box.any()):
        rows, columns = box.any(1).sum(), box.any(0).sum()
        assert rows * columns == box.sum()  # a full rectangle


def test_mixing_keeps_the_mean_share_of_beta() -> None:
    images, labels = torch.zeros(4000, 1, 2, 2), torch.arange(4000) % 2
    spec = ImageSpec(1, 2, 2, ("a", "b"), (0.5,), (0.2,))
    torch.manual_seed(0)
    _, soft = Mixup(1.0)(images, labels, spec)
    own = soft[torch.arange(4000), labels]
    own = own[own < 1]  # partners of the other class: the share itself, uniform for alpha = 1
    assert own.mean() == pytest.approx(0.5, abs=0.03)
    assert own.std() == pytest.approx(12**-0.5, abs=0.02)


def test_mixes_compose() -> None:
    images, soft = Mixup()(IMAGES, LABELS, SPEC)
    images, softer = CutMix()(images, soft, SPEC)
    torch.testing.assert_close(softer.sum(1), torch.ones(40))


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: RandomCrop(-1), "augment.crop.padding"),
        (lambda: RandomHorizontalFlip(1.5), "augment.flip.p"),
        (lambda: ColorJitter(brightness=-1), "augment.jitter.brightness"),
        (lambda: ColorJitter(hue=0.6), "augment.jitter.hue"),
        (lambda: RandomRotation(-1), "augment.rotation.degrees"),
        (lambda: Mixup(0), "augment.mixup.alpha"),
        (lambda: CutMix(0), "augment.cutmix.alpha"),
    ],
)
def test_bad_arguments_are_named(make: object, key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}"):
        make()  # type: ignore[operator]
