"""Modules of equal configuration share what was read, and nothing that a training changes."""

from __future__ import annotations

import contextvars
import gc
import weakref
from collections import Counter
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor

import tiny
from burnish.build import build_data
from burnish.commands.train import train
from burnish.data.augment import RandomCrop
from burnish.data.base import DataModule, Sources
from burnish.data.cifar import CIFAR10
from burnish.data.digits import Digits
from burnish.data.image_folder import ImageFolder
from burnish.data.images import ImageDataModule
from burnish.data.loading import Table
from burnish.data.mnist import MNIST
from burnish.data.sharing import shared
from burnish.data.text_files import TextFiles
from burnish.errors import DataError
from burnish.spec import TextSpec
from launch import TINY, assert_equal_weights, composed, weights_of

# What modules of this file did: on the module itself it would be one of its attributes.
done: Counter[str] = Counter()


class Noise(ImageDataModule):
    """Data of one's own, with an argument that is kept under another name."""

    for_loaders = ImageDataModule.for_loaders

    def __init__(self, *, brightness: int = 50, **shared: Any) -> None:
        super().__init__(**shared)
        self._settings = {"added": [brightness]}

    def prepare_data(self) -> None:
        done["prepared"] += 1

    def read(self) -> Sources:
        done["read"] += 1
        labels = torch.arange(40) % 2
        images = torch.full((40, 1, 4, 4), self._settings["added"][0], dtype=torch.uint8)
        images += (labels * 100).to(torch.uint8)[:, None, None, None]
        return Sources(Table(images, labels), None, None, ("dark", "bright"), "noise", ["a note"])


@pytest.fixture(autouse=True)
def _count_anew() -> None:
    done.clear()


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tiny.write_reviews(tmp_path / "reviews.csv", rows=80)


def ready(data: DataModule) -> DataModule:
    """As building a run does it."""
    data.prepare_data()
    data.setup("fit")
    return data


def share(one: DataModule, other: DataModule) -> bool:
    """Whether the second took what the first had found."""
    ready(one)
    return ready(other).splits["train"][0] is one.splits["train"][0]


def test_equal_modules_read_once_and_have_the_same():
    with shared():
        one, other = ready(Noise(val_fraction=0.25)), ready(Noise(val_fraction=0.25))
    assert done == {"prepared": 1, "read": 1}
    fresh = ready(Noise(val_fraction=0.25))
    assert done == {"prepared": 2, "read": 2}
    for name in ("spec", "has_test", "class_counts", "val_indices", "fingerprint", "notes"):
        assert getattr(one, name) == getattr(other, name) == getattr(fresh, name)
    for split, (table, rows) in fresh.splits.items():
        source, found = other.splits[split]
        assert isinstance(source, Table)
        assert torch.equal(source.images, table.images)
        assert torch.equal(found, rows)


def test_outside_every_module_reads():
    ready(Noise()), ready(Noise())
    with shared():
        ready(Noise())
    ready(Noise())
    assert done == {"prepared": 4, "read": 4}


@pytest.mark.parametrize(
    "changed",
    [
        {"brightness": 51}, {"split_seed": 1}, {"val_fraction": 0.2}, {"limit": 10},
        {"num_folds": 2, "fold": 0}, {"mean": [0.5], "std": [0.5]}, {"root": "elsewhere"},
    ],
)  # fmt: skip
def test_another_argument_reads_again(changed: dict[str, Any]):
    with shared():
        assert not share(Noise(), Noise(**changed))
        assert share(Noise(**changed), Noise(**changed))
    assert done["read"] == 2


def test_the_type_of_an_argument_counts():
    with shared():
        assert not share(Noise(brightness=1), Noise(brightness=True))
        assert not share(Noise(brightness=1), Noise(brightness=1.0))


def test_what_only_loaders_use_does_not_count(csv: Path):
    loaders = {"batch_size": 8, "eval_batch_size": 9, "shuffle_seed": 3, "sampler": "balanced"}
    images = {"num_workers": 0, "augment": [RandomCrop(1)], "device_resident": False}
    with shared():
        assert share(Digits(num_workers=2), Digits(**loaders, **images))
        assert not share(Digits(), Digits(limit=100))
        assert share(TextFiles(path=csv), TextFiles(path=csv, **loaders))
        assert not share(TextFiles(path=csv), TextFiles(path=csv, min_frequency=3))
    with shared():
        other = Digits(**loaders, **images)
        share(Digits(), other)
        labels = next(iter(other.train_dataloader()))[1]
    alone = ready(Digits(**loaders, **images))
    assert labels.tolist() == next(iter(alone.train_dataloader()))[1].tolist()


