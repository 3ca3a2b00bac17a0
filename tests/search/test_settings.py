"""The search node: every key is known and sensible, or named."""

from __future__ import annotations

import pytest

from burnish.errors import ConfigError
from burnish.search.settings import Settings, settings
from launch import composed

GOOD = {"study": "x"}


def test_the_default_file_is_accepted_and_says_every_key():
    node = composed("search=default", "name=x")["search"]
    assert settings(node) == Settings(**node)
    assert set(node) == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("study", ""), ("study", "a/b"), ("study", 3), ("n_trials", 0), ("n_trials", 2.5),
        ("n_trials", True), ("n_jobs", 0), ("storage", "outputs/x.db"), ("storage", "x"),
        ("storage", 3), ("against", "parameters"), ("trial", 3),
        ("keep_checkpoints", "some"), ("final", "test"), ("final_seeds", 2), ("against", ["size"]),
        ("against", ["latency", "latency"]),
        ("devices", "gpu"), ("devices", []), ("devices", [0, 0]), ("devices", [-1]),
    ],
)  # fmt: skip
def test_a_value_without_sense_is_named(key, value):
    with pytest.raises(ConfigError, match=rf"^search\.{key}: "):
        settings({**GOOD, key: value})


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"final": "eval", "keep_checkpoints": "none"}, "final"),
        ({"final": "retrain", "against": ["parameters"]}, "final"),
        ({"ntrials": 3}, "ntrials"),
    ],
)
def test_combinations_and_unknown_keys(given, key):
    with pytest.raises(ConfigError, match=rf"^search\.{key}: "):
        settings({**GOOD, **given})


def test_all_mistakes_are_named_at_once():
    with pytest.raises(ConfigError) as caught:
        settings({**GOOD, "n_trials": 0, "final": "x", "stduy": 1})
    assert len(caught.value.problems) == 3
