"""Writes tiny data sets in the true on-disk formats, learnable: a pattern a class, plus noise."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

Array = np.ndarray


def patterned(labels: Array, shape: tuple[int, ...], seed: int = 0, noise: float = 30.0) -> Array:
    """uint8 images ``[len(labels), *shape]``; those of one class share a random pattern."""
    patterns = np.random.default_rng(1234).integers(40, 216, (int(labels.max()) + 1, *shape))
    grain = np.random.default_rng(seed).normal(0, noise, (len(labels), *shape))
    return np.clip(patterns[labels] + grain, 0, 255).astype(np.uint8)


def balanced(size: int, classes: int, seed: int = 0) -> Array:
    """Labels that name the classes equally often, in random order, int64 ``[size]``."""
    return np.random.default_rng(seed).permutation(np.arange(size) % classes)


def write_idx(path: Path, array: Array) -> None:
    """An IDX file of unsigned bytes, packed if the name ends in ``.gz``."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_mnist(
    root: Path, train: int = 200, test: int = 60, folder: str = "MNIST", packed: bool = True
) -> Path:
    """The four files of MNIST (or FashionMNIST) in ``<root>/<folder>/raw/``; returns ``root``."""
    raw = root / folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    ending = ".gz" if packed else ""
    for seed, (part, size) in enumerate({"train": train, "t10k": test}.items()):
        labels = balanced(size, 10, seed)
        images = patterned(labels, (28, 28), seed)
        write_idx(raw / f"{part}-images-idx3-ubyte{ending}", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte{ending}", labels)
    return root


def write_pickle(path: Path, content: Mapping[bytes, object]) -> None:
    """Protocol 2 with bytes keys, as Python 3 writes what Python 2 wrote as strings."""
    path.write_bytes(pickle.dumps(dict(content), protocol=2))


def _write_cifar_batch(path: Path, size: int, classes: int, seed: int, labels_key: bytes) -> None:
    labels = balanced(size, classes, seed)
    entries = {b"data": patterned(labels, (3072,), seed), labels_key: labels.tolist()}
    write_pickle(path, {**entries, b"filenames": [b"%d.png" % i for i in range(size)]})


def write_cifar10(root: Path, per_batch: int = 40, test: int = 40) -> Path:
    """``cifar-10-batches-py`` with five training batches; returns ``root``."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 6):
        _write_cifar_batch(folder / f"data_batch_{number}", per_batch, 10, number, b"labels")
    _write_cifar_batch(folder / "test_batch", test, 10, 0, b"labels")
    names = b"airplane automobile bird cat deer dog frog horse ship truck".split()
    write_pickle(folder / "batches.meta", {b"label_names": names})
    return root


def write_cifar100(root: Path, train: int = 400, test: int = 100) -> Path:
    """``cifar-100-python`` with fine labels; returns ``root``."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True, exist_ok=True)
    _write_cifar_batch(folder / "train", train, 100, 1, b"fine_labels")
    _write_cifar_batch(folder / "test", test, 100, 0, b"fine_labels")
    write_pickle(folder / "meta", {b"fine_label_names": [b"thing %02d" % i for i in range(100)]})
    return root


def write_image_folder(
    root: Path,
    splits: Mapping[str, int] | None = None,
    classes: tuple[str, ...] = ("ants", "bees", "wasps"),
    size: tuple[int, int] = (48, 36),
) -> Path:
    """JPEG and PNG files in ``<root>/<split>/<class>/``; returns ``root``.

    Args:
        root: made if need be.
        splits: split name to images a class; "" puts the class folders right into ``root``.
        classes: names of the class folders.
        size: width and height in pixels.
    """
    splits = {"train": 12, "val": 4, "test": 4} if splits is None else splits
    for seed, (split, per_class) in enumerate(splits.items()):
        labels = np.repeat(np.arange(len(classes)), per_class)
        coarse = patterned(labels, (6, 8, 3), seed)
        for i, (label, pixels) in enumerate(zip(labels, coarse, strict=True)):
            folder = root / split / classes[label]
            folder.mkdir(parents=True, exist_ok=True)
            image = Image.fromarray(pixels).resize(size)
            image.save(folder / f"{i:03d}.{'png' if i % 4 == 0 else 'jpg'}")
    return root


def write_labels(file: Path, folder: Path) -> Path:
    """A CSV of image and label for the training pictures of an image folder."""
    pictures = sorted(p for p in (folder / "train").rglob("*") if p.suffix in (".png", ".jpg"))
    rows = [f"{picture.relative_to(folder)},{picture.parent.name}" for picture in pictures]
    file.write_text("\n".join(["image,label", *rows]) + "\n")
    return file


GOOD, BAD = ("很好的房间", "服务不错", "早餐很好"), ("房间太差", "不好的服务", "早餐太差")


def reviews(rows: int = 120, seed: int = 0) -> list[tuple[str, str]]:
    """Label and text in turn; what is said is good or bad, in words of both kinds' topics."""
    rng = np.random.default_rng(seed)
    pools = {"1": GOOD, "0": BAD}
    return [
        (label, "\N{FULLWIDTH COMMA}".join(rng.choice(pools[label], size=1 + i % 5)) + f"{i}。")
        for i, label in ((i, "10"[i % 2]) for i in range(rows))
    ]


def write_reviews(file: Path, rows: int = 120, heading: str = "label,text") -> Path:
    """A CSV of reviews, with a heading."""
    lines = [heading, *(f'{label},"{text}"' for label, text in reviews(rows))]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def write_texts(root: Path) -> Path:
    """``<root>/text`` with the files that the text experiments expect."""
    folder = root / "text"
    folder.mkdir()
    write_reviews(folder / "chnsenticorp.csv", heading="label,review")
    for seed, split in enumerate(("train", "dev", "test")):
        lines = [f"a {text} film number {i % 7}\t{label}" for i, (label, text) in
                 enumerate(reviews(60, seed))]  # fmt: skip
        (folder / f"sst2_{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root
