"""Runs found, read, filtered, sorted and compared, in folders written by hand."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

import pytest
import yaml

from burnish.errors import ConfigError, RunError
from burnish.runs.cleaning import removable
from burnish.runs.compare import differences
from burnish.runs.conditions import conditions, filtered, ordered
from burnish.runs.grouping import repeats_table
from burnish.runs.listing import find, pick, read
from burnish.runs.tables import as_csv, markdown
from burnish.runs.words import number, one_line


def run(folder: Path, typed: list[str], config: dict | None = None, **result) -> Path:
    """A run folder as training leaves it, as far as the listing looks."""
    folder.mkdir(parents=True)
    (folder / "overrides.yaml").write_text(yaml.safe_dump(typed))
    (folder / "config.yaml").write_text(yaml.safe_dump(config or {"data": {"limit": 1}}))
    best = {"monitor": "val/accuracy", "value": result.pop("best", None), "epoch": 1}
    (folder / "result.json").write_text(
        json.dumps({"status": "finished", "metrics": {}, "best": best, **result})
    )
    return folder


def test_runs_are_found_where_training_multiruns_and_searches_put_them(tmp_path):
    places = ["train/2026-01-01/a", "multirun/2026-01-01/b/0", "search/study/7"]
    for place in places:
        run(tmp_path / place, [])
    run(tmp_path / "train" / "too-high", [])
    run(tmp_path / "elsewhere/2026-01-01/c", [])
    runs, _ = find(tmp_path)
    assert [str(r.path.relative_to(tmp_path)) for r in runs] == places


def test_half_written_and_foreign_folders_are_skipped_with_the_reason(tmp_path):
    day = tmp_path / "train" / "day"
    whole = run(day / "whole", [])
    (day / "foreign").mkdir()
    for name, text in {
        "half": '{"status": "fin', "list": "[1]", "status": '{"status": "odd"}',
        "deep": "[" * 200_000, "long": '{"status": ' + "9" * 5000 + "}",
    }.items():  # fmt: skip
        (run(day / name, []) / "result.json").write_text(text)
    for name, text in {
        "alias": "&a [x=1, *a]", "tag": "!!python/object/apply:os.system [x]", "map": "a: 1",
        "deep_yaml": "[" * 200_000, "dashes": "- " * 200_000,
    }.items():  # fmt: skip
        (run(day / name, []) / "overrides.yaml").write_text(text)
    (run(day / "bytes", []) / "overrides.yaml").write_bytes(b"\xff")
    linked = run(day / "linked", []) / "result.json"
    linked.unlink()
    linked.symlink_to(whole / "result.json")
    piped = run(day / "piped", []) / "result.json"
    piped.unlink()
    os.mkfifo(piped)
    (day / "linked-run").symlink_to(whole)
    runs, skipped = find(tmp_path)
    assert [r.path.name for r in runs] == ["whole"]
    reasons = {Path(line.partition(": ")[0]).name: line for line in skipped}
    assert set(reasons) == {
        "foreign", "half", "list", "status", "deep", "long", "alias", "tag", "map", "deep_yaml",
        "dashes", "bytes", "linked", "piped",
    }  # fmt: skip
    assert "is a link" in reasons["linked"]
    assert "is not JSON" in reasons["half"]


def test_what_was_typed_reads_as_yaml_reads_it(tmp_path):
    typed = [
        "model=mlp", "+data.fold=1", "~logger", "name='a: b # c'", "optimizer.lr=1e-3", "x=",
        "a=[1, 2]", "name2=ü", "long=" + "word " * 40,
    ]  # fmt: skip
    assert read(run(tmp_path / "r", typed)).overrides == tuple(typed)


def test_values_come_from_metrics_then_what_was_typed_then_the_config(tmp_path):
    config = {"model": {"_target_": "x.SimpleCNN"}, "seed": 3, "test": True, "m": None}
    one = read(run(tmp_path / "r", ["seed=4"], config, metrics={"test/loss": 0.5}, seconds=2))
    keys = ["test/loss", "seed", "model", "test", "m", "seconds", "status", "test/f1", "no.such"]
    assert [one.value(key) for key in keys] == [
        0.5, "4", "SimpleCNN", "true", "null", 2.0, "finished", None, None,
    ]  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    day = tmp_path / "train" / "day"
    cnn = {"model": {"_target_": "x.SimpleCNN"}}
    run(day / "a", ["model=mlp", "optimizer.lr=0.1"], metrics={"test/accuracy": 0.8, "e/loss": 3})
    run(day / "b", ["optimizer.lr=0.01"], cnn, metrics={"test/accuracy": 0.95, "e/loss": 1})
    run(day / "c", ["model=mlp", "optimizer.lr=1"], metrics={"test/accuracy": 0.91, "e/loss": 2})
    run(day / "d", ["model=simple_cnn"], metrics={"test/accuracy": float("nan")}, status="failed")
    return find(tmp_path)[0]


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (["model=mlp"], "ac"),
        (["model=mlp", "test/accuracy>0.9"], "c"),
        (["model=simple_cnn"], "bd"),
        (["model!=mlp"], "bd"),
        (["optimizer.lr == 1e-1"], "a"),
        (["optimizer.lr<=0.1"], "ab"),
        (["test/accuracy>=.91"], "bc"),
        (["status=failed"], "d"),
    ],
)
def test_conditions(runs, typed, names):
    assert "".join(r.path.name for r in filtered(runs, conditions(typed))) == names


@pytest.mark.parametrize(
    ("key", "names"), [("test/accuracy", "bcad"), ("e/loss", "bcad"), ("optimizer.lr", "bacd")]
)
def test_the_better_or_smaller_comes_first_and_nothing_last(runs, key, names):
    assert "".join(r.path.name for r in ordered(runs, key)) == names


def test_mistakes_in_conditions_name_what_would_be_right(runs):
    with pytest.raises(ConfigError, match="is no condition"):
        conditions(["mlp"])
    with pytest.raises(ConfigError, match="needs a number"):
        conditions(["model>mlp"])
    with pytest.raises(ConfigError, match="did you mean test/accuracy"):
        filtered(runs, conditions(["test/acuracy>1"]))
    with pytest.raises(ConfigError, match="--sort: no run has lr"):
        ordered(runs, "lr")


def test_a_run_is_picked_by_the_end_of_its_path(tmp_path):
    one = run(tmp_path / "train/day/12-digits-abc", [])
    run(tmp_path / "train/day/13-digits-xbc", [])
    assert pick(tmp_path, "abc").path == one
    assert pick(tmp_path / "none", str(one)).path == one
    whole = run(tmp_path / "train/day/bc", [])
    assert pick(tmp_path, "bc").path == whole
    (whole / "result.json").unlink()
    whole.rename(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="the paths of 2 runs"):
        pick(tmp_path, "bc")
    with pytest.raises(RunError, match="no run's path"):
        pick(tmp_path, "zzz")
    (one / "train.log").symlink_to("/etc/hostname")
    with pytest.raises(RunError, match="is a link"):
        pick(tmp_path, "abc")


def test_numbers_and_lines_of_anybody():
    assert [number(v) for v in ("1e-3", 2, True, None, "x")] == [0.001, 2.0, None, None, None]
    assert number(10**400) == float("inf")
    assert one_line("a\x1b[31m\n\ud800") == "a\\x1b[31m\\n\\ud800"
    assert one_line(16**9000) == "(cannot be said)"


def test_only_differences_are_told():
    a = {"same": 1, "nan": float("nan"), "o": {"lr": 0.1, "only": None}, "l": [1]}
    b = {"same": 1, "nan": float("nan"), "o": {"lr": 0.2}, "l": [1, 2], "t": True}
    assert differences(a, b) == [
        ("o.lr", 0.1, 0.2), ("o.only", None, "-"), ("l", [1], [1, 2]), ("t", "-", True),
    ]  # fmt: skip


def test_repeats_make_one_row(tmp_path):
    values = {"mlp": [0.8, 0.9, 0.7], "cnn": [0.5]}
    for model, found in values.items():
        for seed, value in enumerate(found):
            run(tmp_path / f"train/day/{model}{seed}", ["d=x", f"model={model}", f"seed={seed}"],
                {"model": model, "seed": seed}, metrics={"test/f1": value})  # fmt: skip
    refused = run(tmp_path / "train/day/cnn9", ["d=x", "model=cnn", "seed=9"], status="failed")
    (refused / "config.yaml").unlink()  # it joins those that were typed alike
    rows = repeats_table(find(tmp_path)[0], ["test/f1"])
    spread = statistics.stdev(values["mlp"])
    assert rows == [
        ("runs of", "finished", "test/f1"),
        ("model=cnn", "1 of 2", "0.5000"),
        ("model=mlp", "3 of 3", f"0.8000 ± {spread:.4f}"),
    ]


def test_the_configuration_groups_whatever_was_typed(tmp_path):
    def one(name: str, typed: list[str], lr: float, value: float, **other) -> None:
        data = {"root": other.pop("root", "data"), "shuffle_seed": other.get("seed", 0)}
        config = {"name": name, "paths": {"data": data["root"]}, "data": data, **other}
        run(tmp_path / "train/day" / name, typed, {**config, "optimizer": {"lr": lr}},
            metrics={"test/f1": value})  # fmt: skip

    one("default", [], 0.001, 0.5, decay=0.0)
    one("typed", ["optimizer.lr=0.001", "seed=2"], 0.001, 0.7, seed=2, root="/elsewhere", decay=0)
    one("text", ["optimizer.lr=1e-3", "name=x"], 0.001, 0.6, decay=0)
    one("other", ["optimizer.lr=0.1"], 0.1, 0.9, decay=0)
    one("of old", [], 0.002, 0.1, decay=0)  # the default was another one then
    rows = repeats_table(find(tmp_path)[0], ["test/f1"])
    assert {row[0]: row[1:] for row in rows} == {
        "runs of": ("finished", "test/f1"),
        "optimizer.lr=0.001": ("3 of 3", "0.6000 ± 0.1000"),
        "optimizer.lr=0.1": ("1 of 1", "0.9000"),
        "optimizer.lr=0.002": ("1 of 1", "0.1000"),
    }


def test_tables_hold_no_markup_and_no_formula():
    rows = [["runs", "n"], ["a|<b>`\nx", "1"], ["=cmd()", "2"]]
    lines = markdown(rows).splitlines()
    assert lines[:2] == ["| runs | n |", "| :-- | --: |"]
    assert lines[2] == "| a\\|&lt;b>\\`\\\\nx | 1 |"
    assert as_csv(rows).splitlines() == ["runs,n", "a|<b>`\\nx,1", "'=cmd(),2"]


def test_checkpoints_of_failed_and_dominated_runs_may_go(tmp_path):
    def with_checkpoint(name: str, best: float | None, status: str, data: str, mode="max") -> Path:
        config = {"mode": mode, "data": {"_target_": data, "fold": best}}
        folder = run(tmp_path / "train/day" / name, [], config, best=best, status=status)
        (folder / "checkpoints").mkdir()
        (folder / "checkpoints" / "last.ckpt").write_bytes(b"x" * 100)
        return folder

    with_checkpoint("best", 0.9, "finished", "digits")
    with_checkpoint("second", 0.8, "finished", "digits")
    with_checkpoint("pruned", 0.99, "pruned", "digits")
    with_checkpoint("failed", None, "failed", "digits")
    with_checkpoint("running", 0.1, "running", "digits")
    with_checkpoint("interrupted", 0.1, "interrupted", "digits")
    with_checkpoint("other data", 0.2, "finished", "mnist")
    with_checkpoint("low", 0.2, "finished", "texts", mode="min")
    with_checkpoint("high", 0.7, "finished", "texts", mode="min")
    outside = tmp_path / "mine.ckpt"
    outside.write_text("mine")
    hostile = with_checkpoint("hostile", None, "failed", "digits")
    (hostile / "checkpoints" / "best.ckpt").symlink_to(outside)
    found, skipped = removable(find(tmp_path)[0], keep=1)
    assert {r.run.path.name: r.why for r in found} == {
        "second": "dominated", "pruned": "pruned", "failed": "failed", "high": "dominated",
    }  # fmt: skip
    assert {r.size for r in found} == {100}
    (why,) = skipped
    assert "is a link" in why
    kept, _ = removable(find(tmp_path)[0], keep=2)
    assert {r.run.path.name for r in kept} == {"pruned", "failed"}
