"""Which images a folder of class folders holds, and for which split."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from burnish.data.decode import EXTENSIONS
from burnish.errors import DataError

SPLITS = ("train", "val", "test")


@dataclass
class FolderScan:
    """What lies where.

    Args:
        class_names: sorted names of the class folders of the training split.
        files: split name to ``(path, label)`` pairs, sorted by class and path.
        notes: one line each about what was left out.
    """

    class_names: tuple[str, ...]
    files: dict[str, list[tuple[Path, int]]]
    notes: list[str] = field(default_factory=list)


def scan(root: Path) -> FolderScan:
    """Recognise ``train/ [val/] [test/]`` with class folders in each, or class folders alone.

    Raises:
        DataError: if there is no such layout, a class folder has no images, or a class of
            ``val`` or ``test`` does not occur in ``train``.
    """
    if not root.is_dir():
        raise DataError(f"data.root: no folder {root}; expected train/ and class folders in it")
    folders = {name: root / name for name in SPLITS if (root / name).is_dir()}
    if folders and "train" not in folders:
        raise DataError(f"{root}: has {', '.join(folders)} but no train")
    folders = folders or {"train": root}
    names = tuple(folder.name for folder in _class_folders(folders["train"]))
    if len(names) < 2:
        raise DataError(f"{folders['train']}: expected a folder a class, found {list(names)}")
    found = FolderScan(names, {})
    for split, folder in folders.items():
        found.files[split] = _files_of_split(folder, found)
    if "test" not in folders:
        found.notes.append(f"{root}: no test folder, so the final test is left out")
    return found


def _class_folders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _files_of_split(folder: Path, found: FolderScan) -> list[tuple[Path, int]]:
    labels = {name: label for label, name in enumerate(found.class_names)}
    folders = _class_folders(folder)
    if unknown := [f.name for f in folders if f.name not in labels]:
        raise DataError(f"{folder}: classes that train does not have: {', '.join(unknown)}")
    pairs, others = [], 0
    for class_folder in folders:
        everything = _walk(class_folder)
        images = [path for path in everything if path.suffix.lower() in EXTENSIONS]
        if not images:
            raise DataError(f"{class_folder}: no images ({', '.join(sorted(EXTENSIONS))})")
        others += len(everything) - len(images)
        pairs += [(path, labels[class_folder.name]) for path in images]
    if not pairs:
        raise DataError(f"{folder}: no class folders")
    if others:
        found.notes.append(f"{folder}: {others} files that are no images left out")
    return pairs


def _walk(folder: Path) -> list[Path]:
    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if not name.startswith(".")
    )
