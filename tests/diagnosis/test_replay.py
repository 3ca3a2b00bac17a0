"""A step that was not finite, gone through once more from what the run kept of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from burnish.commands.restoring import restore
from burnish.commands.train import train
from burnish.diagnosis.replay import HEADING, check, outdated, read_saved
from burnish.diagnosis.training import Training
from burnish.errors import ModelError, RunError, TrainingError
from burnish.learner.module import ClassifierModule
from burnish.runs.curves import Curves, Point
from burnish.runs.folder import RunFolder
from launch import TINY, composed


def module() -> ClassifierModule:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    return ClassifierModule(net, nn.CrossEntropyLoss(), 2)


def saved(**changed: Any) -> dict[str, Any]:
    torch.manual_seed(1)
    weights = {name: tensor.clone() for name, tensor in module().state_dict().items()}
    return {
        "step": 7, "precision": "32-true", "inputs": torch.randn(4, 3),
        "targets": torch.tensor([0, 1, 0, 1]), "evaluating": [], "state_dict": weights, **changed,
    }  # fmt: skip


def test_a_layer_is_named_with_what_it_was_fed():
    kept = saved()
    kept["state_dict"]["net.3.weight"][:] = 3e38
    verdict = check(module(), kept)
    assert verdict.status == "broken"
    assert verdict.figure.startswith("step 7: the first output that is not finite: 3, fed values")
    assert verdict.advice.startswith("Lower optimizer.lr")
    assert verdict.rows[0] == HEADING
    assert [row[0] for row in verdict.rows[1:5]] == ["0", "1", "2", "3"]
    assert [row[4] == 0 for row in verdict.rows[1:5]] == [True, True, True, False]


def test_input_targets_and_weights_are_told_from_the_net():
    kept = saved()
    kept["inputs"][2, 1] = math.nan
    verdict = check(module(), kept)
    assert "the input is not finite: 1 values in sample 2" in verdict.figure
    assert verdict.advice == "Mend the data, the net is not to blame."
    soft = torch.tensor([[0.5, 0.5], [1, 0], [math.inf, 0], [0, 1]])
    assert "the targets of sample 2" in check(module(), saved(targets=soft)).figure
    kept = saved()
    kept["state_dict"]["net.0.bias"][0] = math.inf
    assert "the weights of 0.bias were not finite before" in check(module(), kept).figure


def training(steps: int, last: int, **result: Any) -> Training:
    """A run of ``steps`` steps by its result, that logged step ``last``."""
    curves = Curves({"lr": (Point(0, 0, 0.1), Point(0, last, 0.1))})
    return Training(Path(), curves, {}, {"steps": steps, **result}, {})


def test_a_batch_that_the_run_has_passed_is_outdated():
    kept = saved(what="train/loss is nan at step 7: lower")
    told = f"{kept['what']} and more"
    assert outdated(kept, training(0, 7, status="failed", exception=told)) is None
    assert outdated(kept, training(0, 7, status="running", exception=None)) is None
    # It had been further, and began anew from an earlier checkpoint.
    assert outdated(kept, training(90, 90, status="failed", exception=told)) is None
    for run in (training(8, 0, status="finished"), training(0, 8, status="running"),
                training(0, 9, status="failed", exception="another")):  # fmt: skip
        verdict = outdated(kept, run)
        assert verdict is not None
        assert (verdict.status, verdict.values["step"]) == ("note", 7)
        assert "nonfinite.pt is of step 7, which the run has passed since" in verdict.figure


def test_a_batch_that_is_finite_this_time_is_no_defect():
    verdict = check(module(), saved())
    assert (verdict.status, verdict.advice) == ("note", "")
    assert len(verdict.rows) == 1 + 4 + 2


def test_the_modes_are_those_of_the_training():
    kept = saved(evaluating=["1"])
    kept["state_dict"]["net.1.running_mean"][:] = math.inf  # used in evaluation mode alone
    assert "not finite: 1, fed" in check(module(), kept).figure
    assert check(module(), {**kept, "evaluating": []}).status == "note"


def test_an_overflow_of_half_precision_is_told_from_one_of_the_net():
    kept = saved(precision="16-mixed")
    kept["state_dict"]["net.3.weight"][:] = 60000.0
    kept["inputs"] *= 1e3
    verdict = check(module(), kept)
    assert "in 16-mixed alone: float32 holds these values" in verdict.figure


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"state_dict": {"net.x": torch.zeros(1)}}, ModelError, "nonfinite.pt: the weights do not"),
        ({"inputs": torch.zeros(4, 5)}, RunError, "its batch does not fit the net"),
        ({"targets": torch.tensor([0, 1, 0, 9])}, RunError, "its batch does not fit the net"),
    ],
)
def test_what_does_not_belong_together_is_refused(changed, error, words):
    with pytest.raises(error, match=words):
        check(module(), saved(**changed))


def test_a_file_that_is_none_of_ours_is_refused(tmp_path):
    assert read_saved(tmp_path) is None
    torch.save({"state_dict": {}}, tmp_path / "nonfinite.pt")
    with pytest.raises(RunError, match="holds no batch"):
        read_saved(tmp_path)
    (tmp_path / "nonfinite.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(RunError, match="is no readable checkpoint"):
        read_saved(tmp_path)


def test_a_training_that_broke_is_restored_and_replayed(tmp_path: Path):
    with pytest.raises(TrainingError):
        train(composed(*TINY, "optimizer=sgd", "optimizer.lr=1e9", "model.dropout=0"), tmp_path)
    run = RunFolder(tmp_path)
    kept = read_saved(tmp_path)
    assert kept is not None
    restored = restore(run.read_config(), tmp_path / "nonfinite.pt")
    verdict = check(restored.module, kept)
    assert verdict.status == "broken"
    assert f"step {kept['step']}: {verdict.values['sentence']}" == verdict.figure
    assert verdict.values["sentence"] in kept["what"]
