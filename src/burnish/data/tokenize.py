"""Texts to token ids and back, by characters, words or byte pairs.

A tokenizer is made from a :class:`~burnish.spec.TextSpec` alone; nothing heavier than NumPy and the
``tokenizers`` library is imported.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import models, normalizers, pre_tokenizers, trainers

from burnish.spec import RESERVED, UNKNOWN, TextSpec

Kind = Literal["char", "word", "bpe"]
Ids = NDArray[np.int32]
Lengths = NDArray[np.int64]

HIGHEST_CODE_POINT = 0x10FFFF


class Tokenizer(Protocol):
    """Texts to ids."""

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        """The ids of all texts one after another, and how many each text has."""


def tokenizer(spec: TextSpec) -> Tokenizer:
    """The tokenizer that the spec describes."""
    return CharTokenizer(spec) if spec.tokenizer == "char" else LibraryTokenizer(spec)


def fit(
    texts: Sequence[str],
    class_names: tuple[str, ...],
    *,
    kind: Kind = "char",
    max_length: int = 256,
    min_frequency: int = 1,
    vocabulary_size: int | None = None,
    lowercase: bool = False,
) -> TextSpec:
    """Learn a vocabulary; the same texts always give the same.

    Args:
        texts: of the training split and no other.
        class_names: one a class.
        kind: ``char``: every character is a token; ``word``: runs of letters and digits, each
            punctuation mark and each Chinese character; ``bpe``: byte pair encoding (Sennrich et
            al. 2016, https://arxiv.org/abs/1508.07909) over bytes, so that nothing is unknown.
        max_length: in tokens.
        min_frequency: rarer tokens are unknown (``bpe``: rarer pairs are not joined).
        vocabulary_size: most ids, the two reserved ones included; None: no limit, which ``bpe``
            cannot do without.
        lowercase: lower-case the texts first.
    """
    if kind == "char":
        tokens = _characters(texts, min_frequency, lowercase)
        tokens = tokens if vocabulary_size is None else tokens[: vocabulary_size - len(RESERVED)]
        return TextSpec(class_names, kind, (*RESERVED, *tokens), max_length, lowercase)
    vocabulary, merges = _trained(texts, kind, min_frequency, vocabulary_size, lowercase)
    return TextSpec(class_names, kind, vocabulary, max_length, lowercase, merges)


def _code_points(texts: Iterable[str]) -> NDArray[np.uint32]:
    return np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _characters(texts: Iterable[str], min_frequency: int, lowercase: bool) -> tuple[str, ...]:
    """The most frequent first, in the order of Unicode where they are equal."""
    counts = np.bincount(_code_points(map(str.lower, texts) if lowercase else texts))
    order = np.argsort(-counts, kind="stable")
    return tuple(chr(point) for point in order[counts[order] >= max(min_frequency, 1)])


class CharTokenizer:
    """One id a character, looked up in an array over all of Unicode (4 MB).

    Args:
        spec: with ``tokenizer`` ``char``.
    """

    def __init__(self, spec: TextSpec) -> None:
        self.lowercase = spec.lowercase
        self._ids = np.full(HIGHEST_CODE_POINT + 1, UNKNOWN, dtype=np.int32)
        known = spec.vocabulary[len(RESERVED) :]
        self._ids[_code_points(known)] = np.arange(len(RESERVED), len(spec.vocabulary))

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        """Ids int32 ``[tokens of all texts]``; lengths int64 ``[texts]``."""
        # Lower-casing may change the number of characters, so it comes before counting.
        texts = [text.lower() for text in texts] if self.lowercase else texts
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        return self._ids[_code_points(texts)], lengths


class LibraryTokenizer:
    """Words or byte pairs, by the ``tokenizers`` library.

    Args:
        spec: with ``tokenizer`` ``word`` or ``bpe``.
    """

    def __init__(self, spec: TextSpec) -> None:
        self._spec = spec

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        ids = {token: i for i, token in enumerate(self._spec.vocabulary)}
        if self._spec.tokenizer == "word":
            model: models.Model = models.WordLevel(ids, unk_token=RESERVED[UNKNOWN])
        else:
            pairs = [merge.partition(" ") for merge in self._spec.merges]
            model = models.BPE(ids, [(left, right) for left, _, right in pairs])
        return _empty(self._spec.tokenizer, model, self._spec.lowercase)

    def encode(self, texts: Sequence[str]) -> tuple[Ids, Lengths]:
        """Ids int32 ``[tokens of all texts]``; lengths int64 ``[texts]``."""
        encoded = [e.ids for e in self._tokenizer.encode_batch_fast(texts)]
        lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
        flat = np.fromiter((i for ids in encoded for i in ids), np.int32, int(lengths.sum()))
        return flat, lengths


def _empty(kind: Kind, model: models.Model, lowercase: bool) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(model)
    # Puts spaces around Chinese characters, which would otherwise run together into one word.
    if kind == "word":
        made.normalizer = normalizers.BertNormalizer(
            clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
        )
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    else:
        made.normalizer = normalizers.Lowercase() if lowercase else None
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return made


def _trained(
    texts: Sequence[str],
    kind: Kind,
    min_frequency: int,
    vocabulary_size: int | None,
    lowercase: bool,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Vocabulary, and merges for ``bpe``."""
    common: dict[str, Any] = {
        "min_frequency": min_frequency,
        "special_tokens": list(RESERVED),
        "show_progress": False,
        "vocab_size": vocabulary_size or 2**31,
    }
    if kind == "word":
        model: models.Model = models.WordLevel(unk_token=RESERVED[UNKNOWN])
        trainer: trainers.Trainer = trainers.WordLevelTrainer(**common)
    else:
        model = models.BPE()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(initial_alphabet=alphabet, **common)
    made = _empty(kind, model, lowercase)
    made.train_from_iterator(texts, trainer)
    ids = made.get_vocab(with_added_tokens=False)
    vocabulary = tuple(sorted(ids, key=ids.__getitem__))
    return vocabulary, _merges(made) if kind == "bpe" else ()


def _merges(made: tokenizers.Tokenizer) -> tuple[str, ...]:
    """The library gives them out in its JSON only."""
    merges = json.loads(made.to_str())["model"]["merges"]
    return tuple(" ".join(pair) for pair in merges)
