"""Sentences from the docstrings of installed packages: English text without a download."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from burnish.data.base import Sources
from burnish.data.splits import stratified_split
from burnish.data.text import TextDataModule
from burnish.data.text_table import Texts
from burnish.errors import DataError

# Distributions, which are the classes, in the order of their labels.
PACKAGES = ("lightning", "numpy", "optuna", "scikit-learn", "torch")
# Most sentences of each package: about what Lightning has; Optuna has 636.
PER_PACKAGE = 1100
MIN_WORDS, MAX_WORDS = 5, 40
# A fifth is set aside for the test, the same for every seed.
TEST_FRACTION = 0.2
TEST_SEED = 20_161
# What would give the package away without reading the sentence.
NAMES = re.compile(
    r"\b(py)?(torch|lightning|numpy|np|optuna|sklearn|scikit-learn)\b", re.IGNORECASE
)


class Docstrings(TextDataModule):
    """Which package a sentence of documentation comes from.

    The sentences are taken from the source files, without importing them; names of the packages
    are replaced by ``NAME``, and a sentence that occurs in two packages belongs to none. The same
    installed versions give the same sentences in the same order.

    Args:
        shared: see :class:`~burnish.data.text.TextDataModule`.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)

    def read(self) -> Sources:
        """Collect the sentences and set the test split aside.

        Raises:
            DataError: if a package is not installed with its source files.
        """
        texts, labels = _collect()
        rest, test = stratified_split(labels, TEST_FRACTION, TEST_SEED)
        parts = [
            Texts([texts[row] for row in rows], torch.from_numpy(labels[rows]))
            for rows in (rest, test)
        ]
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        return Sources(
            train=parts[0],
            val=None,
            test=parts[1],
            class_names=PACKAGES,
            fingerprint=hashlib.blake2b("\n".join(texts).encode(), digest_size=16).hexdigest(),
            notes=[f"sentences of {versions}: other versions give other figures"],
        )


def _collect() -> tuple[list[str], np.ndarray]:
    found = [dict.fromkeys(_sentences_of(name)) for name in PACKAGES]
    seen: dict[str, int] = {}
    for sentences in found:
        for sentence in sentences:
            seen[sentence] = seen.get(sentence, 0) + 1
    kept = [[s for s in sentences if seen[s] == 1][:PER_PACKAGE] for sentences in found]
    labels = np.repeat(np.arange(len(PACKAGES)), [len(sentences) for sentences in kept])
    return [sentence for sentences in kept for sentence in sentences], labels


def _sentences_of(name: str) -> Iterator[str]:
    """More sentences than are kept, from files spread over the whole package."""
    wanted = PER_PACKAGE + PER_PACKAGE // 4  # some will turn out to occur elsewhere
    found: set[str] = set()
    for path in _source_files(name):
        for docstring in _docstrings(ast.parse(path.read_text(encoding="utf-8"))):
            for sentence in _sentences(docstring):
                found.add(sentence)
                yield sentence
        if len(found) >= wanted:
            return
    if not found:
        raise DataError(f"data=docstrings: {name} is installed without its source files")


def _source_files(name: str) -> list[Path]:
    """In an order that depends on their names only, and jumps about."""
    try:
        listed = [file for file in files(name) or () if file.suffix == ".py"]
    except PackageNotFoundError as error:
        raise DataError(f"data=docstrings: {name} is not installed") from error
    sources = [file for file in listed if not {"tests", "testing", "test"} & {*file.parts}]
    order = sorted(sources, key=lambda file: hashlib.blake2b(file.as_posix().encode()).digest())
    return [Path(str(file.locate())) for file in order]


def _docstrings(tree: ast.Module) -> Iterator[str]:
    """Of the module and of its public classes, functions and methods."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module) or (
            isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
        ):
            yield ast.get_docstring(node) or ""


# Where prose ends in the layouts of Google and NumPy docstrings.
SECTION = re.compile(
    r"^\s*(?:\w[\w ]*\n\s*-{3,}|(?:Args|Arguments|Examples?|Returns?|Raises)\s*:)", re.MULTILINE
)
# From a capital to a full stop with space behind it: "0.5" and "torch.nn" do not end one.
SENTENCE = re.compile(r"[A-Z][^.!?]*(?:[.!?](?!\s|$)[^.!?]*)*[.!?](?=\s|$)")
MARKUP = re.compile(r":\w+:`~?([^`<]*)[^`]*`|[`*]+|\s+")


def _sentences(docstring: str) -> Iterator[str]:
    prose = SECTION.split(docstring, maxsplit=1)[0]
    for paragraph in re.split(r"\n\s*\n", prose):
        if re.search(r">>>|::|\.\. |^\s*[-*|+=]|[{}\\]|https?:", paragraph, re.MULTILINE):
            continue  # code, lists, tables, formulas
        plain = MARKUP.sub(lambda match: match[1] or (" " if match[0].isspace() else ""), paragraph)
        for sentence in SENTENCE.findall(plain):
            if MIN_WORDS <= len(sentence.split()) <= MAX_WORDS:
                yield NAMES.sub("NAME", sentence)
