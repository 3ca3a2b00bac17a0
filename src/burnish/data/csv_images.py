"""Pictures named in a table, with a label each, somewhere below one folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from burnish.data.classes import class_indices, sorted_classes
from burnish.data.folder_scan import FoundImages, Labelled, listed
from burnish.data.image_files import ImageFilesModule
from burnish.data.records import Records, read_table
from burnish.data.splits import stratified_split
from burnish.errors import ConfigError, DataError


class CsvImages(ImageFilesModule):
    """One table of file names and labels (``path``), or one a split (``train``, ``val``, ``test``).

    Without a table for validation it is cut from training by ``split_seed``; so is a test split
    if ``test_fraction`` asks for one, and else there is no final test. Classes are the labels of
    the training table, in order of their value if all are numbers.

    Args:
        path: CSV, TSV or JSON lines.
        train: instead of ``path``.
        val: only together with ``train``.
        test: likewise.
        root: folder that relative file names start from; None: that of the table.
        image_column: name of the column of file names, or its position from 0.
        label_column: likewise.
        header: whether the first row names the columns; "auto": if they are given by name.
        delimiter: one character, or "tab"; None: by the table's suffix.
        allow_outside: whether a file name may lead out of ``root``, by ``..``, a link or an
            absolute path.
        test_fraction: share to cut off as test split, in (0, 1); of the whole, before
            ``val_fraction`` is taken of the rest.
        on_error: "raise": name all useless rows, missing and unreadable files and stop; "skip":
            leave them out and say so in ``notes``.
        shared: see :class:`~burnish.data.image_files.ImageFilesModule`.

    Raises:
        ConfigError: naming every argument that is out of range.
    """

    def __init__(
        self,
        *,
        path: str | Path | None = None,
        train: str | Path | None = None,
        val: str | Path | None = None,
        test: str | Path | None = None,
        root: str | Path | None = None,
        image_column: str | int = "image",
        label_column: str | int = "label",
        header: bool | Literal["auto"] = "auto",
        delimiter: str | None = None,
        allow_outside: bool = False,
        test_fraction: float | None = None,
        **shared: Any,
    ) -> None:
        given = {"train": train or path, "val": val, "test": test}
        self._both = bool(path and train)
        self.tables = {split: Path(table) for split, table in given.items() if table}
        self.columns = {"image": image_column, "label": label_column}
        self.header = header
        self.delimiter = delimiter
        self.allow_outside = allow_outside
        self.test_fraction = test_fraction
        super().__init__(root=root or next(iter(self.tables.values()), Path()).parent, **shared)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        fraction = self.test_fraction
        if self._both:
            problems.append("data.path: give it or data.train, not both")
        if self.tables and "train" not in self.tables:
            problems.append(f"data.train: missing beside data.{' and data.'.join(self.tables)}")
        if fraction is not None and not 0 < fraction < 1:
            problems.append(f"data.test_fraction: must lie between 0 and 1, found {fraction}")
        if fraction is not None and "test" in self.tables:
            problems.append("data.test_fraction: must be null where data.test is given")
        return problems

    def find(self) -> FoundImages:
        """Read the tables and see that the files exist.

        Raises:
            ConfigError: if no table is given, or ``test_fraction`` leaves a split empty.
            DataError: if a table or file cannot be used; see the class.
        """
        if not self.tables:
            raise ConfigError("data.path: required: a table of images, or data.train")
        if not self.root.is_dir():
            raise DataError(f"data.root: no folder {self.root}")
        notes: list[str] = []
        tables = {split: self._read(path, notes) for split, path in self.tables.items()}
        _refuse_conflicts(tables.values())
        labels = tables["train"].columns["label"]
        class_names = self.adopted.class_names if self.adopted else sorted_classes(labels)
        if len(class_names) < 2:
            raise DataError(
                f"{self.tables['train']}: expected at least two classes, found {class_names[0]}"
            )
        files = {split: _once(table, class_names, notes) for split, table in tables.items()}
        if self.test_fraction is not None:
            files |= self._test_cut_off(files["train"], class_names, notes)
        elif "test" not in files:
            notes.append(f"{self.tables['train']}: no table data.test, so no final test")
        _tell_overlap(files, notes)
        return FoundImages(class_names, files, notes, self.tables)

    def _read(self, path: Path, notes: list[str]) -> Records:
        """The rows whose file exists, its name made absolute."""
        table = read_table(
            path,
            self.columns,
            header=self.header,
            delimiter=self.delimiter,
            on_error=self.on_error,
        )
        notes += table.notes
        root = str(self.root.absolute())
        names = [os.path.normpath(os.path.join(root, n)) for n in table.columns["image"]]  # noqa: PTH118
        table.columns["image"] = names
        if not self.allow_outside:
            self._refuse_outside(table)
        # Unlike Path.is_file it takes a name that is too long for a missing one.
        there = [os.path.isfile(name) for name in names]  # noqa: PTH113
        if all(there):
            return table
        missing = [where for where, exists in zip(_places(table), there, strict=True) if not exists]
        said = f"{len(missing)} files are missing{listed(missing)}"
        if self.on_error == "raise" or not any(there):
            raise DataError(
                f"{path}: {said}\nSet data.root to the folder that names start from, or leave "
                "them out with data.on_error=skip"
            )
        notes.append(f"{path}: left out: {said}")
        return table.kept(there)

    def _refuse_outside(self, table: Records) -> None:
        inside = os.path.join(os.path.realpath(self.root), "")  # noqa: PTH118
        outside = [
            where
            for where, name in zip(_places(table), table.columns["image"], strict=True)
            if not os.path.realpath(name).startswith(inside)
        ]
        if outside:
            raise DataError(
                f"{table.path}: {len(outside)} files lie outside {self.root}{listed(outside)}\n"
                "Set data.root to a folder above them, or data.allow_outside=true"
            )

    def _test_cut_off(
        self, files: list[Labelled], class_names: Sequence[str], notes: list[str]
    ) -> dict[str, list[Labelled]]:
        assert self.test_fraction is not None
        labels = np.array([label for _, label in files])
        rest, test = stratified_split(labels, self.test_fraction, self.split_seed)
        if not len(test) or not len(rest):
            raise ConfigError(
                f"data.test_fraction: {self.test_fraction} leaves {len(rest)} images for "
                f"training and {len(test)} for the test"
            )
        if lost := set(labels.tolist()) - set(labels[rest].tolist()):
            names = ", ".join(class_names[label] for label in sorted(lost))
            notes.append(f"{self.tables['train']}: the test split has all images of {names}")
        return {"train": [files[i] for i in rest], "test": [files[i] for i in test]}


def _places(table: Records) -> list[str]:
    """Line and file of each row."""
    names = table.columns["image"]
    return [f"line {line}: {name}" for line, name in zip(table.lines, names, strict=True)]


def _refuse_conflicts(tables: Iterable[Records]) -> None:
    labels: dict[str, dict[str, str]] = {}
    for table in tables:
        for line, name, label in zip(table.lines, *table.columns.values(), strict=True):
            where = f"{label} in line {line} of {table.path}"
            labels.setdefault(name, {}).setdefault(label, where)
    conflicts = [
        f"{name}: {'; '.join(places.values())}"
        for name, places in labels.items()
        if len(places) > 1
    ]
    if conflicts:
        raise DataError(f"{len(conflicts)} files have two labels{listed(conflicts)}")


def _once(table: Records, class_names: Sequence[str], notes: list[str]) -> list[Labelled]:
    """Each file once with the index of its class."""
    labels = dict(zip(table.columns["image"], class_indices(table, class_names), strict=True))
    if repeated := len(table) - len(labels):
        notes.append(f"{table.path}: {repeated} rows name a file again, with the same label")
    return [(Path(name), label) for name, label in labels.items()]


def _tell_overlap(files: dict[str, list[Labelled]], notes: list[str]) -> None:
    """Say which splits share files: what was trained on is no test."""
    seen = {split: {path for path, _ in pairs} for split, pairs in files.items()}
    for one, other in combinations(seen, 2):
        if common := len(seen[one] & seen[other]):
            notes.append(f"{common} files are in both {one} and {other}")