def test_a_class_of_ones_own_shares_if_it_says_so():
    class Said(Noise):
        for_loaders = ImageDataModule.for_loaders

    class Unsaid(Said):
        pass

    with shared():
        assert share(Said(), Said(batch_size=8, augment=[object()]))
        assert not share(Unsaid(), Unsaid())


def test_classes_share_with_their_like_only():
    class Other(Noise):
        for_loaders = ImageDataModule.for_loaders

    with shared():
        assert not share(Noise(), Other())


def test_relative_paths_mean_another_folder_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with shared():
        one = ready(Noise())
        monkeypatch.chdir(tmp_path)
        assert not share(one, Noise())


@pytest.mark.parametrize("unknown", [object(), lambda: 0, torch.zeros(2), np.zeros(2), [{1: {}}]])
def test_arguments_that_cannot_be_compared_are_not_shared(unknown: Any):
    known = isinstance(unknown, list)  # plain containers can be, however deep

    def made() -> Noise:
        data = Noise()
        data.own = unknown  # type: ignore[attr-defined]
        return data

    with shared():
        assert share(made(), made()) is known


def test_the_least_recently_used_goes():
    with shared(most=2):
        for brightness in (1, 2, 1, 3, 1):
            ready(Noise(brightness=brightness))
        assert done["read"] == 3
        ready(Noise(brightness=2))
        assert done["read"] == 4
    with pytest.raises(ValueError, match="at least 1, found 0"), shared(most=0):
        pass


def test_memory_is_bounded_while_it_lasts_and_free_afterwards():
    def found(brightness: int) -> weakref.ref[object]:
        return weakref.ref(ready(Noise(brightness=brightness)).splits["train"][0])

    with shared(most=2):
        tables = [found(brightness) for brightness in range(3)]
        gc.collect()
        assert [table() is not None for table in tables] == [False, True, True]
        context = contextvars.copy_context()  # as an event loop or a pool of threads keeps one
    gc.collect()
    assert [table() for table in tables] == [None] * 3
    del context


def test_a_module_its_trainer_and_copies_on_a_device_are_not_kept():
    with shared():
        data = ready(Digits())
        data.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
        copy = Table(torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64))
        data._resident[0] = copy  # as a table on a GPU is held
        dead = [weakref.ref(data), weakref.ref(data.trainer), weakref.ref(copy)]
        kept = weakref.ref(data.splits["train"][0])
        del data, copy
        gc.collect()
        assert [what() for what in dead] == [None] * 3
        assert kept() is not None


def test_blocks_within_blocks_and_one_after_the_other():
    with shared():
        ready(Noise())
        with shared(most=1):
            ready(Noise())
        ready(Noise())
        assert done["read"] == 1
    with shared():
        ready(Noise())
    assert done["read"] == 2
    with pytest.raises(KeyboardInterrupt), shared():
        raise KeyboardInterrupt
    ready(Noise()), ready(Noise())
    assert done["read"] == 4


def test_an_error_in_setup_leaves_nothing(csv: Path):
    rows = csv.read_text(encoding="utf-8")
    csv.write_text("label,text\n1\n")
    with shared():
        with pytest.raises(DataError):
            ready(TextFiles(path=csv))
        csv.write_text(rows, encoding="utf-8")
        data = ready(TextFiles(path=csv))
    assert sum(map(sum, data.class_counts.values())) == 80


