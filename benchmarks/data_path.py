"""How fast batches reach the net, against the usual torchvision pipelines; one core.

    python benchmarks/data_path.py

Both sides do the same work (crop, flip, scale, normalise) in alternating rounds of one run; the
table shows medians and their ratio. Then the memory that CIFAR-10's shapes take in training.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import datasets, transforms

from burnish.data import fingerprint
from burnish.data.augment import RandomCrop, RandomHorizontalFlip
from burnish.data.base import Sources
from burnish.data.image_folder import ImageFolder
from burnish.data.images import ImageDataModule
from burnish.data.loading import Table

BATCH = 128
ROUNDS = 5
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
Epoch = Callable[[], int]


class PilImages(Dataset[tuple[Tensor, int]]):
    """What torchvision.datasets.CIFAR10 does: an array, a PIL image for each sample."""

    def __init__(self, images: np.ndarray, transform: Callable[[Any], Tensor]) -> None:
        self.images = images
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), index % 10


class InMemory(ImageDataModule):
    """Random images of CIFAR-10's shape."""

    def __init__(self, size: int, **shared: Any) -> None:
        super().__init__(**shared)
        self.size = size

    def read(self) -> Sources:
        """One table of random pixels."""
        images = torch.randint(0, 256, (self.size, 3, 32, 32), dtype=torch.uint8)
        table = Table(images, torch.arange(self.size) % 10)
        names = tuple("abcdefghij")
        return Sources(table, None, None, names, fingerprint.of_tensors([table.labels]))


def ours(module: ImageDataModule) -> Epoch:
    """An epoch through the loader and the hooks that Lightning calls."""
    module.setup("fit")
    loader = module.train_dataloader()
    module.trainer = SimpleNamespace(training=True)  # type: ignore[assignment]

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for batch in loader:
            moved = module.transfer_batch_to_device(batch, torch.device("cpu"), 0)
            yield module.on_after_batch_transfer(moved, 0)

    return lambda: count(batches())


def count(batches: Iterable[tuple[Tensor, Tensor]]) -> int:
    """Images in all batches, checked to be floats."""
    seen = 0
    for images, _ in batches:
        assert images.dtype == torch.float32
        seen += len(images)
    return seen


def rates(epochs: dict[str, Epoch]) -> dict[str, float]:
    """Median images per second of each, in alternating rounds after one to warm up."""
    measured: dict[str, list[float]] = {name: [] for name in epochs}
    for round_number in range(ROUNDS + 1):
        for name, epoch in epochs.items():
            start = time.perf_counter()
            seen = epoch()
            if round_number:
                measured[name].append(seen / (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in measured.items()}


def report(title: str, measured: dict[str, float], wanted: float) -> bool:
    """Print a table; whether the last is so many times as fast as the first."""
    print(f"\n{title}")
    for name, rate in measured.items():
        print(f"  {name:<44}{rate:>12,.0f} images/s")
    first, *_, last = measured.values()
    print(f"  {'ratio':<44}{last / first:>12.1f} (wanted: at least {wanted})")
    return last / first >= wanted


def cifar_shapes() -> bool:
    """10,000 images of 32x32: random crop, flip, scale, normalise."""
    images = np.random.default_rng(0).integers(0, 256, (10_000, 32, 32, 3), dtype=np.uint8)
    classic = transforms.Compose(
        [
            transforms.RandomCrop(32, 4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(PilImages(images, classic), BATCH, shuffle=True)
    augment = [RandomCrop(4), RandomHorizontalFlip(0.5)]
    # A tenth of 11,112 goes to validation; 10,001 remain.
    module = InMemory(11_112, batch_size=BATCH, mean=MEAN, std=STD, augment=augment)
    epochs = {"torchvision, PIL, DataLoader": lambda: count(loader), "burnish": ours(module)}
    return report("CIFAR-10 shapes, batch 128, crop and flip", rates(epochs), 25)


def jpeg_folder() -> bool:
    """JPEGs of about 400x300 to 224x224, flip, scale, normalise; the cache is built once."""
    with tempfile.TemporaryDirectory() as folder:
        write_jpegs(Path(folder))
        classic = transforms.Compose(
            [
                transforms.Resize(224),
                transforms.CenterCrop(224),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )
        files = datasets.ImageFolder(str(Path(folder) / "train"), classic)
        loader = DataLoader(files, 32, shuffle=True)
        shared: dict[str, Any] = {"root": folder, "batch_size": 32, "mean": MEAN, "std": STD}
        shared |= {"num_workers": 0, "augment": [RandomHorizontalFlip(0.5)]}
        start = time.perf_counter()
        cached = ours(ImageFolder(cache="memory", **shared))
        seconds = time.perf_counter() - start
        epochs: dict[str, Epoch] = {
            "torchvision ImageFolder, DataLoader": lambda: count(loader),
            "burnish, cache=none": ours(ImageFolder(**shared)),
            "burnish, cache=memory": cached,
        }
        good = report("JPEG 400x300 to 224, batch 32, flip", rates(epochs), 2.5)
        images = len(list(Path(folder).rglob("*.jpg")))
        print(f"  cache of {images} images checked and built in {seconds:.2f} s (all cores)")
    return good


def write_jpegs(folder: Path, per_class: int = 150) -> None:
    """Two classes of smooth random pictures with grain, and a val folder of two images."""
    rng = np.random.default_rng(0)
    for split, size in (("train", per_class), ("val", 1)):
        for number in range(2 * size):
            path = folder / split / f"class{number % 2}"
            path.mkdir(parents=True, exist_ok=True)
            width, height = int(rng.integers(380, 421)), int(rng.integers(280, 321))
            coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
            smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
            grain = rng.normal(0, 8, smooth.shape)
            pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path / f"{number:04d}.jpg", quality=85)


def memory() -> bool:
    """Peak memory of an epoch over 50,000 images, beyond their one uint8 copy."""
    ours(InMemory(256, batch_size=BATCH, mean=MEAN, std=STD, augment=[RandomCrop(4)]))()
    before = peak_bytes()
    module = InMemory(50_000, batch_size=BATCH, mean=MEAN, std=STD, augment=[RandomCrop(4)])
    ours(module)()
    table = 50_000 * 3 * 32 * 32
    grown = peak_bytes() - before
    print("\nMemory, 50,000 images of CIFAR-10's shape, setup and an epoch")
    print(f"  {'one uint8 copy':<44}{table / 2**20:>12,.0f} MiB")
    print(f"  {'peak memory grew by':<44}{grown / 2**20:>12,.0f} MiB")
    return grown < 1.25 * table


def peak_bytes() -> int:
    """Largest resident size of this process so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> int:
    """Run all parts; 1 if one falls short."""
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, Python {sys.version.split()[0]}, one thread, {ROUNDS} rounds"
    )
    good = [memory(), cifar_shapes(), jpeg_folder()]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
