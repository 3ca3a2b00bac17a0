from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

import tiny
from burnish.data.cifar import CIFAR10, CIFAR100
from burnish.errors import DataError


def test_images_come_out_as_stored(cifar10_root: Path) -> None:
    module = CIFAR10(root=cifar10_root, verify=False, batch_size=32)
    module.prepare_data()
    module.setup("fit")
    assert module.spec.class_names[:2] == ("airplane", "automobile")
    assert module.class_counts == {"train": [18] * 10, "val": [2] * 10, "test": [4] * 10}
    folder = cifar10_root / "cifar-10-batches-py"
    parts = [
        pickle.loads((folder / f"data_batch_{i}").read_bytes(), encoding="bytes")
        for i in range(1, 6)
    ]
    pixels = np.concatenate([part[b"data"] for part in parts]).reshape(-1, 3, 32, 32)
    stored = np.concatenate([part[b"labels"] for part in parts])
    images, labels = next(iter(module.val_dataloader()))
    assert np.array_equal(images.numpy(), pixels[module.val_indices])
    assert labels.tolist() == stored[module.val_indices].tolist()


def test_cifar100_has_fine_labels(cifar100_root: Path) -> None:
    module = CIFAR100(root=cifar100_root, verify=False, val_fraction=0.25)
    module.prepare_data()
    module.setup("fit")
    assert module.spec.class_names[7] == "thing 07"
    assert module.class_counts["val"] == [1] * 100
    images, _ = next(iter(module.test_dataloader()))
    assert images.shape == (100, 3, 32, 32)


def test_reads_what_python_2_wrote(cifar10_root: Path, tmp_path: Path) -> None:
    """The published files: protocol 2, strings for keys and pixels, NumPy's old module names."""
    tiny.write_cifar10(tmp_path)
    file = tmp_path / "cifar-10-batches-py" / "test_batch"
    pixels = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
    raw = pixels.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01bt\x52"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01t\x52"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    )
    file.write_bytes(b"\x80\x02}(U\x04data" + array + b"U\x06labels](K\x03K\x08eu.")
    expected = pickle.loads(file.read_bytes(), encoding="latin1")
    assert np.array_equal(expected["data"], pixels)  # the bytes above are a true pickle
    module = CIFAR10(root=tmp_path, verify=False)
    module.setup("fit")
    images, labels = next(iter(module.test_dataloader()))
    assert torch.equal(images, torch.from_numpy(pixels).view(2, 3, 32, 32))
    assert labels.tolist() == [3, 8]


def test_sums_that_differ_are_refused_unless_told_otherwise(cifar10_root: Path) -> None:
    with pytest.raises(DataError, match=r"data_batch_1, .*differ.*data\.verify=false"):
        CIFAR10(root=cifar10_root, download=True).prepare_data()


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_names_are_torchvisions(kind: type[CIFAR10]) -> None:
    theirs = getattr(torchvision.datasets, kind.torchvision_name)
    assert kind.folder == theirs.base_folder
    assert list(kind.train_files) == [name for name, _ in theirs.train_list]
    assert list(kind.test_files) == [name for name, _ in theirs.test_list]
    assert (kind.meta_file, kind.names_key) == (theirs.meta["filename"], theirs.meta["key"])


def test_missing_files_are_named(tmp_path: Path) -> None:
    tiny.write_cifar10(tmp_path)
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    with pytest.raises(DataError, match="missing data_batch_3"):
        CIFAR10(root=tmp_path, verify=False).prepare_data()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({b"data": np.zeros((3, 3072), np.uint8)}, r"without the entries \['labels'\]"),
        ({b"data": np.zeros((3, 3072), np.uint8), b"labels": [0, 1]}, "2 labels, but pixels"),
        ({b"data": np.zeros((2, 3072), np.float32), b"labels": [0, 1]}, "no array of uint8"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]}, "from 0 to 9"),
        ({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, -1]}, "from 0 to 9"),
    ],
)
def test_batches_of_another_form_are_named(
    tmp_path: Path, content: dict[bytes, object], words: str
) -> None:
    tiny.write_cifar10(tmp_path)
    tiny.write_pickle(tmp_path / "cifar-10-batches-py" / "data_batch_2", content)
    with pytest.raises(DataError, match=f"data_batch_2: .*{words}"):
        CIFAR10(root=tmp_path, verify=False).setup("fit")
