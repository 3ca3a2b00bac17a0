"""What all image data modules share: splits, the spec, loaders, and the batch's way to the net.

A data module of its own says only where images come from (:meth:`ImageDataModule.read`).
Shapes: N samples, B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from burnish.data.augment import Transform
from burnish.data.loading import Batch, EpochBatches, FileLoader, Source, Table, TableLoader
from burnish.data.normalise import Normaliser, measure, resize
from burnish.data.splits import Indices, stratified_split, stratified_subset
from burnish.errors import ConfigError
from burnish.spec import ImageSpec

Loader = TableLoader | FileLoader


@dataclass(frozen=True)
class ImageSources:
    """What :meth:`ImageDataModule.read` finds.

    Args:
        train: the training source; validation is cut from it if there is no ``val``.
        val: the data set's own validation split.
        test: the data set's own test split.
        class_names: in the order of the labels.
        fingerprint: content hash.
        notes: one line each about what a person should know.
    """

    train: Source
    val: Source | None
    test: Source | None
    class_names: tuple[str, ...]
    fingerprint: str
    notes: list[str] = field(default_factory=list)


class ImageDataModule(pl.LightningDataModule):
    """Images with one label each; loaders yield uint8 batches, the hooks turn them into floats.

    After :meth:`setup` it has: ``spec``; ``has_test``; ``class_counts``, split name to samples
    per class; ``val_indices``, rows of the training source (empty if the data set brings its own
    validation split); ``fingerprint``, a content hash; ``notes``, one line each.

    Args:
        root: folder of the data sets.
        batch_size: training samples a step and process.
        eval_batch_size: samples a step and process in validation and test.
        val_fraction: share of the training source that is cut off for validation, in (0, 1).
        split_seed: decides which samples; kept apart from the run's seed, so that runs with
            several seeds are compared on the same samples.
        shuffle_seed: of the training order.
        image_size: height and width in pixels that images are resized to; None keeps theirs.
        num_workers: processes that read files; None: one a core but one, at most 8. Tables in
            memory need none.
        download: whether missing data may be fetched.
        limit: train on so many samples only, in proportion to the classes; taken after the
            validation split.
        device_resident: whether a table moves to the GPU; "auto": if it fits in half of the
            free memory.
        mean: per channel, of pixels in [0, 1]; None: measured on the training samples.
        std: likewise.
        augment: transforms of training batches, in order.

    Raises:
        ConfigError: naming every argument that is out of range.
    """

    # Whether a mirrored image still shows its class.
    mirror = True
    # What test_dataloader serves: any split can be scored the way the test split is.
    evaluate_split: Literal["train", "val", "test"] = "test"

    spec: ImageSpec
    has_test: bool
    class_counts: dict[str, list[int]]
    val_indices: list[int]
    fingerprint: str
    notes: list[str]

    def __init__(
        self,
        *,
        root: str | Path = "data",
        batch_size: int = 64,
        eval_batch_size: int = 512,
        val_fraction: float = 0.1,
        split_seed: int = 0,
        shuffle_seed: int = 0,
        image_size: int | None = None,
        num_workers: int | None = None,
        download: bool = False,
        limit: int | None = None,
        device_resident: bool | Literal["auto"] = "auto",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: Sequence[Transform] = (),
    ) -> None:
        super().__init__()
        self.root = Path(root)
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_fraction = val_fraction
        self.split_seed = split_seed
        self.shuffle_seed = shuffle_seed
        self.image_size = image_size
        self.num_workers = _auto_workers() if num_workers is None else num_workers
        self.download = download
        self.limit = limit
        self.device_resident = device_resident
        self.mean = mean
        self.std = std
        self.augment = tuple(augment)
        self._splits: dict[str, tuple[Source, Tensor]] = {}
        self._resident: dict[int, Table] = {}
        self._refuse(self._problems())

    def _problems(self) -> list[str]:
        """One line for each argument out of range; subclasses add their own."""
        at_least = {"batch_size": 1, "eval_batch_size": 1, "num_workers": 0, "image_size": 1}
        at_least |= {"limit": 1, "split_seed": 0, "shuffle_seed": 0}
        problems = [
            f"data.{key}: must be an integer of at least {least}, found {value!r}"
            for key, least in at_least.items()
            if (value := getattr(self, key)) is not None
            and not (isinstance(value, int) and value >= least)
        ]
        if not (isinstance(self.val_fraction, float) and 0 < self.val_fraction < 1):
            problems.append(
                f"data.val_fraction: must lie between 0 and 1, found {self.val_fraction}"
            )
        if self.device_resident not in (True, False, "auto"):
            problems.append(
                f"data.device_resident: must be true, false or auto, found {self.device_resident}"
            )
        if (self.mean is None) != (self.std is None):
            problems.append("data.mean: give mean and std together, or null for both")
        if self.std is not None and any(value <= 0 for value in self.std):
            problems.append(f"data.std: must be greater than 0, found {list(self.std)}")
        return problems

    @staticmethod
    def _refuse(problems: Sequence[str]) -> None:
        if problems:
            raise ConfigError(problems)

    @abstractmethod
    def read(self) -> ImageSources:
        """Find or read the images; called once a process."""

    def setup(self, stage: str | None = None) -> None:
        """Read, split and describe the data; a second call does nothing.

        Args:
            stage: ignored: all splits are set up together, so that ``spec`` is complete.

        Raises:
            ConfigError: if the split or ``limit`` leaves too few samples.
            DataError: if files are missing or unreadable.
        """
        if self._splits:
            return
        sources = self.read()
        splits = self._split(sources)
        self.has_test = sources.test is not None
        self.fingerprint = sources.fingerprint
        self.notes = list(sources.notes)
        self.class_counts = {
            name: torch.bincount(source.labels[rows], minlength=len(sources.class_names)).tolist()
            for name, (source, rows) in splits.items()
        }
        self.val_indices = splits["val"][1].tolist() if sources.val is None else []
        self.spec = self._describe(*splits["train"], sources.class_names)
        self._normaliser = Normaliser(self.spec.mean, self.spec.std)
        self._splits = splits

    def _split(self, sources: ImageSources) -> dict[str, tuple[Source, Tensor]]:
        labels = sources.train.labels.numpy()
        if sources.val is None:
            train, val = stratified_split(labels, self.val_fraction, self.split_seed)
            self._refuse_empty_split(len(train), len(val))
        else:
            train, val = np.arange(len(labels)), np.arange(len(sources.val.labels))
        splits = {
            "train": (sources.train, torch.from_numpy(self._limited(train, labels))),
            "val": (sources.val or sources.train, torch.from_numpy(val)),
        }
        if sources.test is not None:
            splits["test"] = sources.test, torch.arange(len(sources.test.labels))
        return splits

    def _refuse_empty_split(self, train: int, val: int) -> None:
        if min(train, val) == 0:
            raise ConfigError(
                f"data.val_fraction: {self.val_fraction} leaves {train} samples for training and "
                f"{val} for validation"
            )

    def _limited(self, rows: Indices, labels: Indices) -> Indices:
        if self.limit is None or self.limit >= len(rows):
            return rows
        present = len(np.unique(labels[rows]))
        if self.limit < present:
            raise ConfigError(
                f"data.limit: must leave a sample of each of the {present} classes, "
                f"found {self.limit}"
            )
        return rows[stratified_subset(labels[rows], self.limit, self.split_seed)]

    def _describe(self, source: Source, rows: Tensor, class_names: tuple[str, ...]) -> ImageSpec:
        _, channels, height, width = source.__getitems__(rows[:1].tolist())[0].shape
        if self.mean is None or self.std is None:
            mean, std = measure(
                source.__getitems__(part.tolist())[0] for part in torch.split(rows, 1024)
            )
        else:
            mean, std = tuple(map(float, self.mean)), tuple(map(float, self.std))
        for key, values in (("mean", mean), ("std", std)):
            if len(values) != channels:
                raise ConfigError(
                    f"data.{key}: the images have {channels} channels, found {len(values)} values"
                )
        return ImageSpec(
            channels=channels,
            height=self.image_size or height,
            width=self.image_size or width,
            class_names=class_names,
            mean=mean,
            std=std,
            mirror=self.mirror,
        )

    def train_dataloader(self) -> Loader:
        """Shuffled batches, but in the stored order when the trainer overfits a few of them.

        Raises:
            ConfigError: if there are fewer than 2 samples for each process.
        """
        trainer: Any = self.trainer  # overfit_batches is not declared in Lightning's class
        overfits = trainer is not None and trainer.overfit_batches > 0
        loader = self._loader("train", self.batch_size, training=True, shuffle=not overfits)
        if len(loader) == 0:
            raise ConfigError(
                f"data.limit: {len(loader.batch_sampler.rows)} training samples are too few: "
                f"each of {loader.batch_sampler.world_size} processes needs 2 in a batch"
            )
        return loader

    def val_dataloader(self) -> Loader:
        """Every validation sample once, in the stored order."""
        return self._loader("val", self.eval_batch_size)

    def test_dataloader(self) -> Loader:
        """Every sample of :attr:`evaluate_split` once, in the stored order."""
        return self._loader(self.evaluate_split, self.eval_batch_size)

    def _loader(
        self, split: str, batch_size: int, training: bool = False, shuffle: bool = False
    ) -> Loader:
        source, rows = self._splits[split]
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        if isinstance(source, Table):
            source = self._placed(source, device)
            rows = rows.to(source.images.device)
        batches = EpochBatches(
            rows,
            batch_size,
            training=training,
            shuffle=shuffle,
            seed=self.shuffle_seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        if isinstance(source, Table):
            return TableLoader(source, batches)
        return FileLoader(source, batches, self.num_workers, pin_memory=device.type == "cuda")

    def _placed(self, table: Table, device: torch.device) -> Table:
        """The table on the device if it shall live there; moved once."""
        if device.type != "cuda" or not self.device_resident:
            return table
        key = id(table)
        if key not in self._resident:
            free, _ = torch.cuda.mem_get_info(device)
            if self.device_resident == "auto" and table.images.nbytes > free // 2:
                return table
            self._resident[key] = table.to(device)
        return self._resident[key]

    def teardown(self, stage: str) -> None:
        """Give the GPU's memory back."""
        self._resident.clear()

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch; at once if it is there (Lightning's generic walk costs every step)."""
        images, labels = batch
        if images.device == device:
            return batch
        return images.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Resize, augment (in training) and normalise on the batch's device.

        Returns:
            float32 ``[B, C, H, W]``; labels int64 ``[B]``, or float32 ``[B, K]`` if a transform
            mixes classes.
        """
        images, labels = batch
        if self.augment and self.trainer is not None and self.trainer.training:
            images = self._resized(images)
            for transform in self.augment:
                images, labels = transform(images, labels, self.spec)
        return self.preprocess(images), labels

    def preprocess(self, images: Tensor) -> Tensor:
        """What evaluation and prediction do to images: resize to the spec and normalise.

        Args:
            images: uint8 in [0, 255] or float32 in [0, 1], ``[B, C, H, W]``.

        Returns:
            float32 ``[B, C, height, width]`` of the spec.
        """
        return self._normaliser(self._resized(images))

    def _resized(self, images: Tensor) -> Tensor:
        return resize(images, self.spec.height, self.spec.width)


def _auto_workers() -> int:
    """One process a core but one for the training itself, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(0, min(8, (cores or 1) - 1))
