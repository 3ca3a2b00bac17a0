from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import ImageFolder as Reference
from torchvision.transforms import v2

import tiny
from burnish.data import image_cache
from burnish.data.image_folder import ImageFolder
from burnish.errors import ConfigError, DataError


def made(root: Path, **arguments: object) -> ImageFolder:
    arguments = {"batch_size": 8, **arguments}
    module = ImageFolder(root=root, image_size=24, num_workers=0, **arguments)
    module.prepare_data()
    module.setup("fit")
    return module


def everything(loader: object) -> tuple[torch.Tensor, torch.Tensor]:
    images, labels = zip(*loader, strict=True)  # type: ignore[call-overload]
    return torch.cat(images), torch.cat(labels)


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_reads_what_torchvision_reads(folder_root: Path, tmp_path: Path, cache: str) -> None:
    module = made(folder_root, cache=cache, cache_dir=tmp_path)
    convert = v2.Compose([v2.Resize(24), v2.CenterCrop(24), v2.PILToTensor()])
    loaders = {"val": module.val_dataloader(), "test": module.test_dataloader()}
    for split, loader in loaders.items():
        reference = Reference(folder_root / split, convert)
        images, labels = everything(loader)
        assert torch.equal(images, torch.stack([image for image, _ in reference]))
        assert labels.tolist() == reference.targets
    assert module.spec.class_names == ("ants", "bees", "wasps")
    assert module.class_counts == {"train": [12] * 3, "val": [4] * 3, "test": [4] * 3}
    assert module.val_indices == []
    assert module.has_test


def test_caches_change_neither_batches_nor_fingerprint(folder_root: Path, tmp_path: Path) -> None:
    plain, memory = made(folder_root), made(folder_root, cache="memory")
    disk = made(folder_root, cache="disk", cache_dir=tmp_path)
    expected = everything(plain.train_dataloader())
    for module in (memory, disk):
        images, labels = everything(module.train_dataloader())
        assert torch.equal(images, expected[0])
        assert torch.equal(labels, expected[1])
        assert module.fingerprint == plain.fingerprint
        assert module.spec == plain.spec


def test_normalisation_is_measured_on_the_training_files(folder_root: Path) -> None:
    module = made(folder_root, batch_size=1)
    images, _ = everything(module.train_dataloader())
    expected = images.double().div(255).mean((0, 2, 3))
    torch.testing.assert_close(torch.tensor(module.spec.mean).double(), expected)


@pytest.mark.parametrize(
    ("splits", "counts", "has_test"),
    [
        ({"train": 10, "val": 2}, {"train": 30, "val": 6}, False),
        ({"train": 10, "test": 3}, {"train": 24, "val": 6, "test": 9}, True),
        ({"train": 10}, {"train": 24, "val": 6}, False),
        ({"": 10}, {"train": 24, "val": 6}, False),
    ],
)
def test_layouts(
    tmp_path: Path, splits: dict[str, int], counts: dict[str, int], has_test: bool
) -> None:
    module = made(tiny.write_image_folder(tmp_path, splits), val_fraction=0.2)
    assert {name: sum(c) for name, c in module.class_counts.items()} == counts
    assert module.has_test is has_test
    assert any("final test is left out" in note for note in module.notes) is not has_test
    assert len(module.val_indices) == (0 if "val" in splits else 6)


def test_only_images_count(tmp_path: Path) -> None:
    tiny.write_image_folder(tmp_path, {"train": 4, "val": 2, "test": 2})
    (tmp_path / "train/ants/readme.txt").write_text("not an image")
    (tmp_path / "train/ants/.hidden.jpg").write_text("not an image")
    (tmp_path / "train/.ipynb_checkpoints").mkdir()
    nested = tmp_path / "train/bees/more"
    nested.mkdir()
    shutil.copy(next((tmp_path / "train/bees").glob("*.png")), nested / "a.PNG")
    module = made(tmp_path)
    assert module.class_counts["train"] == [4, 5, 4]
    assert module.notes == [f"{tmp_path / 'train'}: 1 files that are no images left out"]


def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root: no folder"):
        made(tmp_path / "nowhere")
    with pytest.raises(DataError, match="expected a folder a class"):
        made(tmp_path)
    tiny.write_image_folder(tmp_path, {"train": 2, "val": 1})
    (tmp_path / "val" / "hornets").mkdir()
    with pytest.raises(DataError, match=r"val: classes that train does not have: hornets"):
        made(tmp_path)
    (tmp_path / "train" / "hornets").mkdir()
    with pytest.raises(DataError, match="hornets: no images"):
        made(tmp_path)
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(DataError, match="has val but no train"):
        made(tmp_path)


