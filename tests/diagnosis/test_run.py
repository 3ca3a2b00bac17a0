"""Verdicts on run folders as trainings leave them: good, bad, half-written and hostile."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from burnish.commands.train import train
from burnish.diagnosis.curve_figures import drawn
from burnish.diagnosis.run import diagnose_run
from burnish.diagnosis.verdict import Verdict
from burnish.errors import TrainingError
from burnish.learner.csv_logger import MetricsCSV
from burnish.runs.curves import read_curves
from burnish.runs.folder import RunFolder
from launch import TINY, composed, imported_by

CONFIG: dict[str, Any] = {
    "monitor": "val/accuracy", "mode": "max", "logger": {"csv": {}},
    "loss": {"_target_": "torch.nn.CrossEntropyLoss"}, "optimizer": {"lr": 0.01},
    "data": {"batch_size": 64, "sampler": "none"}, "scheduler": {"schedule": None},
    "trainer": {"log_every_n_steps": 10, "max_epochs": 20},
}  # fmt: skip


def write_run(
    path: Path, series: dict[str, Sequence[float]], *, val: int = 1000, rate: float = 0.01,
    result: dict[str, Any] | None = None, **config: Any,
) -> RunFolder:  # fmt: skip
    """A run of ten steps an epoch on ten classes; a shorter series lacks the last epochs."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.yaml").write_text(yaml.safe_dump({**CONFIG, **config}))
    (path / "result.json").write_text(json.dumps({"status": "finished", **(result or {})}))
    counts = {"train": [640] * 10, "val": [val // 10] * 10}
    (path / "provenance.json").write_text(json.dumps({"data": {"class_counts": counts}}))
    logger = MetricsCSV(str(path))
    for epoch in range(max(map(len, series.values()))):
        logger.log_metrics({"lr-SGD": rate}, step=10 * epoch + 4)
        for name, values in series.items():
            if epoch < len(values):
                row = {name: values[epoch], "epoch": epoch}
                logger.log_metrics(row, step=10 * epoch + 9)
    return RunFolder(path)


def found(verdicts: list[Verdict]) -> dict[str, str]:
    """Check to what was found."""
    return {v.check: v.values["found"] for v in verdicts if v.status != "ok"}


def of(verdicts: list[Verdict], check: str) -> Verdict:
    (verdict,) = [v for v in verdicts if v.check == check]
    return verdict


def healthy(epochs: int = 20, seed: int = 0) -> dict[str, list[float]]:
    rng = random.Random(seed)
    fall = [math.exp(-e / 3) for e in range(epochs)]
    return {
        "train/loss": [(0.05 + 1.9 * f) * math.exp(rng.gauss(0, 0.02)) for f in fall],
        "train/accuracy": [0.99 - 0.7 * f for f in fall],
        "val/loss": [(0.2 + 1.7 * f) * math.exp(rng.gauss(0, 0.02)) for f in fall],
        "val/accuracy": [0.95 - 0.65 * f + rng.gauss(0, 0.004) for f in fall],
    }


def test_a_healthy_run_has_nothing_wrong_and_every_check_has_a_figure(tmp_path):
    verdicts = diagnose_run(write_run(tmp_path, healthy()))
    assert [(v.check, v.status) for v in verdicts] == [
        (check, "ok")
        for check in ("finite", "divergence", "progress", "overfitting", "ending", "noise")
    ]
    # sqrt(0.947 * 0.053 / 1000) = 0.0071
    assert "1,000 samples tell it to ±0.0071" in of(verdicts, "noise").figure
    assert of(verdicts, "progress").figure.startswith("train/loss 1.9")


def test_a_loss_that_comes_back_names_the_epoch_and_a_tenth_of_the_rate(tmp_path):
    series = healthy(10)
    series["train/loss"][6:] = [30.0, 25.0, 60.0, 40.0]
    verdict = of(diagnose_run(write_run(tmp_path, series)), "divergence")
    assert verdict.status == "broken"
    assert verdict.values["epoch"] == 5
    assert "in epoch 6 to 50" in verdict.figure
    assert "optimizer.lr=0.001," in verdict.advice


def test_a_short_run_is_read_by_its_steps(tmp_path):
    run = write_run(tmp_path, {"train/loss": [4.0]})
    logger = MetricsCSV(str(tmp_path))
    for step, loss in enumerate([2.3, 1.9, 1.5, 1.2, 1.1, 5.0, 9.0, 12.0, 11.0, 15.0]):
        logger.log_metrics({"train/loss_step": loss}, step=10 * step)
    verdict = of(diagnose_run(run), "divergence")
    assert (verdict.status, verdict.values["step"]) == ("broken", 40)


def test_a_value_that_is_not_finite_names_step_and_epoch(tmp_path):
    series = healthy(6)
    series["train/loss"][4] = math.nan
    series["val/loss"][5] = math.inf
    verdicts = diagnose_run(write_run(tmp_path, series))
    verdict = of(verdicts, "finite")
    assert verdict.status == "broken"
    assert verdict.figure == "train/loss is nan at step 49, in epoch 5"
    assert "nonfinite.pt" not in verdict.advice
    (tmp_path / "nonfinite.pt").touch()
    assert "burnish diagnose run=" in of(diagnose_run(RunFolder(tmp_path)), "finite").advice


def test_a_run_that_was_stopped_tells_why(tmp_path):
    with pytest.raises(TrainingError):
        train(composed(*TINY, "optimizer=sgd", "optimizer.lr=1e9"), tmp_path)
    verdict = diagnose_run(RunFolder(tmp_path))[0]
    assert (verdict.check, verdict.status) == ("finite", "broken")
    assert "the first output that is not finite: body." in verdict.figure
    assert f"nonfinite.pt holds the batch, burnish diagnose run={tmp_path}" in verdict.advice


def test_overfitting_names_the_epoch_and_by_how_much(tmp_path):
    series = healthy()
    series["val/loss"][10:] = [0.3 + 0.05 * e for e in range(10)]
    verdict = of(diagnose_run(write_run(tmp_path, series)), "overfitting")
    assert verdict.status == "note"
    assert verdict.values["epoch"] in (8, 9)
    assert "to 0.7 (by " in verdict.figure
    assert "val/accuracy 0.9" in verdict.figure  # which did not fall
    assert f"trainer.max_epochs={verdict.values['epoch'] + 1}" in verdict.advice


def test_a_net_that_learns_nothing_and_one_that_creeps(tmp_path):
    rng = random.Random(0)
    flat = {
        "train/loss": [2.35 + rng.gauss(0, 0.01) for _ in range(12)],
        "train/accuracy": [0.1 + rng.gauss(0, 0.004) for _ in range(12)],
    }
    verdict = of(diagnose_run(write_run(tmp_path / "flat", flat)), "progress")
    assert (verdict.status, verdict.values["found"]) == ("broken", "nothing learned")
    slow = {**flat, "train/loss": [2.35 - 0.02 * e + rng.gauss(0, 0.005) for e in range(12)]}
    verdict = of(diagnose_run(write_run(tmp_path / "slow", slow)), "progress")
    assert (verdict.status, verdict.values["found"]) == ("note", "slow")
    assert "try optimizer.lr=0.1." in verdict.advice
    killed = {**flat, "train/loss": [4e6, 300.0, 2.4, *[2.303] * 9]}
    verdict = of(diagnose_run(write_run(tmp_path / "killed", killed)), "progress")
    assert "too high (now 0.01) and has killed the net: try optimizer.lr=0.0001" in verdict.advice


def test_a_plateau_names_its_epoch_and_what_the_schedule_has_to_do_with_it(tmp_path):
    series = {"train/loss": [2.2, 1.9, 1.6, 1.3, *[1.1] * 11], "train/accuracy": [0.6] * 15}
    verdict = of(diagnose_run(write_run(tmp_path / "a", series)), "progress")
    assert verdict.values["found"] == "plateau"
    assert verdict.values["epoch"] == 4
    assert "stayed at 1.1 since epoch 5 of 15" in verdict.figure
    assert "scheduler=plateau" in verdict.advice
    schedule = {"scheduler": {"schedule": {"_target_": "x"}}}
    run = write_run(tmp_path / "b", series, **schedule)
    MetricsCSV(str(run.path), 10**6).log_metrics({"lr-SGD": 1e-6}, step=150)
    assert "come down to 1e-06" in of(diagnose_run(run), "progress").advice
    known = {**series, "train/accuracy": [0.99] * 15}
    assert of(diagnose_run(write_run(tmp_path / "c", known)), "progress").status == "ok"


def test_a_run_that_ended_too_early_is_told_how_to_go_on(tmp_path):
    series = healthy(12)
    series["val/accuracy"] = [0.5 + 0.03 * e for e in range(12)]
    verdict = of(diagnose_run(write_run(tmp_path, series)), "ending")
    assert verdict.status == "note"
    assert f"resume={tmp_path} trainer.max_epochs=24" in verdict.advice
    run = write_run(tmp_path, series, scheduler={"schedule": {}, "interval": "step"})
    assert "resume" in of(diagnose_run(run), "ending").advice
    run = write_run(tmp_path, series, scheduler={"schedule": {"_target_": "x"}})
    assert "trainer.max_epochs=24, anew" in of(diagnose_run(run), "ending").advice
    going_on = write_run(tmp_path, series, result={"status": "running"})
    assert "ending" not in [v.check for v in diagnose_run(going_on)]


def test_restless_weights_and_a_small_split_are_told_apart(tmp_path):
    rng = random.Random(0)
    series = {**healthy(), "val/accuracy": [0.9 + rng.gauss(0, 0.05) for _ in range(20)]}
    assert found(diagnose_run(write_run(tmp_path / "a", series)))["noise"] == "restless"
    series["val/accuracy"] = [0.9 + rng.gauss(0, 0.01) for _ in range(20)]
    verdicts = diagnose_run(write_run(tmp_path / "b", series, val=60))
    assert found(verdicts)["noise"] == "small split"


@pytest.mark.parametrize(("spread", "status"), [(0.02, "ok"), (0.09, "note")])
def test_training_accuracy_is_held_against_the_size_of_its_batches(tmp_path, spread, status):
    run = write_run(tmp_path, {"train/loss": [1.0]})
    logger, rng = MetricsCSV(str(tmp_path)), random.Random(0)
    for row in range(40):
        logger.log_metrics({"train/accuracy_step": 0.6 + rng.gauss(0, spread)}, step=10 * row + 9)
    verdict = of(diagnose_run(run), "batches")
    # sqrt(0.6 * 0.4 / 640) = 0.019
    assert "rows of 640 samples; drawn independently they would give ±0.019" in verdict.figure
    assert verdict.status == status


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_few_epochs_say_only_what_can_be_said(tmp_path, epochs):
    verdicts = diagnose_run(write_run(tmp_path, healthy(epochs)))
    checks = {v.check for v in verdicts}
    assert {"overfitting", "noise"}.isdisjoint(checks)
    assert {v.status for v in verdicts if v.check != "ending"} == {"ok"}
    if epochs > 1:
        assert "too few epochs to see a trend" in of(verdicts, "progress").figure


def test_a_run_without_curves_says_so(tmp_path):
    run = write_run(tmp_path, {"x": [1.0]}, logger={})
    (tmp_path / "metrics.csv").unlink()
    (verdict,) = diagnose_run(run)
    assert (verdict.check, verdict.status) == ("curves", "note")
    assert "logger=none" in verdict.advice
    (tmp_path / "metrics.csv").symlink_to(__file__)
    (verdict,) = diagnose_run(run)
    assert "is no file" in verdict.figure


@pytest.mark.parametrize("hostile", ["[]", '{"status": ["x"], "exception": {}}', "{" * 9999, "\0"])
def test_no_file_of_a_run_folder_is_trusted(tmp_path, hostile):
    write_run(tmp_path, healthy())
    for name in ("result.json", "provenance.json", "config.yaml"):
        (tmp_path / name).write_text(hostile)
    verdicts = diagnose_run(RunFolder(tmp_path))
    assert of(verdicts, "progress").status == "ok"
    (tmp_path / "config.yaml").write_text(
        "monitor: [1]\nmode: {a: 1}\nloss: 3\ndata: {batch_size: x}\noptimizer: {lr: .nan}\n"
        "trainer: {log_every_n_steps: true}\n"
    )
    assert of(diagnose_run(RunFolder(tmp_path)), "progress").status == "ok"


def test_pictures_are_added_where_something_was_found(tmp_path):
    series = healthy()
    series["val/loss"][10:] = [0.3 + 0.05 * e for e in range(10)]
    run = write_run(tmp_path, series)
    verdicts = drawn(diagnose_run(run), read_curves(run.path))
    assert {v.check for v in verdicts if v.drawing} == {"overfitting", "ending"}
    picture = of(verdicts, "overfitting").drawing
    assert picture is not None
    assert picture.light.startswith(b"\x89PNG")
    assert picture.light != picture.dark


def test_verdicts_cost_no_torch_and_no_matplotlib(tmp_path):
    write_run(tmp_path, healthy())
    code = (
        "from pathlib import Path; from burnish.diagnosis.run import diagnose_run;"
        f"from burnish.runs.folder import RunFolder; r = RunFolder(Path({str(tmp_path)!r}));"
        "assert diagnose_run(r)"
    )
    assert not {"torch", "lightning", "matplotlib"} & imported_by(code)
