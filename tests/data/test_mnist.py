from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torchvision.datasets.mnist import read_image_file, read_label_file

import tiny
from burnish.data import idx
from burnish.data.mnist import FILES, MNIST, FashionMNIST
from burnish.errors import DataError


def test_reads_packed_and_extracted_files_like_torchvision(tmp_path: Path) -> None:
    tiny.write_mnist(tmp_path, packed=False)
    tiny.write_mnist(tmp_path / "packed", packed=True)
    for name in FILES:
        extracted = tmp_path / "MNIST/raw" / name
        packed = tmp_path / "packed/MNIST/raw" / name
        dimensions = 3 if "images" in name else 1
        read = read_image_file if dimensions == 3 else read_label_file
        expected = read(str(extracted)).to(torch.uint8)
        assert torch.equal(idx.read(extracted, dimensions), expected)
        assert torch.equal(idx.read(packed, dimensions), expected)


def test_sets_up_offline(mnist_root: Path) -> None:
    module = MNIST(root=mnist_root, batch_size=32)
    module.prepare_data()
    module.setup("fit")
    assert module.spec.class_names == tuple("0123456789")
    assert not module.spec.mirror
    assert module.class_counts == {"train": [18] * 10, "val": [2] * 10, "test": [6] * 10}
    images, labels = next(iter(module.train_dataloader()))
    assert (images.shape, images.dtype) == ((32, 1, 28, 28), torch.uint8)
    assert labels.dtype == torch.int64
    source = idx.read(mnist_root / "MNIST/raw" / FILES[1], 1)
    val_labels = torch.cat([labels for _, labels in module.val_dataloader()])
    assert val_labels.tolist() == source[module.val_indices].tolist()


def test_fashion_mnist_has_its_folder_and_names(tmp_path: Path) -> None:
    tiny.write_mnist(tmp_path, folder="FashionMNIST")
    module = FashionMNIST(root=tmp_path)
    module.prepare_data()
    module.setup("fit")
    assert module.spec.class_names[9] == "Ankle boot"
    assert module.spec.mirror


@pytest.mark.parametrize("kind", [MNIST, FashionMNIST])
def test_names_are_torchvisions(kind: type[MNIST]) -> None:
    theirs = getattr(torchvision.datasets, kind.folder)
    assert [f"{name}.gz" for name in FILES] == [name for name, _ in theirs.resources]
    if kind is FashionMNIST:
        assert list(kind.class_names) == theirs.classes


def test_missing_files_are_named_with_a_way_out(tmp_path: Path) -> None:
    tiny.write_mnist(tmp_path)
    (tmp_path / "MNIST/raw/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        MNIST(root=tmp_path).prepare_data()
    message = str(caught.value)
    assert "missing t10k-labels-idx1-ubyte.gz." in message
    assert "data.download=true" in message
    assert str(tmp_path / "MNIST" / "raw") in message


def test_prepare_data_writes_nothing_where_nothing_is_missing(mnist_root: Path) -> None:
    before = sorted(mnist_root.rglob("*"))
    MNIST(root=mnist_root, download=True).prepare_data()
    assert sorted(mnist_root.rglob("*")) == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-3], "the header says"),
        (lambda content: b"\x00\x00\x0d" + content[3:], "no IDX file"),
        (lambda content: content[:6], "no IDX file"),
        (lambda content: content[:-1] + b"\x0b", "label 11"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, damage: object, words: str) -> None:
    tiny.write_mnist(tmp_path, packed=False)
    file = tmp_path / "MNIST/raw/train-labels-idx1-ubyte"
    file.write_bytes(damage(file.read_bytes()))  # type: ignore[operator]
    with pytest.raises(DataError, match=words):
        MNIST(root=tmp_path).setup("fit")


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    tiny.write_mnist(tmp_path)
    file = tmp_path / "MNIST/raw/train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: damaged"):
        MNIST(root=tmp_path).setup("fit")
