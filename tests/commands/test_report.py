"""Reports of whole runs: made at the end of training and by eval, from images and from texts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from burnish.commands.evaluate import evaluate
from burnish.commands.restoring import restore
from burnish.commands.train import train
from burnish.config.check import check
from burnish.config.evaluation import evaluated
from burnish.errors import ConfigError, ModelError
from burnish.report.predictions import Predictions
from burnish.runs.folder import RunFolder
from launch import TINY, composed
from report.test_page import Reader


def trained(folder: Path, *overrides: str) -> RunFolder:
    config = composed(*TINY, "logger=csv", *overrides)
    assert check(config) == []
    folder.mkdir(parents=True)
    train(config, folder, overrides)
    return RunFolder(folder)


def scored(run: RunFolder, split: str = "test", **more) -> dict[str, float]:
    config = evaluated(run.read_config(), {**composed("run=x", root="eval"), "split": split})
    return evaluate(config, run, run.checkpoint("best"), split, **more)


def text_of(folder: Path) -> str:
    return " ".join(Reader((folder / "index.html").read_text()).texts)


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> RunFolder:
    """A small net with convolutions, reported at the end of its training."""
    folder = tmp_path_factory.mktemp("images") / "run"
    more = ("model=simple_cnn", "report=true", "callbacks.progress.enabled=true")
    return trained(folder, *more, "trainer.max_epochs=1", "data.eval_batch_size=100")


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> RunFolder:
    folder = tmp_path_factory.mktemp("texts")
    table = tiny.write_reviews(folder / "reviews.csv")
    more = ("model=bag_of_embeddings", "data=text", f"data.path={table}")
    return trained(folder / "run", *more)


def test_training_leaves_a_report_of_the_best_checkpoint(images):
    report, result = images.path / "report", images.read_json("result")
    facts = json.loads((report / "metrics.json").read_text())
    assert result["status"] == "finished"
    tested = {k: v for k, v in result["metrics"].items() if k.startswith("test/")}
    assert facts["metrics"] == pytest.approx(tested)
    assert facts["accuracy"] == pytest.approx(tested["test/accuracy"])
    assert facts["top5_accuracy"] == pytest.approx(tested["test/top5_accuracy"])
    assert facts["macro"]["f1"] == pytest.approx(tested["test/f1"])
    names = {path.name for path in report.iterdir()}
    assert {
        "confusion-counts.png", "confusion-shares.png", "curves-roc.png", "calibration.png",
        "curves-precision-recall.png", "training-loss.png", "training-seconds.png",
        "least-confident-hits-1.jpg", "most-confident-mistakes-9.jpg", "predictions.npz",
    } <= names  # fmt: skip
    text = text_of(report)
    assert "best.ckpt of epoch 1" in text
    assert "Grad-CAM at features.6" in text
    assert f"seed: {images.read_config()['seed']}" in text  # the configuration


def test_predictions_belong_to_their_rows(images):
    predictions = Predictions.load(images.path / "report" / "predictions.npz")
    restored = restore(images.read_config(), images.checkpoint("best"))
    source, rows = restored.data.splits["test"]
    assert sorted(predictions.rows.tolist()) == rows.tolist()
    inputs, labels = source.__getitems__(predictions.rows[:7].tolist())
    assert predictions.targets[:7].tolist() == labels.tolist()
    with torch.no_grad():
        logits = restored.module.net.eval()(restored.data.preprocess(inputs))
    np.testing.assert_allclose(predictions.logits[:7], logits, rtol=1e-4, atol=1e-5)


def test_rows_of_texts_are_kept_though_batches_are_in_order_of_length(texts):
    metrics = scored(texts, report=True)
    predictions = Predictions.load(texts.path / "report" / "predictions.npz")
    restored = restore(texts.read_config(), texts.checkpoint("best"))
    source, _ = restored.data.splits["test"]
    assert (np.diff(source.lengths[predictions.rows]) >= 0).all()
    assert (np.diff(predictions.rows) < 0).any()
    for place in (0, len(predictions.rows) - 1):
        ids, label = source.__getitems__([int(predictions.rows[place])])
        with torch.no_grad():
            logits = restored.module.net.eval()(ids)[0]
        assert predictions.targets[place] == label
        np.testing.assert_allclose(predictions.logits[place], logits, rtol=1e-4, atol=1e-5)
    assert predictions.right.mean() == pytest.approx(metrics["test/accuracy"])
    text = text_of(texts.path / "report")
    assert "integrated gradients" in text
    assert "<mark" in (texts.path / "report" / "index.html").read_text()


def test_another_split_has_a_folder_of_its_own(images, tmp_path):
    """Here of a run from before there were reports, which lost its logs."""
    run = RunFolder(shutil.copytree(images.path, tmp_path / "run"))
    config = {k: v for k, v in run.read_config().items() if k not in ("report", "layer")}
    run.write_yaml("config", config)
    for name in ("metrics.csv", "provenance.json", "result.json"):
        (run.path / name).unlink()
    before = (run.path / "report" / "index.html").stat().st_mtime_ns
    metrics = scored(run, "val", report=True, layer="features.0")
    facts = json.loads((run.path / "report-val" / "metrics.json").read_text())
    assert facts["accuracy"] == pytest.approx(metrics["val/accuracy"])
    text = text_of(run.path / "report-val")
    assert "Grad-CAM at features.0" in text
    assert "no metrics.csv" in text
    assert (run.path / "report" / "index.html").stat().st_mtime_ns == before
    # What eval says of the classes is what the report says of them.
    classes = run.read_json("eval-val")["classes"]
    assert classes == [{key: row[key] for key in classes[0]} for row in facts["classes"]]


def test_a_wrong_layer_is_said_before_anything_is_scored(images, texts):
    (images.path / "eval-test.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"layer=features\.x.*features\.0, features\.3"):
        scored(images, report=True, layer="features.x")
    assert not (images.path / "eval-test.json").exists()
    with pytest.raises(ConfigError, match=r"^layer: .*text"):
        scored(texts, report=True, layer="net")


def test_a_report_that_fails_leaves_the_run_finished(tmp_path):
    run = trained(tmp_path / "run", "model=mlp", "report=true", "layer=nowhere", "data.limit=60")
    assert run.read_json("result")["status"] == "finished"
    log = (run.path / "train.log").read_text()
    assert "no report: layer=nowhere: MLP has no such layer" in log
    assert not (run.path / "report").exists()


def test_without_a_test_the_report_is_about_validation(tmp_path):
    run = trained(tmp_path / "run", "model=mlp", "report=true", "test=false", "data.limit=60")
    text = text_of(run.path / "report-val")
    assert "val split" in text
    assert "No Grad-CAM" in text


def test_a_report_needs_a_checkpoint():
    assert check(composed("name=x", "report=true", "debug=fast_dev_run")) == [
        "report: is about a checkpoint, and trainer.fast_dev_run keeps none"
    ]
    (line,) = check(composed("name=x", "report=true", "trainer.enable_checkpointing=false"))
    assert line.startswith("report: is about a checkpoint")


@pytest.mark.parametrize(("key", "value"), [("report", "yes"), ("layer", 3)])
def test_values_of_another_kind_are_refused(key, value):
    assert [line.partition(":")[0] for line in check({**composed("name=x"), key: value})] == [key]
    command = {**composed("run=x", root="eval"), key: value}
    with pytest.raises(ConfigError, match=f"^{key}: must be"):
        evaluated(composed("name=x"), command)
