"""A run's exported net scored by eval, quantized and measured: the run's own figures."""

from __future__ import annotations

import json
import shutil
from contextlib import nullcontext

import pytest

import burnish
from burnish.commands.exporting import data_of, trained
from burnish.commands.measuring import (
    accuracy_of,
    before_and_after,
    benchmark,
    calibration,
    quantized,
    refuse_drop,
)
from burnish.commands.opened import open_run
from burnish.deploy import measure
from burnish.deploy.bundle import Bundle
from burnish.deploy.loading import runtime
from burnish.deploy.making import make_bundle
from burnish.deploy.quantize import quantize
from burnish.deploy.runtime import onnx_runtime
from burnish.deploy.verify import Differs
from burnish.errors import BundleError
from burnish.runs.console import open_log
from launch import TINY


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    """No test looks at how long anything takes."""
    monkeypatch.setattr(measure, "PAUSE", 0)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A tiny run, its data, and its ONNX bundle."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    run = burnish.fit(burnish.compose(*TINY), folder)
    opened = open_run(str(folder))
    data, _ = data_of(opened, {})
    bundle = make_bundle(trained(opened, data), "onnx", folder / "export" / "onnx")
    open_log(None)
    return run, opened, data, bundle


def evaluation(path, split="test"):
    return json.loads((path / f"eval-{split}.json").read_text())


@pytest.mark.parametrize("split", ["test", "val"])
def test_a_bundle_scores_as_its_run(split, exported, typed, capsys):
    run, _, _, bundle = exported
    wanted = run.evaluate(split)
    assert typed("eval", f"run={bundle.path}", f"split={split}") == 0
    found = evaluation(bundle.path, split)
    assert found["metrics"] == pytest.approx(wanted, abs=1e-4)
    assert found["checkpoint"] == str(bundle.file)
    assert found["classes"] == evaluation(run.path, split)["classes"]
    assert f"{split}/accuracy" in capsys.readouterr().out


@pytest.mark.slow
def test_a_bundle_gets_a_report_without_grad_cam(exported, typed):
    bundle = exported[3]
    assert typed("eval", f"run={bundle.path}", "report=true") == 0
    assert "no convolution to look into" in (bundle.path / "report" / "index.html").read_text()


def test_a_bundle_without_configuration_is_refused(exported, typed, tmp_path, capsys):
    folder = shutil.copytree(exported[3].path, tmp_path / "bundle")
    (folder / "config.yaml").unlink()
    assert typed("eval", f"run={folder}") == 2
    assert "config.yaml: is missing" in capsys.readouterr().err


def test_a_strangers_bundle_names_nothing_else(exported, typed, tmp_path, capsys):
    folder = shutil.copytree(exported[3].path, tmp_path / "bundle")
    config = folder / "config.yaml"
    config.write_text(config.read_text() + "callbacks:\n  mine:\n    _target_: os.system\n")
    assert typed("eval", f"run={folder}") == 2
    error = capsys.readouterr().err
    assert f"{config}" in error
    assert "os.system" in error


def test_another_device_is_refused(exported, typed, capsys):
    assert typed("eval", f"run={exported[3].path}", "trainer.accelerator=gpu") == 2
    assert "trainer.accelerator: an exported net runs on the CPU" in capsys.readouterr().err


def test_int8_says_what_it_costs(exported, tmp_path, capsys):
    run, _, data, bundle = exported
    open_log(None)
    made = quantized(bundle, "dynamic", tmp_path / "int8", data, max_drop=0.05)
    measured = made.card["measured"]
    assert measured["float32"]["accuracy"] == pytest.approx(
        run.evaluate("test")["test/accuracy"], abs=1e-4
    )
    assert measured["int8"]["accuracy"] == pytest.approx(accuracy_of(runtime(made), data), abs=1e-6)
    assert measured["drop"] == pytest.approx(
        measured["float32"]["accuracy"] - measured["int8"]["accuracy"], abs=2e-6
    )
    assert (measured["split"], measured["float32"]["bytes"]) == ("test", bundle.card["bytes"])
    assert "int8 (dynamic)" in capsys.readouterr().out


def test_int8_that_loses_too_much_leaves_nothing(exported, tmp_path):
    _, _, data, bundle = exported
    ruined = tmp_path / "ruined.onnx"
    quantize(bundle.file, ruined, "static", [batch / 1000 for batch in calibration(data, 64)])
    shutil.copytree(bundle.path, tmp_path / "bad")
    shutil.copy(ruined, tmp_path / "bad" / "model.onnx")
    bad = onnx_runtime(Bundle(tmp_path / "bad", bundle.card))
    found = before_and_after(runtime(bundle), bad, data)
    assert found["drop"] > 0.2
    with pytest.raises(Differs, match=r"accuracy on the test split from 0\.\d{4} to 0\.\d{4}"):
        refuse_drop(found, 0.2)
    for lost, refused in ((0.0101, True), (0.0099, False)):
        measured = {**found, "drop": lost}
        with pytest.raises(Differs) if refused else nullcontext():
            refuse_drop(measured, 0.01)
    refuse_drop(found, 1)
    with pytest.raises(Differs, match="max_drop"):  # nothing loses so little
        quantized(bundle, "dynamic", tmp_path / "int8", data, max_drop=-1)
    assert {path.name for path in tmp_path.iterdir()} == {"ruined.onnx", "bad"}


@pytest.mark.parametrize(
    ("method", "force", "reason"), [("static", True, "calibrate"), ("dynamic", False, "loses")]
)
def test_int8_needs_data(method, force, reason, exported, tmp_path):
    with pytest.raises(BundleError, match=reason):
        quantized(exported[3], method, tmp_path / "int8", None, force=force)


def test_calibration_is_the_same_training_samples_each_time(exported):
    data = exported[2]
    first, again = ([*calibration(data, 100)] for _ in range(2))
    assert [len(batch) for batch in first] == [64, 36]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert (next(calibration(data, 100, seed=1)) != first[0]).any()
    source, rows = data.splits["train"]
    trained_on = {
        x.tobytes() for x in data.preprocess(source.__getitems__(rows.tolist())[0]).numpy()
    }
    assert all(sample.tobytes() in trained_on for batch in first for sample in batch)


def test_formats_are_compared_beside_the_net_in_memory(exported, capsys):
    _, opened, data, bundle = exported
    open_log(None)
    eager, onnx = benchmark([bundle], lambda: opened.net()[0], data)
    assert onnx.accuracy == eager.accuracy
    assert 0 <= onnx.difference < 1e-4
    table = capsys.readouterr().out
    assert "samples/s" in table
    assert "pytorch (eager)" in table
