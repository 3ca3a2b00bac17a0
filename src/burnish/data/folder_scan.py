"""Which images a folder of class folders holds, and for which split; without torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from burnish.errors import DataError

SPLITS = ("train", "val", "test")
NAMED = 20  # files named in a message; the rest are counted

Labelled = tuple[Path, int]  # a file and the index of its class


@dataclass
class FoundImages:
    """What lies where.

    Args:
        class_names: names of the classes of the training split, in the order of their indices.
        files: split name to its files, sorted by class and path in a folder of class folders.
        notes: one line each about what was left out.
        tables: the tables that say so, by what they are for; none for folders.
    """

    class_names: tuple[str, ...]
    files: dict[str, list[Labelled]]
    notes: list[str] = field(default_factory=list)
    tables: dict[str, Path] = field(default_factory=dict)


@cache
def extensions() -> frozenset[str]:
    """How the names of pictures end, in small letters."""
    from PIL import features  # here: commands that must start at once see this file

    # Pillow may be built without these two.
    more = {
        ".avif": "avif" in features.modules and features.check_module("avif"),
        ".jp2": features.check_codec("jpg_2000"),
    }
    always = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
    return frozenset(always | {ending for ending, there in more.items() if there})


def listed(lines: Iterable[str]) -> str:
    """The first of many lines, indented, each after a line break; the rest counted."""
    lines = list(lines)
    more = [f"and {len(lines) - NAMED} more"] if len(lines) > NAMED else []
    return "".join(f"\n  {line}" for line in [*lines[:NAMED], *more])


def scan(root: Path) -> FoundImages:
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
    found = FoundImages(names, {})
    for split, folder in folders.items():
        found.files[split] = _files_of_split(folder, found)
    if "test" not in folders:
        found.notes.append(f"{root}: no test folder, so the final test is left out")
    return found


def _class_folders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _files_of_split(folder: Path, found: FoundImages) -> list[Labelled]:
    labels = {name: label for label, name in enumerate(found.class_names)}
    folders = _class_folders(folder)
    if unknown := [f.name for f in folders if f.name not in labels]:
        raise DataError(f"{folder}: classes that train does not have: {', '.join(unknown)}")
    pairs, others = [], 0
    for class_folder in folders:
        everything = _walk(class_folder)
        images = [path for path in everything if path.suffix.lower() in extensions()]
        if not images:
            raise DataError(f"{class_folder}: no images ({', '.join(sorted(extensions()))})")
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
