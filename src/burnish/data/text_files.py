"""Texts of one's own in CSV, TSV or JSON-lines files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from burnish.data.base import Sources
from burnish.data.classes import class_indices, sorted_classes
from burnish.data.records import Header, OnError, Records, read_table
from burnish.data.splits import stratified_split
from burnish.data.text import TextDataModule
from burnish.data.text_table import Texts
from burnish.errors import DataError

PLACES = ("path", "train", "val", "test")


class TextFiles(TextDataModule):
    """A text and its label a row, in one file or in one a split.

    Args:
        path: one file that test and validation are cut from, stratified, by ``split_seed``.
        train: instead of ``path``: the training file.
        val: the validation file; without it validation is cut from training.
        test: the test file; without it there is no final test.
        test_fraction: share of ``path`` that is set aside for the test; None: no test.
        text_column: name, or position from 0.
        label_column: likewise; labels are words or numbers.
        header: whether the first row names the columns; "auto": if a column is given by name.
        delimiter: one character or "tab"; None: by the suffix.
        on_error: "raise" names all useless rows at once; "skip" leaves them out and says so.
        shared: see :class:`~burnish.data.text.TextDataModule`.

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
        test_fraction: float | None = 0.2,
        text_column: str | int = "text",
        label_column: str | int = "label",
        header: Header = "auto",
        delimiter: str | None = None,
        on_error: OnError = "raise",
        **shared: Any,
    ) -> None:
        self.files = {
            name: Path(given)
            for name, given in zip(PLACES, (path, train, val, test), strict=True)
            if given is not None
        }
        self.test_fraction = test_fraction
        self.columns = {"text": text_column, "label": label_column}
        self.header = header
        self.delimiter = delimiter
        self.on_error = on_error
        super().__init__(**shared)

    def _problems(self) -> list[str]:
        problems = super()._problems()
        if ("path" in self.files) == ("train" in self.files):
            problems.append(
                "data.path: give the one file that the splits are cut from, or data.train"
            )
        elif "path" in self.files and len(self.files) > 1:
            others = " and ".join(f"data.{name}" for name in self.files if name != "path")
            problems.append(f"{others}: goes with data.train, not with data.path")
        share = self.test_fraction
        if share is not None and not (isinstance(share, float) and 0 < share < 1):
            problems.append(f"data.test_fraction: must lie between 0 and 1, found {share!r}")
        return problems

    def read(self) -> Sources:
        """Read the files; cut the test split off if there is one file only.

        Raises:
            DataError: if a file or column is missing, rows are useless, or val or test have
                classes that train does not have.
        """
        tables = {
            name: read_table(
                file,
                self.columns,
                header=self.header,
                delimiter=self.delimiter,
                on_error=self.on_error,
            )
            for name, file in self.files.items()
        }
        main = tables.get("train") or tables["path"]
        class_names = self.adopted.class_names if self.adopted else self._class_names(main)
        splits = {name: _texts(table, class_names) for name, table in tables.items()}
        if "path" in splits:
            splits = self._cut_test(splits["path"])
        return Sources(
            train=splits["train"],
            val=splits.get("val"),
            test=splits.get("test"),
            class_names=class_names,
            fingerprint=_fingerprint(tables),
            notes=[note for table in tables.values() for note in table.notes],
        )

    def _class_names(self, table: Records) -> tuple[str, ...]:
        names = sorted_classes(table.columns["label"])
        if len(names) < 2:
            raise DataError(
                f"{table.path}: every row has the label {names[0]!r}; is data.label_column="
                f"{self.columns['label']} the column of the classes?"
            )
        if len(names) == len(table) > 2:
            raise DataError(
                f"{table.path}: every row has a label of its own; is data.label_column="
                f"{self.columns['label']} the column of the classes?"
            )
        return names

    def _cut_test(self, whole: Texts) -> dict[str, Texts]:
        if self.test_fraction is None:
            return {"train": whole}
        rest, test = stratified_split(whole.labels.numpy(), self.test_fraction, self.split_seed)
        return {
            name: Texts([whole.texts[row] for row in rows], whole.labels[torch.from_numpy(rows)])
            for name, rows in (("train", rest), ("test", test))
        }


def _texts(table: Records, class_names: tuple[str, ...]) -> Texts:
    return Texts(table.columns["text"], torch.tensor(class_indices(table, class_names)))


def _fingerprint(tables: Mapping[str, Records]) -> str:
    """Of texts and labels as they were read: a file may be renamed or written in another format."""
    digest = hashlib.blake2b(digest_size=16)
    for name, table in tables.items():
        digest.update(f"{name}\0{len(table)}\0".encode())
        for text, label in zip(table.columns["text"], table.columns["label"], strict=True):
            digest.update(f"{label}\0{text}\0".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
