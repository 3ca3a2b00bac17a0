"""Whole runs on texts: trained, scored, moved, started from, and scored on data that changed."""

from __future__ import annotations

from pathlib import Path

import pytest

import tiny
from burnish.commands.evaluate import evaluate
from burnish.commands.train import train
from burnish.config.check import check
from burnish.config.evaluation import evaluated
from burnish.errors import ConfigError, DataError
from burnish.runs.folder import RunFolder
from launch import composed

MODELS = ("bag_of_embeddings", "bilstm", "text_cnn", "text_transformer")
SHORT = (
    "name=x", "trainer=cpu", "trainer.max_epochs=3", "optimizer.lr=0.01", "data=text",
    "data.batch_size=16", "callbacks.progress.enabled=false", "logger=none",
)  # fmt: skip


def trained(folder: Path, table: Path, *overrides: str) -> RunFolder:
    config = composed(*SHORT, f"data.path={table}", *overrides)
    assert check(config) == []
    folder.mkdir(parents=True)
    train(config, folder, overrides)
    return RunFolder(folder)


def scored(run: RunFolder, split: str = "test", **data: str) -> dict[str, float]:
    asked = {**composed("run=x", root="eval"), "split": split}
    asked["data"] = {**asked["data"], **data}
    return evaluate(evaluated(run.read_config(), asked), run, run.checkpoint("best"), split)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return tiny.write_reviews(tmp_path_factory.mktemp("text") / "reviews.csv", rows=200)


@pytest.fixture(scope="module")
def run(tmp_path_factory, table) -> RunFolder:
    return trained(tmp_path_factory.mktemp("runs") / "run", table, "model=bag_of_embeddings")


@pytest.mark.parametrize("model", MODELS)
def test_every_text_model_learns_and_is_scored_the_same(model, table, tmp_path):
    # The transformer does not bear the others' rate.
    rate = ["optimizer.lr=0.002"] if model == "text_transformer" else []
    run = trained(tmp_path / "run", table, f"model={model}", *rate, "trainer.max_epochs=5")
    result = run.read_json("result")
    assert result["metrics"]["test/accuracy"] > 0.9
    figures = scored(run)
    assert figures == {name: result["metrics"][name] for name in figures}


def test_the_vocabulary_travels_with_the_run(run, table, tmp_path):
    spec = run.read_json("spec")
    assert spec["vocabulary"][:2] == ["<pad>", "<unk>"]
    # Half of the rows, other frequencies: a vocabulary learned here would have other ids.
    lines = table.read_text().splitlines()
    part = tmp_path / "part.csv"
    part.write_text("\n".join([lines[0], *lines[101:]]) + "\n")
    assert scored(run, path=str(part))["test/accuracy"] > 0.9


def test_other_data_is_said_and_moved_data_is_not(table, tmp_path):
    run = trained(tmp_path / "run", table, "model=bag_of_embeddings")
    moved = tmp_path / "moved.csv"
    moved.write_bytes(table.read_bytes())
    scored(run, path=str(moved))
    assert "the data differs" not in (run.path / "eval.log").read_text()
    moved.write_text(table.read_text().replace("1.", "2."))
    moved.write_text(moved.read_text() + "1,one more\n")
    scored(run, path=str(moved))
    said = (run.path / "eval.log").read_text()
    assert "the data differs from what the run was trained on" in said
    assert "144 train samples then, 145 now" in said


def test_a_resumed_run_says_it_too(table, tmp_path):
    own = tmp_path / "own.csv"
    own.write_bytes(table.read_bytes())
    run = trained(tmp_path / "run", own, "model=bag_of_embeddings")
    own.write_text(table.read_text().replace("1", "2", 0) + "1,one more\n")
    config = run.read_config()
    config["trainer"]["max_epochs"] = 4
    train({**config, "resume": str(run.path)}, run.path)
    assert "the data differs" in (run.path / "train.log").read_text()
    assert run.read_json("result")["epochs"] == 4


def test_another_classification_starts_from_the_vocabulary_and_weights(run, tmp_path):
    rows = [(("bad", "good", "so")[i % 3], f"{text}{i}") for i, (_, text) in
            enumerate(tiny.reviews(90))]  # fmt: skip
    table = tmp_path / "other.csv"
    table.write_text("label,text\n" + "".join(f"{label},{text}\n" for label, text in rows))
    other = trained(tmp_path / "run", table, "model=bag_of_embeddings", f"init_from={run.path}")
    assert other.read_json("spec")["vocabulary"] == run.read_json("spec")["vocabulary"]
    assert other.read_json("spec")["class_names"] == ["bad", "good", "so"]
    assert "new: head.weight, head.bias" in (other.path / "train.log").read_text()


def test_data_of_the_other_kind_is_refused(run, table, tmp_path):
    with pytest.raises(ConfigError, match=r"data.root: the data of this run has no such key; it "):
        scored(run, root="elsewhere")
    (tmp_path / "bad.csv").write_text("label,text\nmaybe,a\nno,b\nmaybe,c\n")
    with pytest.raises(DataError, match="classes that train does not have: maybe"):
        scored(run, path=str(tmp_path / "bad.csv"))


def test_uneven_classes_are_mentioned_once_and_not_if_something_was_done(tmp_path):
    table = tmp_path / "uneven.csv"
    rows = ["label,text", *(f"many,text number {i}" for i in range(300)), *(
        f"few,rare text {i}" for i in range(20))]  # fmt: skip
    table.write_text("\n".join(rows) + "\n")
    short = ("model=bag_of_embeddings", "trainer.max_epochs=1")
    plain = trained(tmp_path / "plain", table, *short)
    said = "uneven classes: 14 of few against 216 of many"
    assert said in (plain.path / "train.log").read_text()
    assert any(said in note for note in plain.read_json("provenance")["data"]["notes"])
    assert plain.read_json("provenance")["data"]["class_counts"]["train"] == [14, 216]
    for i, remedy in enumerate(
        ("loss.class_weights=balanced", "data.sampler=balanced", "data.sampler=undersample")
    ):
        run = trained(tmp_path / str(i), table, *short, remedy)
        assert "uneven classes" not in (run.path / "train.log").read_text()
