"""Configurations read part by part are what PyYAML reads, whatever their layout."""

from __future__ import annotations

import pytest
import yaml

from burnish.errors import RunError
from burnish.runs.folder import RunFolder
from burnish.runs.reading import read_config
from launch import composed


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb:\n- x\n- y\nc: {d: 1, e: [2]}\n",
        "a: 1\na: 2\n",
        'a: "two\n  lines: here"\nb: |\n  c: d\n\n  e\n',
        "---\na: 1\n",
        "a: 'x\n\n  b: y'\n",
        "# a: comment\na: 1 # b: 2\n",
        "{a: 1, b: 2}\n",
        "a:1\nb: 2\n: 3\n",
        '"a": 1\n? b\n: 2\n',
        "a: 学习率\nb: \n",
        "a: 1\r\nb: 2\r\n",
        "true: 1\nnull: 2\n12: 3\n",
    ],
)
def test_by_parts_or_not_the_values_are_those_of_yaml(tmp_path, text):
    (tmp_path / "config.yaml").write_bytes(text.encode())
    try:
        expected = yaml.safe_load(text)
    except yaml.YAMLError:
        expected = None
    if isinstance(expected, dict):
        assert read_config(tmp_path) == expected
    else:
        with pytest.raises(RunError):
            read_config(tmp_path)


def test_a_run_s_own_configuration_comes_back(tmp_path):
    config = composed("name=a b", "model=mlp", "callbacks.ema.enabled=true", "trainer=cpu")
    RunFolder(tmp_path).write_yaml("config", config)
    assert read_config(tmp_path) == RunFolder(tmp_path).read_config() == config


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x\n", "a: !!python/name:os.system\n", "a: [" * 9])
def test_aliases_and_tags_are_refused(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match="not plain YAML"):
        read_config(tmp_path)
