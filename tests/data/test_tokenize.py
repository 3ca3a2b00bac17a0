"""Vocabularies and ids against plain Python."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from burnish.data.tokenize import fit, tokenizer
from burnish.spec import PAD, UNKNOWN, TextSpec, spec_from_dict

TEXTS = ["房间不错。很好", "房间太差", "a naïve 🙂 test", "A test"]
CLASSES = ("bad", "good")


def encoded(spec: TextSpec, *texts: str) -> list[list[int]]:
    flat, lengths = tokenizer(spec).encode(texts)
    assert flat.dtype == np.int32
    assert lengths.dtype == np.int64
    return [part.tolist() for part in np.split(flat, np.cumsum(lengths)[:-1])]


def test_characters_are_ordered_by_frequency_then_by_unicode() -> None:
    spec = fit(TEXTS, CLASSES)
    counts = Counter("".join(TEXTS))
    expected = sorted(counts, key=lambda c: (-counts[c], ord(c)))
    assert spec.vocabulary == ("<pad>", "<unk>", *expected)


def test_characters_become_what_a_dictionary_says() -> None:
    spec = fit(TEXTS, CLASSES, min_frequency=2)
    ids = {token: i for i, token in enumerate(spec.vocabulary)}
    for text in [*TEXTS, "", "全新的字 and \U0010ffff", "\udc80"]:
        assert encoded(spec, "x", text)[1] == [ids.get(c, UNKNOWN) for c in text]
    assert PAD not in np.concatenate([encoded(spec, text)[0] for text in TEXTS])


def test_a_smaller_vocabulary_keeps_the_most_frequent() -> None:
    whole, cut = fit(TEXTS, CLASSES), fit(TEXTS, CLASSES, vocabulary_size=7)
    assert cut.vocabulary == whole.vocabulary[:7]


def test_lower_case_is_part_of_the_spec() -> None:
    spec = fit(TEXTS, CLASSES, lowercase=True)
    assert "A" not in spec.vocabulary
    # The Turkish capital becomes two characters, and the lengths must know.
    assert [len(ids) for ids in encoded(spec, "A TEST", "İ")] == [6, 2]
    assert encoded(spec, "A TEST") == encoded(spec, "a test")


def test_words_are_runs_of_letters_and_single_marks_and_chinese_characters() -> None:
    spec = fit(["the cat, the dog!", "好的 the"], CLASSES, kind="word", lowercase=True)
    assert set(spec.vocabulary[2:]) == {"the", "cat", "dog", ",", "!", "好", "的"}
    assert spec.vocabulary[2] == "the"
    tokens = [spec.vocabulary[i] for i in encoded(spec, "The CAT好unseen!")[0]]
    # A Chinese character has spaces put around it; the unseen word is unknown.
    assert tokens == ["the", "cat", "好", "<unk>", "!"]


def test_byte_pairs_know_everything_and_can_be_put_together_again() -> None:
    texts = ["low lower lowest", "newer newest 最低"] * 3
    spec = fit(texts, CLASSES, kind="bpe", vocabulary_size=290, min_frequency=2)
    assert spec.vocabulary_size <= 290
    assert spec.merges
    joined = ["".join(spec.vocabulary[i] for i in ids) for ids in encoded(spec, "low 🙂", "新")]
    assert joined[0].startswith("Ġlow")
    assert UNKNOWN not in encoded(spec, "人人 zzz 🙂")[0]
    # Frequent words become one token.
    assert [spec.vocabulary[i] for i in encoded(spec, "low")[0]] == ["Ġlow"]


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_a_vocabulary_can_be_repeated_and_survives_json(kind: str) -> None:
    texts = [f"{text} {i % 5}" for i, text in enumerate(TEXTS * 20)]
    spec = fit(texts, CLASSES, kind=kind, vocabulary_size=400)
    assert fit(texts, CLASSES, kind=kind, vocabulary_size=400) == spec
    read = spec_from_dict(json.loads(json.dumps(spec.to_dict())))
    assert read == spec
    assert encoded(read, *TEXTS) == encoded(spec, *TEXTS)


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
def test_what_looks_like_a_reserved_token_is_text(kind: str) -> None:
    spec = fit(["<pad> <unk> words"] * 3, CLASSES, kind=kind, vocabulary_size=300)
    assert PAD not in encoded(spec, "<pad> <unk>")[0]
