"""Images: their spec, and the batch's way to the net.

A data module of its own says only where images come from (:meth:`ImageDataModule.read`).
Shapes: N samples, B batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from burnish.data.augment import Transform
from burnish.data.base import DataModule, Splits
from burnish.data.cores import cores
from burnish.data.loading import Batch, Source, Table
from burnish.data.normalise import Normaliser, measure, resize
from burnish.errors import ConfigError, DataError
from burnish.spec import ImageSpec


class ImageDataModule(DataModule):
    """Images with one label each; loaders yield uint8 batches, the hooks turn them into floats.

    Args:
        root: folder of the data sets.
        image_size: height and width in pixels that images are resized to; None keeps theirs.
        num_workers: processes that read files; None: one a core but one, at most 8. Tables in
            memory need none.
        download: whether missing data may be fetched.
        device_resident: whether a table moves to the GPU; "auto": if it fits in half of the
            free memory.
        mean: per channel, of pixels in [0, 1]; None: measured on the training samples.
        std: likewise.
        augment: transforms of training batches, in order.
        shared: see :class:`~burnish.data.base.DataModule`.

    Raises:
        ConfigError: naming every argument that is out of range.
    """

    # Whether a mirrored image still shows its class.
    mirror = True
    for_loaders = DataModule.for_loaders | (
        {"augment", "device_resident", "_resident", "_normaliser"}
    )

    spec: ImageSpec

    def __init__(
        self,
        *,
        root: str | Path = "data",
        image_size: int | None = None,
        num_workers: int | None = None,
        download: bool = False,
        device_resident: bool | Literal["auto"] = "auto",
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        augment: Sequence[Transform] = (),
        **shared: Any,
    ) -> None:
        self.root = Path(root)
        self.image_size = image_size
        self.download = download
        self.device_resident = device_resident
        self.mean = mean
        self.std = std
        self.augment = tuple(augment)
        self._resident: dict[int, Table] = {}
        self._normaliser: Normaliser | None = None
        super().__init__(
            num_workers=_auto_workers() if num_workers is None else num_workers, **shared
        )

    def _problems(self) -> list[str]:
        problems = super()._problems() + self._not_whole({"image_size": 1})
        if self.device_resident not in (True, False, "auto"):
            problems.append(
                f"data.device_resident: must be true, false or auto, found {self.device_resident}"
            )
        if (self.mean is None) != (self.std is None):
            problems.append("data.mean: give mean and std together, or null for both")
        if self.std is not None and any(value <= 0 for value in self.std):
            problems.append(f"data.std: must be greater than 0, found {list(self.std)}")
        return problems

    def describe(self, splits: Splits, class_names: tuple[str, ...]) -> tuple[ImageSpec, Splits]:
        """Size, channels, and the normalisation, given or measured on the training samples.

        Raises:
            ConfigError: if ``mean`` or ``std`` has another number of channels than the images.
            DataError: if the images do not fit the adopted spec.
        """
        source, rows = splits["train"]
        _, channels, height, width = source.__getitems__(rows[:1].tolist())[0].shape
        spec = self._adopted_spec(channels) or ImageSpec(
            channels,
            self.image_size or height,
            self.image_size or width,
            class_names,
            *self._normalisation(source, rows, channels),
            mirror=self.mirror,
        )
        return spec, splits

    def _adopted_spec(self, channels: int) -> ImageSpec | None:
        if self.adopted is None:
            return None
        if not isinstance(self.adopted, ImageSpec):
            raise DataError("data: these are images, but the run was trained on texts")
        if self.adopted.channels != channels:
            raise DataError(
                f"data: the images have {channels} channels, but the run was trained on "
                f"{self.adopted.channels}"
            )
        return self.adopted

    def _normalisation(
        self, source: Source, rows: Tensor, channels: int
    ) -> tuple[tuple[float, ...], tuple[float, ...]]:
        if self.mean is None or self.std is None:
            return measure(
                source.__getitems__(part.tolist())[0] for part in torch.split(rows, 1024)
            )
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels:
                raise ConfigError(
                    f"data.{key}: the images have {channels} channels, found {len(values)} values"
                )
        return tuple(map(float, self.mean)), tuple(map(float, self.std))

    def normalise_by(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """Take the normalisation that pretrained weights expect instead of this data's."""
        self.spec = replace(self.spec, mean=mean, std=std)
        self._normaliser = None

    def placed(self, source: Source, device: torch.device) -> Source:
        """A table on the device if it shall live there; moved once."""
        if not isinstance(source, Table) or device.type != "cuda" or not self.device_resident:
            return source
        key = id(source)
        if key not in self._resident:
            free, _ = torch.cuda.mem_get_info(device)
            if self.device_resident == "auto" and source.images.nbytes > free // 2:
                return source
            self._resident[key] = source.to(device)
        return self._resident[key]

    def teardown(self, stage: str) -> None:
        """Give the GPU's memory back."""
        self._resident.clear()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Resize, augment (in training) and normalise on the batch's device."""
        if self.trainer is not None and self.trainer.training:
            return self.for_training(batch)
        images, labels = batch
        return self.preprocess(images), labels

    def for_training(self, batch: Batch) -> Batch:
        """Resize, augment and normalise.

        Returns:
            float32 ``[B, C, H, W]``; labels int64 ``[B]``, or float32 ``[B, K]`` if a transform
            mixes classes.
        """
        images, labels = batch
        if self.augment:
            images = self._resized(images)
            for transform in self.augment:
                images, labels = transform(images, labels, self.spec)
        return self.preprocess(images), labels

    def preprocess(self, inputs: Tensor) -> Tensor:
        """What evaluation and prediction do to images: resize to the spec and normalise.

        Args:
            inputs: uint8 in [0, 255] or float32 in [0, 1], ``[B, C, H, W]``.

        Returns:
            float32 ``[B, C, height, width]`` of the spec.
        """
        if self._normaliser is None:
            self._normaliser = Normaliser(self.spec.mean, self.spec.std)
        return self._normaliser(self._resized(inputs))

    def _resized(self, images: Tensor) -> Tensor:
        return resize(images, self.spec.height, self.spec.width)


def _auto_workers() -> int:
    """One process a core but one for the training itself, at most 8."""
    return max(0, min(8, cores() - 1))
