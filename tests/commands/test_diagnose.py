"""The command: what it writes, what it leaves alone, and its exit codes."""

from __future__ import annotations

import json

import pytest
import torch

from burnish.commands.diagnose import diagnose, make_subject
from burnish.commands.diagnose_run import look_back
from burnish.commands.train import train
from burnish.config.diagnosis import CHECKS, chosen
from burnish.diagnosis import checks
from burnish.errors import ConfigError, ModelError, TrainingError
from burnish.learner.module import net_weights
from burnish.runs.folder import RunFolder
from launch import ROOT, TINY, composed


@pytest.fixture(autouse=True)
def _broken_is_found(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "diagnosis")


def test_the_names_are_the_checks():
    assert tuple(checks.CHECKS) == CHECKS
    assert chosen({"checks": None, "skip": []}) == list(CHECKS)
    assert chosen({"checks": ["labels", "inputs"], "skip": None}) == ["inputs", "labels"]
    assert chosen({"checks": "inputs", "skip": []}) == ["inputs"]
    assert "memory" not in chosen({"checks": None, "skip": ["memory"]})
    with pytest.raises(ConfigError, match=r"checks: no check is named 'lables'; did you mean lab"):
        chosen({"checks": ["lables"], "skip": []})
    with pytest.raises(ConfigError) as error:
        chosen({"checks": 7, "skip": ["bar"]})
    assert [line.partition(":")[0] for line in error.value.problems] == ["checks", "skip"]
    with pytest.raises(ConfigError, match="leave no check to make"):
        chosen({"checks": [], "skip": []})
    with pytest.raises(ConfigError, match="leave no check"):
        chosen({"checks": ["inputs"], "skip": ["inputs"]})


def test_a_report_is_left_and_nothing_else(tmp_path, capsys):
    folder = tmp_path / "report"
    folder.mkdir()
    code = diagnose(composed(*TINY), folder, ["inputs", "labels"], overrides=["model=mlp"])
    assert code == 0
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "diagnosis.json", "config.yaml", "overrides.yaml", "inputs.png",
        "labels.png",
    }  # fmt: skip
    found = json.loads((folder / "diagnosis.json").read_text())
    assert [verdict["check"] for verdict in found["checks"]] == ["inputs", "labels"]
    assert capsys.readouterr().out.startswith("ok      inputs         mean -0.04, ")


