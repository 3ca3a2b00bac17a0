"""Every training leaves its experiment.md: finished, failed, interrupted and gone on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from burnish.commands.experiment import write_experiment
from burnish.commands.train import train
from burnish.errors import BurnishError, Interrupted
from burnish.learner.module import ClassifierModule
from burnish.runs.folder import RunFolder
from burnish.runs.listing import read
from launch import TINY, composed, result_of

SHORT = (*TINY, "logger=csv", "test=false")


def story(folder: Path) -> str:
    return (folder / "experiment.md").read_text(encoding="utf-8")


def row(text: str, name: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
    return line.split("|")[2].strip()


def test_a_finished_run_tells_its_figures_and_a_resumed_one_keeps_the_next_step(tmp_path):
    typed = [*TINY, "logger=csv", "optimizer.lr=0.004"]
    train(composed(*typed), tmp_path, typed)
    first, result = story(tmp_path), result_of(tmp_path)
    assert "**finished**" in first
    assert row(first, "test/accuracy") == f"{result['metrics']['test/accuracy']:.4f}"
    assert row(first, "optimizer.lr") == "0.004"
    assert row(first, "epochs") == "2"
    # Pixels by the two hidden layers by the classes, with their biases and norms.
    module = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    kept = [n for n in module if not n.endswith(("running_mean", "running_var", "tracked"))]
    assert row(first, "parameters") == f"{sum(module[n].numel() for n in kept):,}"
    assert row(first, "samples").startswith("200 train, ")
    assert "- **progress**" in first
    assert read(tmp_path).result["parameters"] == sum(module[n].numel() for n in kept)

    (tmp_path / "experiment.md").write_text(first.replace("What to try next", "Mine: wider"))
    more = composed(*typed, "trainer.max_epochs=3")
    train({**more, "resume": str(tmp_path)}, tmp_path)
    second = story(tmp_path)
    assert row(second, "epochs") == "3"
    assert second.endswith("## Next step\n\nMine: wider, and why:\n")
    assert "`optimizer.lr=0.004`" in second


def test_a_failed_run_tells_why(tmp_path):
    with pytest.raises(BurnishError, match="nan"):
        train(composed(*SHORT, "optimizer.lr=1e18", "optimizer=sgd"), tmp_path, ["optimizer.lr=1"])
    assert "**failed**: train/loss is nan" in story(tmp_path)
    assert "- **finite**" in story(tmp_path)


def test_an_interrupted_run_tells_the_best_so_far(tmp_path, monkeypatch):
    step = ClassifierModule.training_step

    def interrupted(self, *args):
        if self.current_epoch == 2:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    monkeypatch.setattr(ClassifierModule, "training_step", interrupted)
    with pytest.raises(Interrupted):
        train(composed(*SHORT, "trainer.max_epochs=9"), tmp_path)
    text = story(tmp_path)
    assert "**interrupted**" in text
    assert 0 < float(row(text, "best val/accuracy so far")) <= 1


def test_what_goes_wrong_is_no_fault_of_the_run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write_experiment(RunFolder(folder))  # nothing in it at all
    assert not list(folder.iterdir())
    (folder / "experiment.md").mkdir()  # and it cannot be written
    train(composed(*SHORT, "trainer.max_epochs=1"), folder)
    assert result_of(folder)["status"] == "finished"
    assert "experiment.md was not written" in (folder / "train.log").read_text()


def test_nobody_s_files_are_too_odd(tmp_path):
    for name, text in {
        "metrics.csv": "step,epoch\n\x00,\n", "provenance.json": '{"git": 5, "data": [], "x":',
        "overrides.yaml": "[]\n", "config.yaml": "monitor: [1]\nmode: {}\nname: [[]]\n",
        "result.json": '{"status": "failed", "best": [], "metrics": 3, "seconds": "NaN", '
        '"parameters": 1e400, "epochs": {}, "began": 7, "exception": {"a": [1]}}',
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    write_experiment(RunFolder(tmp_path))
    assert "**failed**" in story(tmp_path)
