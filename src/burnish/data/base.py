"""What all data modules share: splits, folds, sampling, limits, loaders.

A data module of its own says where samples come from (:meth:`DataModule.read`) and what a model
must know of them (:meth:`DataModule.describe`); :class:`~burnish.data.images.ImageDataModule` and
:class:`~burnish.data.text.TextDataModule` do the second.
Shapes: N samples, B batch, K classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from burnish.data import cutting, sharing
from burnish.data.loading import Batch, EpochBatches, FileLoader, InMemory, Source, TableLoader
from burnish.data.order import Sampling, draw
from burnish.errors import ConfigError, DataError
from burnish.spec import Spec

Loader = TableLoader | FileLoader
# Split name to the source of its samples and their rows in it, int64 ``[N]``.
Splits = dict[str, tuple[Source, Tensor]]


@dataclass(frozen=True)
class Sources:
    """What :meth:`DataModule.read` finds.

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


class DataModule(pl.LightningDataModule):
    """Samples with one label each.

    After :meth:`setup` it has: ``spec``; ``splits``, split name to source and rows; ``has_test``;
    ``class_counts``, split name to samples per class; ``val_indices``, rows of the training source
    (empty if the data set brings its own validation split); ``fingerprint``, a content hash;
    ``notes``, one line each. Inside :func:`burnish.data.sharing.shared` it gets all this from an
    equal module that was set up before.

    Args:
        batch_size: training samples a step and process.
        eval_batch_size: samples a step and process in validation and test.
        val_fraction: share of the training source that is cut off for validation, in (0, 1).
        num_folds: cross-validation: the training source is cut into so many parts, and one of
            them takes the place of the ``val_fraction``; None: no cross-validation.
        fold: which part validates, from 0.
        split_seed: decides which samples; kept apart from the run's seed, so that runs with
            several seeds are compared on the same samples.
        shuffle_seed: of the training order.
        sampler: "none": every training sample once an epoch; "balanced": as many, but each class
            equally often; "undersample": of each class as many as the rarest has, others in each
            epoch.
        num_workers: processes that read files; None: one a core but one, at most 8. What lies in
            memory needs none.
        limit: train on so many samples only, in proportion to the classes; taken after the
            validation split.

    Raises:
        ConfigError: naming every argument that is out of range.
    """

    # What test_dataloader serves: any split can be scored the way the test split is.
    evaluate_split: Literal["train", "val", "test"] = "test"
    # Attributes that setup does not look at, so that modules share a state whatever they hold.
    # A class elsewhere shares only if it says so: ``for_loaders = ImageDataModule.for_loaders``.
    for_loaders: ClassVar[frozenset[str]] = frozenset(
        {"batch_size", "eval_batch_size", "shuffle_seed", "sampler", "num_workers"}
        | {"evaluate_split", "trainer"}
    )

    spec: Spec
    has_test: bool
    class_counts: dict[str, list[int]]
    val_indices: list[int]
    fingerprint: str
    notes: list[str]
    splits: Splits

    def __init_subclass__(cls, **options: Any) -> None:
        """Spare every ``prepare_data`` its work where the data is at hand."""
        super().__init_subclass__(**options)
        if own := vars(cls).get("prepare_data"):
            cls.prepare_data = sharing.unless_at_hand(own)  # type: ignore[assignment]

    def __init__(
        self,
        *,
        batch_size: int = 64,
        eval_batch_size: int = 512,
        val_fraction: float = 0.1,
        num_folds: int | None = None,
        fold: int | None = None,
        split_seed: int = 0,
        shuffle_seed: int = 0,
        sampler: Sampling = "none",
        num_workers: int = 0,
        limit: int | None = None,
    ) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_fraction = val_fraction
        self.num_folds = num_folds
        self.fold = fold
        self.split_seed = split_seed
        self.shuffle_seed = shuffle_seed
        self.sampler = sampler
        self.num_workers = num_workers
        self.limit = limit
        self.splits = {}
        self.adopted: Spec | None = None
        if problems := self._problems():
            raise ConfigError(problems)

    def _problems(self) -> list[str]:
        """One line for each argument out of range; subclasses add their own."""
        at_least = {"batch_size": 1, "eval_batch_size": 1, "num_workers": 0, "limit": 1}
        at_least |= {"split_seed": 0, "shuffle_seed": 0, "num_folds": 2, "fold": 0}
        problems = self._not_whole(at_least)
        if not (isinstance(self.val_fraction, float) and 0 < self.val_fraction < 1):
            problems.append(
                f"data.val_fraction: must lie between 0 and 1, found {self.val_fraction}"
            )
        if (self.num_folds is None) != (self.fold is None):
            problems.append("data.fold: give data.num_folds and data.fold together, or neither")
        elif self.num_folds and self.fold is not None and self.fold >= self.num_folds:
            problems.append(
                f"data.fold: must be at most {self.num_folds - 1} of {self.num_folds} folds, "
                f"which count from 0; found {self.fold}"
            )
        if self.sampler not in ("none", "balanced", "undersample"):
            problems.append(
                f"data.sampler: must be none, balanced or undersample, found {self.sampler!r}"
            )
        return problems

    def _not_whole(self, at_least: dict[str, int]) -> list[str]:
        return [
            f"data.{key}: must be an integer of at least {least}, found {value!r}"
            for key, least in at_least.items()
            if (value := getattr(self, key)) is not None
            and not (isinstance(value, int) and value >= least)
        ]

    def adopt(self, spec: Spec) -> None:
        """Describe the data by the spec of an earlier run, not by what is measured here.

        What was trained with one normalisation or vocabulary is evaluated with the same.

        Args:
            spec: of the run; before :meth:`setup`.
        """
        self.adopted = spec

    @abstractmethod
    def read(self) -> Sources:
        """Find or read the samples; called once a process."""

    @abstractmethod
    def describe(self, splits: Splits, class_names: tuple[str, ...]) -> tuple[Spec, Splits]:
        """What a model must know of the samples, and the samples as batches are made of them.

        Everything that is learned from data is learned from ``splits["train"]`` alone; if
        :attr:`adopted` is set, it is the answer.
        """

    def setup(self, stage: str | None = None) -> None:
        """Read, split and describe the data; a second call does nothing.

        Args:
            stage: ignored: all splits are set up together, so that ``spec`` is complete.

        Raises:
            ConfigError: if the split or ``limit`` leaves too few samples.
            DataError: if files are missing or unreadable, or do not fit the adopted spec.
        """
        if self.splits or sharing.recall(self):
            return
        with sharing.keeping(self):
            self._read_and_describe()

    def _read_and_describe(self) -> None:
        sources = self.read()
        self._refuse_other_classes(sources.class_names)
        splits = self._split(sources)
        self.has_test = sources.test is not None
        self.fingerprint = sources.fingerprint
        self.notes = list(sources.notes)
        self.class_counts = {
            name: torch.bincount(source.labels[rows], minlength=len(sources.class_names)).tolist()
            for name, (source, rows) in splits.items()
        }
        self.val_indices = splits["val"][1].tolist() if sources.val is None else []
        self.spec, self.splits = self.describe(splits, sources.class_names)

    def _refuse_other_classes(self, found: tuple[str, ...]) -> None:
        if self.adopted is not None and found != self.adopted.class_names:
            raise DataError(
                f"data: the classes are {_shortly(found)}, but the run was trained on "
                f"{_shortly(self.adopted.class_names)}"
            )

    def _split(self, sources: Sources) -> Splits:
        labels = sources.train.labels.numpy()
        if sources.val is None:
            train, val = cutting.cut(
                labels, self.val_fraction, self.num_folds, self.fold, self.split_seed
            )
        else:
            if self.num_folds is not None:
                raise ConfigError(
                    "data.num_folds: this data has a validation split of its own; "
                    "cross-validation is for data that validation is cut from"
                )
            train, val = np.arange(len(labels)), np.arange(len(sources.val.labels))
        train = cutting.limited(train, labels, self.limit, self.split_seed)
        splits = {
            "train": (sources.train, torch.from_numpy(train)),
            "val": (sources.val or sources.train, torch.from_numpy(val)),
        }
        if sources.test is not None:
            splits["test"] = sources.test, torch.arange(len(sources.test.labels))
        return splits

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
        """Every validation sample once, always in the same order."""
        return self._loader("val", self.eval_batch_size)

    def test_dataloader(self) -> Loader:
        """Every sample of :attr:`evaluate_split` once, always in the same order."""
        return self._loader(self.evaluate_split, self.eval_batch_size)

    def _loader(
        self, split: str, batch_size: int, training: bool = False, shuffle: bool = False
    ) -> Loader:
        source, rows = self.splits[split]
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        lengths: Tensor | None = getattr(source, "lengths", None)
        labels = source.labels[rows].numpy() if training else None
        source = self.placed(source, device)
        batches = EpochBatches(
            rows.to(source.labels.device),
            batch_size,
            training=training,
            shuffle=shuffle,
            seed=self.shuffle_seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            draw=None if labels is None else draw(labels, self.sampler),
            lengths=None if lengths is None else lengths[rows],
        )
        if isinstance(source, InMemory):
            return TableLoader(source, batches)
        return FileLoader(source, batches, self.num_workers, pin_memory=device.type == "cuda")

    def placed(self, source: Source, device: torch.device) -> Source:
        """The source where batches shall be made; here it stays where it is."""
        return source

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move a batch; at once if it is there (Lightning's generic walk costs every step)."""
        inputs, labels = batch
        if inputs.device == device:
            return batch
        return inputs.to(device, non_blocking=True), labels.to(device, non_blocking=True)

    def for_training(self, batch: Batch) -> Batch:
        """A batch of the training loader as the net is trained on it; here as it is."""
        return batch

    def preprocess(self, inputs: Tensor) -> Tensor:
        """What evaluation and prediction do to a batch's inputs on their device; here nothing."""
        return inputs


def _shortly(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