def broken(root: Path, number: int) -> list[Path]:
    """A folder with so many truncated files."""
    tiny.write_image_folder(root, {"train": 20, "val": 2, "test": 2})
    files = sorted((root / "train").rglob("*.jpg"))[:number]
    for file in files:
        file.write_bytes(file.read_bytes()[:-200])
    return files


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_all_unreadable_files_are_named_at_once(tmp_path: Path, cache: str) -> None:
    files = broken(tmp_path, 23)
    for _ in range(2):  # a disk cache remembers them
        with pytest.raises(DataError, match="23 unreadable files") as caught:
            made(tmp_path, cache=cache)
        assert [str(file) in str(caught.value) for file in files] == [True] * 20 + [False] * 3
        assert "and 3 more" in str(caught.value)
        assert "data.on_error=skip" in str(caught.value)


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_unreadable_files_can_be_left_out(tmp_path: Path, cache: str) -> None:
    files = broken(tmp_path, 3)
    module = made(tmp_path, cache=cache, on_error="skip", batch_size=19)
    assert module.class_counts["train"] == [17, 20, 20]
    assert all(str(file) in module.notes[0] for file in files)
    assert len(everything(module.train_dataloader())[0]) == 57


def test_a_class_without_readable_images_is_named(tmp_path: Path) -> None:
    tiny.write_image_folder(tmp_path, {"train": 2, "val": 1})
    for file in (tmp_path / "train/bees").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match="no readable image is left of bees"):
        made(tmp_path, on_error="skip")


def test_the_disk_cache_is_built_once_and_follows_the_files(tmp_path: Path) -> None:
    tiny.write_image_folder(tmp_path)
    made(tmp_path, cache="disk")
    tables = sorted((tmp_path / ".burnish-cache").glob("*.npy"))
    stamp = tables[0].stat().st_mtime_ns
    made(tmp_path, cache="disk")
    assert [table.stat().st_mtime_ns for table in tables] == [stamp]
    image = next((tmp_path / "train/ants").glob("*.png"))
    os.utime(image, (1, 1))
    made(tmp_path, cache="disk")
    assert len(list((tmp_path / ".burnish-cache").glob("*.npy"))) == 2
    assert not list((tmp_path / ".burnish-cache").glob("*.tmp"))


def test_two_builders_at_once_share_one_table(folder_root: Path, tmp_path: Path) -> None:
    paths = sorted((folder_root / "train").rglob("*.jpg"))
    tables: list[torch.Tensor] = []
    threads = [
        threading.Thread(
            target=lambda: tables.append(image_cache.on_disk(paths, 16, tmp_path / "t.npy"))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(*tables)
    assert torch.equal(tables[0], image_cache.in_memory(paths, 16))
    assert [file.name for file in tmp_path.glob("*.[nt][pm]*")] == ["t.npy"]


def test_a_failed_build_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.jpg: not an image"):
        image_cache.on_disk([tmp_path / "a.jpg"], 16, tmp_path / "t.npy")
    assert not list(tmp_path.glob("t*.npy"))
    assert not list(tmp_path.glob("*.tmp"))


def test_writing_to_a_mapped_table_does_not_reach_the_file(
    folder_root: Path, tmp_path: Path
) -> None:
    paths = sorted((folder_root / "train").rglob("*.jpg"))[:3]
    table = image_cache.on_disk(paths, 8, tmp_path / "t.npy")
    before = np.load(tmp_path / "t.npy")
    table.zero_()
    assert before.any()
    assert np.array_equal(np.load(tmp_path / "t.npy"), before)


def test_bad_arguments_are_named(folder_root: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        ImageFolder(root=folder_root, image_size=None, on_error="ignore", cache="ram")
    keys = [problem.split(":")[0] for problem in caught.value.problems]
    assert keys == ["data.image_size", "data.on_error", "data.cache"]


def test_a_cache_folder_that_cannot_be_made_is_named(folder_root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"data\.cache_dir: cannot write"):
        made(folder_root, cache="disk", cache_dir=tmp_path / "file" / "below")


def test_the_disk_cache_serves_another_spelling_of_the_root(tmp_path, monkeypatch):
    root = tiny.write_image_folder(tmp_path / "pictures")
    some = next((root / "train").rglob("*.jpg"))
    (some.parent / "broken.jpg").write_bytes(some.read_bytes()[:200])
    monkeypatch.chdir(tmp_path)
    counts = []
    for spelling in ("pictures", str(root), "./pictures/"):
        data = ImageFolder(root=spelling, image_size=16, cache="disk", on_error="skip")
        data.setup()
        assert any("broken.jpg" in note for note in data.notes)
        counts.append(data.class_counts)
    assert counts[0] == counts[1] == counts[2]
    assert len(list((root / ".burnish-cache").glob("*.npy"))) == 1
