"""What data modules of image files share: reading, damage, caches.

A data module of its own says only which files there are (:meth:`ImageFilesModule.find`).
Shapes: N images, B batch, S side in pixels.
"""

from __future__ import annotations

import json
import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from burnish.data import fingerprint, image_cache
from burnish.data.base import Sources
from burnish.data.decode import find_damage, read_image
from burnish.data.folder_scan import FoundImages, Labelled, listed
from burnish.data.images import ImageDataModule
from burnish.data.loading import Batch, Source, Table
from burnish.errors import DataError


class ImageFiles:
    """Images read from their files whenever a batch asks for them.

    Paths are kept in one array: a list would be copied page by page into every worker process,
    because touching a Python string writes its reference count.

    Args:
        paths: N files.
        labels: int64 ``[N]``.
        size: S.
    """

    def __init__(self, paths: Sequence[Path], labels: Tensor, size: int) -> None:
        self._paths = np.array([os.fsencode(path) for path in paths])
        self.labels = labels
        self.size = size

    def paths(self, rows: Sequence[int]) -> list[Path]:
        """The files of some rows."""
        return [Path(os.fsdecode(self._paths[row])) for row in rows]

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        """Decode a batch: uint8 ``[B, 3, S, S]``, int64 ``[B]``."""
        images = np.stack([read_image(file, self.size, self.size) for file in self.paths(rows)])
        return torch.from_numpy(images), self.labels[list(rows)]


class ImageFilesModule(ImageDataModule):
    """Image files of any size and format, brought to one square size.

    The shorter side is resized to ``image_size`` and the centre cut out.

    Args:
        image_size: side in pixels.
        on_error: "raise": name all unreadable files at once and stop; "skip": leave them out
            and say so in ``notes``.
        cache: "none": decode in every epoch; "memory": decode once, keep the resized images;
            "disk": keep them in a file for later runs too.
        cache_dir: for "disk"; None: ``<root>/.burnish-cache``, else the user's cache folder.
        shared: see :class:`~burnish.data.images.ImageDataModule`; ``download`` has no effect.

    Raises:
        ConfigError: naming every argument that is out of range.
    """

    def __init__(
        self,
        *,
        image_size: int = 224,
        on_error: Literal["raise", "skip"] = "raise",
        cache: Literal["none", "memory", "disk"] = "none",
        cache_dir: str | Path | None = None,
        **shared: Any,
    ) -> None:
        self.on_error = on_error
        self.cache = cache
        self.cache_dir = Path(cache_dir) if cache_dir is not None else None
        super().__init__(image_size=image_size, **shared)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if self.image_size is None:
            problems.append("data.image_size: must be a number, files differ in size; found null")
        if self.on_error not in ("raise", "skip"):
            problems.append(f"data.on_error: must be raise or skip, found {self.on_error}")
        if self.cache not in ("none", "memory", "disk"):
            problems.append(f"data.cache: must be none, memory or disk, found {self.cache}")
        return problems

    @abstractmethod
    def find(self) -> FoundImages:
        """Which files belong to which split and class; they need not be readable."""

    def read(self) -> Sources:
        """Find the files, leave out or report unreadable ones, and fill the cache."""
        found = self.find()
        files = self._readable(found)
        paths = [path for pairs in files.values() for path, _ in pairs]
        sources = self._sources(files, paths)
        return Sources(
            train=sources["train"],
            val=sources.get("val"),
            test=sources.get("test"),
            class_names=found.class_names,
            fingerprint=fingerprint.of_files(self.root, paths, tables=found.tables),
            notes=found.notes,
        )

    def _readable(self, found: FoundImages) -> dict[str, list[Labelled]]:
        paths = [path for pairs in found.files.values() for path, _ in pairs]
        damage = self._damage(paths)
        if not damage:
            return found.files
        named = listed(f"{self.root / name}: {what}" for name, what in damage.items())
        if self.on_error == "raise":
            raise DataError(
                f"{self.root}: {len(damage)} unreadable files{named}\nRepair or remove them, or "
                "leave them out with data.on_error=skip"
            )
        found.notes.append(f"{self.root}: left out {len(damage)} unreadable files{named}")
        names = dict(zip(paths, fingerprint.relative_names(self.root, paths), strict=True))
        files = {
            split: [(path, label) for path, label in pairs if names[path] not in damage]
            for split, pairs in found.files.items()
        }
        self._refuse_lost_classes(files, found.class_names)
        return files

    def _refuse_lost_classes(
        self, files: Mapping[str, list[Labelled]], class_names: Sequence[str]
    ) -> None:
        left = {label for _, label in files["train"]}
        lost = [name for label, name in enumerate(class_names) if label not in left]
        if lost or not all(files.values()):
            empty = lost or [split for split, pairs in files.items() if not pairs]
            raise DataError(f"{self.root}: no readable image is left of {', '.join(empty)}")

    def _damage(self, paths: Sequence[Path]) -> dict[str, str]:
        """Unreadable files, relative to the root, and what is wrong with each.

        Remembered beside a disk cache; relative, as the next run may spell the root differently.
        """
        if self.cache != "disk":
            return self._find_damage(paths)
        file = self._cache_file(paths, "-damage.json")
        if not file.exists():
            found = self._find_damage(paths)
            with image_cache.replacing(file) as temporary:
                temporary.write_text(json.dumps(found))
        damage: dict[str, str] = json.loads(file.read_text())
        return damage

    def _find_damage(self, paths: Sequence[Path]) -> dict[str, str]:
        found = image_cache.in_threads(find_damage, paths)
        names = fingerprint.relative_names(self.root, paths)
        return {name: what for name, what in zip(names, found, strict=True) if what}

    def _sources(
        self, files: Mapping[str, list[Labelled]], paths: Sequence[Path]
    ) -> dict[str, Source]:
        assert self.image_size is not None
        sizes = [len(pairs) for pairs in files.values()]
        labels = torch.tensor([label for pairs in files.values() for _, label in pairs])
        parts = dict(zip(files, torch.split(labels, sizes), strict=True))
        if self.cache == "none":
            return {
                split: ImageFiles([path for path, _ in files[split]], part, self.image_size)
                for split, part in parts.items()
            }
        if self.cache == "memory":
            images = image_cache.in_memory(paths, self.image_size)
        else:
            file = self._cache_file(paths, f"-{self.image_size}.npy")
            images = image_cache.on_disk(paths, self.image_size, file)
        tables = dict(zip(files, torch.split(images, sizes), strict=True))
        return {split: Table(tables[split], part) for split, part in parts.items()}

    def _cache_file(self, paths: Sequence[Path], ending: str) -> Path:
        """Named after what the files are, so that a changed folder gets another file."""
        folder = image_cache.writable_folder(self.cache_dir, self.root)
        return folder / (fingerprint.of_files(self.root, paths, with_times=True) + ending)
