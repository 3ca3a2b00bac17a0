"""Texts: the vocabulary, and tables of one's own.

A data module of its own says only where texts come from (:meth:`TextDataModule.read`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from burnish.data import tokenize
from burnish.data.augment import Transform
from burnish.data.base import DataModule, Splits
from burnish.data.text_table import Texts, encode
from burnish.errors import ConfigError, DataError
from burnish.spec import RESERVED, TextSpec

BYTES = 256  # the tokens that byte pair encoding begins with


class TextDataModule(DataModule):
    """Texts with one label each; loaders yield token ids padded to the batch's longest text.

    Batches hold texts of similar length, and padding is id 0, which occurs nowhere else. The
    vocabulary is learned from the training split alone, and travels in the spec.

    Args:
        tokenizer: ``char``, ``word`` or ``bpe``, see :func:`burnish.data.tokenize.fit`.
        max_length: in tokens; longer texts are cut off there, and counted in ``notes``.
        min_frequency: tokens that are rarer in the training split are unknown.
        vocabulary_size: most ids; None: no limit.
        lowercase: lower-case the texts.
        augment: must be empty: the transforms are for images.
        shared: see :class:`~burnish.data.base.DataModule`.

    Raises:
        ConfigError: naming every argument that is out of range.
    """

    spec: TextSpec

    def __init__(
        self,
        *,
        tokenizer: tokenize.Kind = "char",
        max_length: int = 256,
        min_frequency: int = 2,
        vocabulary_size: int | None = 20_000,
        lowercase: bool = False,
        augment: Sequence[Transform] = (),
        **shared: Any,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.min_frequency = min_frequency
        self.vocabulary_size = vocabulary_size
        self.lowercase = lowercase
        self.augment = tuple(augment)
        self._vocabulary: TextSpec | None = None
        super().__init__(**shared)

    def _problems(self) -> list[str]:
        smallest = len(RESERVED) + (BYTES if self.tokenizer == "bpe" else 1)
        at_least = {"max_length": 1, "min_frequency": 1, "vocabulary_size": smallest}
        problems = super()._problems() + self._not_whole(at_least)
        if self.tokenizer not in ("char", "word", "bpe"):
            problems.append(f"data.tokenizer: must be char, word or bpe, found {self.tokenizer!r}")
        if self.tokenizer == "bpe" and self.vocabulary_size is None:
            problems.append("data.vocabulary_size: bpe needs one; 8000 is usual")
        if self.augment:
            problems.append("augment: changes images, but the data is text; use augment=none")
        return problems

    def adopt_vocabulary(self, spec: TextSpec) -> None:
        """Keep the ids of an earlier run, whose weights will be started from.

        Args:
            spec: of the run; before :meth:`setup`.
        """
        self._vocabulary = spec

    def describe(self, splits: Splits, class_names: tuple[str, ...]) -> tuple[TextSpec, Splits]:
        """The vocabulary of the training split, and the texts as ids.

        Raises:
            DataError: if the adopted spec is not one of texts, or no token is frequent enough.
        """
        train, rows = splits["train"]
        assert isinstance(train, Texts)
        spec = self._adopted_spec() or self._fit([train.texts[row] for row in rows], class_names)
        reader = tokenize.tokenizer(spec)
        sources = {id(source): source for source, _ in splits.values()}
        tables = {
            key: encode(source, reader, spec.max_length)
            for key, source in sources.items()
            if isinstance(source, Texts)
        }
        encoded = {name: (tables[id(source)], rows) for name, (source, rows) in splits.items()}
        cut = {
            name: int((table.tokens[rows] > spec.max_length).sum())
            for name, (table, rows) in encoded.items()
        }
        if any(cut.values()):
            counts = ", ".join(
                f"{n:,} of {len(encoded[name][1]):,} {name}" for name, n in cut.items()
            )
            self.notes.append(
                f"texts cut at data.max_length={spec.max_length} {_UNITS[spec.tokenizer]}: {counts}"
            )
        if empty := sum(int((table.tokens[rows] == 0).sum()) for table, rows in encoded.values()):
            self.notes.append(f"{empty:,} texts have no token that data.tokenizer knows of")
        self.notes += _seen_in_training(splits)
        return spec, dict(encoded)

    def _fit(self, texts: Sequence[str], class_names: tuple[str, ...]) -> TextSpec:
        if self._vocabulary is not None:
            return replace(self._vocabulary, class_names=class_names)
        spec = tokenize.fit(
            texts,
            class_names,
            kind=self.tokenizer,
            max_length=self.max_length,
            min_frequency=self.min_frequency,
            vocabulary_size=self.vocabulary_size,
            lowercase=self.lowercase,
        )
        if spec.vocabulary_size == len(RESERVED):
            raise ConfigError(
                f"data.min_frequency: no token occurs {self.min_frequency} times in the training "
                "split; choose a smaller number"
            )
        return spec

    def _adopted_spec(self) -> TextSpec | None:
        if self.adopted is None or isinstance(self.adopted, TextSpec):
            return self.adopted
        raise DataError("data: these are texts, but the run was trained on images")


def _seen_in_training(splits: Splits) -> list[str]:
    """A sentence for each split whose texts occur in the training split too."""
    found = {}
    for name, (source, rows) in splits.items():
        assert isinstance(source, Texts)
        found[name] = [source.texts[row] for row in rows]
    known = set(found.pop("train"))
    twice = {name: sum(text in known for text in texts) for name, texts in found.items()}
    return [
        f"{count:,} of {len(found[name]):,} texts of {name} occur in train word for word: its "
        "figures flatter what learns by heart"
        for name, count in twice.items()
        if count
    ]


_UNITS = {"char": "characters", "word": "words", "bpe": "byte pairs"}
