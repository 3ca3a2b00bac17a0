from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from burnish.data.augment import Mixup, RandomCrop
from burnish.data.digits import Digits
from burnish.errors import ConfigError


@pytest.fixture(scope="module")
def digits() -> Digits:
    module = Digits()
    module.prepare_data()
    module.setup("fit")
    return module


def everything(loader: object) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*loader, strict=True)  # type: ignore[call-overload]
    return torch.cat(images), torch.cat(labels)


def test_splits_hold_every_image_once(digits: Digits) -> None:
    loaders = digits.train_dataloader(), digits.val_dataloader(), digits.test_dataloader()
    images, labels = zip(*map(everything, loaders), strict=True)
    source = load_digits()

    def rows(pixels: np.ndarray, target: np.ndarray) -> list[tuple[int, ...]]:
        flat = pixels.reshape(len(pixels), -1).astype(int)
        return sorted((int(t), *map(int, p)) for t, p in zip(target, flat, strict=True))

    scaled = np.floor(source.images / 16 * 255 + 0.5)
    found = rows(torch.cat(images).numpy(), torch.cat(labels).numpy())
    # One sample may be missing: the last training batch is dropped if it holds only one.
    assert len(source.target) - len(found) <= 1
    assert set(found) <= set(rows(scaled, source.target))


def test_describes_itself(digits: Digits) -> None:
    spec = digits.spec
    assert (spec.channels, spec.height, spec.width, spec.num_classes) == (1, 8, 8, 10)
    assert not spec.mirror
    assert digits.has_test
    assert digits.notes == []
    counts = digits.class_counts
    assert [sum(counts[name]) for name in ("train", "val", "test")] == [1294, 144, 359]
    assert np.sum(list(counts.values()), 0).tolist() == np.bincount(load_digits().target).tolist()


def test_measures_the_training_split_only(digits: Digits) -> None:
    module = Digits(batch_size=1)
    module.setup("fit")
    images, _ = everything(module.train_dataloader())
    assert len(images) == 1294
    scaled = images.double() / 255
    assert module.spec.mean[0] == pytest.approx(scaled.mean().item(), rel=1e-9)
    assert module.spec.std[0] == pytest.approx(scaled.std(correction=0).item(), rel=1e-9)
    normalised = module.preprocess(images)
    assert normalised.dtype == torch.float32
    assert normalised.mean().item() == pytest.approx(0, abs=1e-5)
    assert normalised.std().item() == pytest.approx(1, abs=1e-3)


def test_the_test_split_ignores_the_seed_and_validation_follows_it(digits: Digits) -> None:
    other = Digits(split_seed=1, shuffle_seed=9)
    other.setup("fit")
    ours, theirs = everything(digits.test_dataloader()), everything(other.test_dataloader())
    assert torch.equal(ours[0], theirs[0])
    assert digits.val_indices != other.val_indices
    assert digits.fingerprint == other.fingerprint


def test_limit_leaves_validation_and_test_alone(digits: Digits) -> None:
    small = Digits(limit=50)
    small.setup("fit")
    assert small.class_counts["train"] == [5] * 10
    assert small.val_indices == digits.val_indices
    assert small.class_counts["test"] == digits.class_counts["test"]


def test_setup_again_changes_nothing(digits: Digits) -> None:
    spec, splits = digits.spec, digits.splits
    digits.prepare_data()
    digits.setup("test")
    assert digits.spec is spec
    assert digits.splits is splits


def test_names_every_bad_argument_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Digits(val_fraction=1.0, batch_size=0, split_seed="x", mean=[0.5], image_size=0)
    keys = {problem.split(":")[0] for problem in caught.value.problems}
    expected = {"val_fraction", "batch_size", "split_seed", "mean", "image_size"}
    assert keys == {f"data.{key}" for key in expected}


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"limit": 9}, "data.limit"),
        ({"val_fraction": 1e-5}, "data.val_fraction"),
        ({"mean": [0.1, 0.2], "std": [1, 1]}, "data.mean"),
    ],
)
def test_refuses_what_only_the_data_shows(arguments: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=f"^{key}"):
        Digits(**arguments).setup("fit")


class _Stage:
    """What the hooks read of a trainer."""

    def __init__(self, training: bool) -> None:
        self.training = training


def test_augments_in_training_only() -> None:
    module = Digits(image_size=12, augment=[RandomCrop(2), Mixup(1.0)])
    module.setup("fit")
    batch = next(iter(module.val_dataloader()))
    plain = module.preprocess(batch[0])
    assert plain.shape[1:] == (1, 12, 12)

    module.trainer = _Stage(training=False)  # type: ignore[assignment]
    images, labels = module.on_after_batch_transfer(batch, 0)
    assert torch.equal(images, plain)
    assert labels is batch[1]

    module.trainer = _Stage(training=True)  # type: ignore[assignment]
    torch.manual_seed(0)
    images, labels = module.on_after_batch_transfer(batch, 0)
    assert images.shape == plain.shape
    assert not torch.equal(images, plain)
    assert labels.shape == (len(batch[1]), 10)
    torch.manual_seed(0)
    again, _ = module.on_after_batch_transfer(batch, 0)
    assert torch.equal(images, again)


def test_a_batch_on_its_device_is_returned_as_it_is(digits: Digits) -> None:
    batch = next(iter(digits.val_dataloader()))
    assert digits.transfer_batch_to_device(batch, torch.device("cpu"), 0) is batch
    moved = digits.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert [part.device.type for part in moved] == ["meta", "meta"]