def test_an_adopted_spec_or_vocabulary_counts(csv: Path):
    def adopting(spec: TextSpec, method: str = "adopt") -> TextFiles:
        data = TextFiles(path=csv)
        getattr(data, method)(spec)
        return data

    own = ready(TextFiles(path=csv)).spec
    small = TextSpec(("0", "1"), "char", own.vocabulary[:5], 9)
    equal = TextSpec(("0", "1"), "char", own.vocabulary[:5], 9)
    with shared(most=9):
        assert not share(TextFiles(path=csv), adopting(small))
        assert not share(adopting(own), adopting(small))
        assert share(adopting(equal), adopting(small))
        assert not share(adopting(small), adopting(small, "adopt_vocabulary"))
        assert share(adopting(small, "adopt_vocabulary"), adopting(equal, "adopt_vocabulary"))
        assert ready(adopting(equal)).spec == small


def test_every_kind_of_data_is_shared(
    mnist_root: Path, cifar10_root: Path, folder_root: Path, csv: Path
):
    kinds = [
        lambda: MNIST(root=mnist_root),
        lambda: CIFAR10(root=cifar10_root, verify=False),
        lambda: ImageFolder(root=folder_root, image_size=16),
        lambda: ImageFolder(root=folder_root, image_size=16, cache="memory"),
        lambda: TextFiles(path=csv, tokenizer="bpe", vocabulary_size=300),
    ]
    for made in kinds:
        with shared():
            assert share(made(), made())


def test_sums_of_files_are_not_checked_again(cifar10_root: Path, tmp_path: Path):
    for source in (cifar10_root / CIFAR10.folder).iterdir():
        folder = tmp_path / CIFAR10.folder
        folder.mkdir(exist_ok=True)
        (folder / source.name).write_bytes(source.read_bytes())
    with shared():
        ready(CIFAR10(root=tmp_path, verify=False))
        (folder / "test_batch").unlink()  # taken to stay: nobody looks
        ready(CIFAR10(root=tmp_path, verify=False))
        with pytest.raises(DataError, match="test_batch"):
            ready(CIFAR10(root=tmp_path, verify=True))
    with pytest.raises(DataError, match="test_batch"):
        ready(CIFAR10(root=tmp_path, verify=False))


def test_what_one_module_does_to_its_state_the_next_does_not_see():
    with shared():
        one = ready(Digits())
        batch: Tensor = torch.full((2, 1, 8, 8), 200, dtype=torch.uint8)
        expected, spec = one.preprocess(batch), one.spec
        one.normalise_by((0.9,), (0.1,))
        one.notes.append("mine")
        one.class_counts["train"][0] = one.val_indices[0] = -1
        del one.splits["test"]
        assert not torch.equal(one.preprocess(batch), expected)
        other = ready(Digits())
    fresh = ready(Digits())
    assert other.spec == spec == fresh.spec
    assert torch.equal(other.preprocess(batch), expected)
    for name in ("notes", "class_counts", "val_indices"):
        assert getattr(other, name) == getattr(fresh, name)
    assert set(other.splits) == set(fresh.splits)


def _short(kind: str, root: Path, csv: Path) -> tuple[str, ...]:
    quick = (*TINY, "logger=none", "test=true")
    if kind == "digits":
        return (*quick, "augment=standard")
    if kind == "folder":
        pictures = (f"data.root={root}", "data.image_size=16", "data.num_workers=0")
        return (*quick, "data=image_folder", *pictures, "data.limit=30", "data.batch_size=8")
    return (*quick, "data=text", f"data.path={csv}", "model=bag_of_embeddings", "data.limit=50")


@pytest.mark.parametrize("kind", ["digits", "folder", "text"])
def test_trainings_end_with_the_same_weights_to_the_bit(
    kind: str, csv: Path, folder_root: Path, tmp_path: Path
):
    config = composed(*_short(kind, folder_root, csv))

    def weights(name: str) -> dict[str, Tensor]:
        (tmp_path / name).mkdir()
        train(config, tmp_path / name)
        return weights_of(tmp_path / name)

    alone = weights("alone")
    with shared():
        first, second = weights("first"), weights("second")
        kept = build_data(config)  # what two trainings and tests have left of it
        assert share(kept, build_data(config))
    assert_equal_weights(first, alone)
    assert_equal_weights(second, alone)
    for split, (source, rows) in build_data(config).splits.items():
        left, left_rows = kept.splits[split]
        assert torch.equal(left_rows, rows)
        chosen = rows.tolist()
        for a, b in zip(left.__getitems__(chosen), source.__getitems__(chosen), strict=True):
            assert torch.equal(a, b)
