from __future__ import annotations

import json

import pytest

from burnish.errors import RunError
from burnish.spec import ImageSpec, TextSpec, spec_from_dict

SPEC = ImageSpec(3, 32, 24, ("ant", "蜂"), (0.5, 0.4, 0.3), (0.2, 0.2, 0.1), mirror=False)


def test_json_round_trip():
    assert spec_from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


@pytest.mark.parametrize(
    "wrong", [{"kind": "text"}, {}, {"kind": "image"}, {**SPEC.to_dict(), "mean": [0.5]}]
)
def test_what_is_no_spec_is_refused(wrong):
    with pytest.raises(RunError, match="spec"):
        spec_from_dict(wrong)


TEXT = TextSpec(("no", "yes"), "bpe", ("<pad>", "<unk>", "a", "b", "ab"), 9, merges=("a b",))


@pytest.mark.parametrize(
    "wrong",
    [
        {"vocabulary": ["a", "b"]},
        {"vocabulary": ["<pad>", "<unk>", 3]},
        {"tokenizer": "char"},
        {"tokenizer": "letters"},
        {"merges": ["a c"]},
        {"merges": ["ab"]},
        {"max_length": 0},
        {"class_names": ["no", "no"]},
    ],
)
def test_what_is_no_text_spec_is_refused(wrong):
    assert spec_from_dict(json.loads(json.dumps(TEXT.to_dict()))) == TEXT
    with pytest.raises(RunError, match="spec"):
        spec_from_dict({**TEXT.to_dict(), **wrong})


def test_repeated_class_names_are_refused():
    with pytest.raises(ValueError, match="repeat"):
        ImageSpec(1, 8, 8, ("a", "a"), (0.5,), (0.5,))
