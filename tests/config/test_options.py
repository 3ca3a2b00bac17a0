"""key=value against a file of defaults: types, nesting, every mistake named at once."""

from __future__ import annotations

import pytest

from burnish.config import options as module
from burnish.config.options import help_of, options
from burnish.errors import ConfigError

FILE = """# What it is: python src/toy.py run=FOLDER
run: ???          # needed
name: plain       # a text, as typed
count: 5
share: 0.25
loud: false
words: []
figure: null
data:
  root: null
"""


@pytest.fixture(autouse=True)
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy.yaml").write_text(FILE)
    monkeypatch.setattr(module, "conf_dir", lambda: tmp_path)


def test_defaults_stand_where_nothing_was_typed():
    assert options("toy", ["run=a"]) == {
        "run": "a",
        "name": "plain",
        "count": 5,
        "share": 0.25,
        "loud": False,
        "words": [],
        "figure": None,
        "data": {"root": None},
    }


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("run=a (1), with = signs.jpg", "run", "a (1), with = signs.jpg"),
        ("name=123", "name", "123"),
        ("name=null", "name", "null"),
        ("count=-3", "count", -3),
        ("share=1", "share", 1.0),
        ("share=1e-3", "share", 0.001),
        ("loud=true", "loud", True),
        ("words=[a,b]", "words", ["a", "b"]),
        ("figure=nan", "figure", "nan"),
        ("figure=", "figure", ""),
        ("figure=null", "figure", None),
        ("figure=a: b [", "figure", "a: b ["),
    ],
)
def test_a_value_is_read_as_its_default(word, key, value):
    found = options("toy", ["run=a", word])[key]
    assert found == value
    assert type(found) is type(value)


def test_dots_reach_into_mappings():
    assert options("toy", ["run=a", "data.root=/x y"])["data"] == {"root": "/x y"}


def test_all_mistakes_are_named_at_once():
    words = ["cuont=3", "loud=maybe", "count=1.5", "share=much", "words=[a: b: c]", "--fast"]
    with pytest.raises(ConfigError) as caught:
        options("toy", words)
    keys = "run, name, count, share, loud, words, figure, data.root"
    assert caught.value.problems == [
        f"cuont: there is no such key; did you mean count? the keys are {keys}",
        "loud: must be true or false, found 'maybe'",
        "count: must be a whole number, found '1.5'",
        "share: must be a number, found 'much'",
        "words: must be a list, [a,b], found '[a: b: c]'",
        f"--fast: is not key=value; the keys are {keys}",
        "run: must be given: burnish toy run=...",
    ]


def test_the_help_is_the_file():
    assert help_of("toy").endswith(FILE)