def test_the_subject_is_the_run_as_it_begins(tmp_path):
    config = composed(*TINY, "augment=none", "data.val_fraction=0.2", "seed=5")
    subject = make_subject(config)
    weights = [subject.make().net.state_dict() for _ in range(2)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    run = tmp_path / "run"
    run.mkdir()
    # A step so small that the weights are still those that the run began with.
    config["optimizer"] = {**config["optimizer"], "lr": 1e-30, "weight_decay": 0.0}
    config["trainer"] = {**config["trainer"], "max_steps": 1}
    train(config, run)
    last = run / "checkpoints" / "last.ckpt"
    saved = net_weights(torch.load(last, weights_only=True))
    assert all(torch.allclose(saved[n], weights[0][n], rtol=0, atol=1e-20) for n in saved)
    # init_from: another seed, the same weights.
    other = make_subject({**config, "seed": 6, "init_from": str(last)}).make().net.state_dict()
    assert all(torch.equal(saved[name], other[name]) for name in saved)
    config["model"] = {**config["model"], "sizes": [8, 8, 8]}
    with pytest.raises(ModelError, match=r"init_from: .*last\.ckpt: .*missing: body"):
        make_subject({**config, "init_from": str(last)})


def test_a_check_on_what_is_broken_already_is_left_out(tmp_path, capsys):
    config = composed(*TINY)
    config["model"] = {"_target_": "broken.Frozen", "_partial_": True}
    code = diagnose(config, tmp_path, ["gradients", "memory"], ["broken"])
    assert code == 1
    assert "note    memory         cannot be checked: " in capsys.readouterr().out


def test_freezing_wants_a_head():
    config = composed(*TINY, "freeze=backbone")
    config["model"] = {"_target_": "torch.nn.Identity", "_partial_": True}
    with pytest.raises(ConfigError, match="freeze: backbone trains the layer named head"):
        make_subject(config, ["torch"])


def test_the_curves_of_a_run_are_looked_at_in_its_folder(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    train(composed(*TINY), run)
    capsys.readouterr()
    before = {path for path in run.rglob("*") if path.is_file()}
    code = look_back(RunFolder(run))
    assert code in (0, 1)
    new = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file() and p not in before}
    assert {"diagnosis.json", "diagnosis/index.html"} <= new
    assert all(name.startswith("diagnosis") for name in new)
    checked = json.loads((run / "diagnosis.json").read_text())["checks"]
    assert checked
    assert f" {checked[0]['check']} " in capsys.readouterr().out


def test_the_batch_that_a_run_broke_on_is_gone_through_again(tmp_path, capsys):
    run = RunFolder(tmp_path)
    with pytest.raises(TrainingError, match="nonfinite"):
        train(composed(*TINY, "optimizer.lr=1e9"), tmp_path)
    capsys.readouterr()
    assert look_back(run) == 1
    found = {verdict["check"]: verdict for verdict in run.read_json("diagnosis")["checks"]}
    assert found["status"]["values"] == {"status": "failed"}
    assert found["replay"]["status"] == "broken"
    assert "first output that is not finite" in capsys.readouterr().out
    config = (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(config.replace("burnish.models.mlp.MLP", "os.system"))
    with pytest.raises(ConfigError, match=r"model\._target_"):
        look_back(run)
    (tmp_path / "config.yaml").write_text(config)
    # As if it had gone on from an earlier checkpoint.
    run.update_result(status="finished", exception=None, steps=100)
    look_back(run)
    found = {verdict["check"]: verdict for verdict in run.read_json("diagnosis")["checks"]}
    assert found["replay"]["status"] == "note"
    assert "which the run has passed since" in found["replay"]["figure"]


def test_a_broken_set_up_from_the_command_line(typed, tmp_path, capsys):
    words = ["trust=[broken]", "model=mlp", "model._target_=broken.Frozen", "trainer=cpu"]
    assert typed("diagnose", *words, "checks=[gradients]") == 1
    said = capsys.readouterr().out
    assert said.startswith("broken  gradients      none of 50,826 weights is trained\n")
    (page,) = tmp_path.glob("outputs/*/*/*/index.html")
    assert page.parts[-4] == "diagnose"
    assert "gradients: requires_grad is false everywhere" in page.read_text()
    assert not (tmp_path / "outputs" / "train").exists()


def test_a_healthy_one_ends_with_0(typed):
    assert typed("diagnose", "trainer=cpu", "data.limit=100", "checks=[outputs]") == 0


MISTAKES = {
    "optimizer.lrr=0.1 seed=-1": "optimizer.lrr: there is no such key; did you mean optimizer.lr?",
    "optimizer.lr=-1": "optimizer.lr: must be a number above 0, found -1",
    "checks=[sginal]": "checks: no check is named 'sginal'; did you mean signal?",
    "resume=nowhere": "resume: this run has begun: look at its curves, run=nowhere",
    "run=nowhere": "run: nowhere does not exist",
    "run=nowhere model=mlp": "model: run= looks at a run as it is: leave the rest out",
    "-m seed=1,2": "diagnose: looks at one run at a time: leave out -m",
    "data=text data.path=no.csv model=bilstm": "no.csv: no such file",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistakes(line, typed, tmp_path, capsys):
    assert typed("diagnose", *line.split()) == 2
    said = capsys.readouterr().err
    assert MISTAKES[line] in said
    assert "Traceback" not in said
    # Hydra itself notes down a multirun before its first job.
    assert not list((tmp_path / "outputs").rglob("*")) or line.startswith("-m")
