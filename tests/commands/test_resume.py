"""A resumed run must end where an uninterrupted one ends, to the bit."""

from __future__ import annotations

import csv
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch

import tiny
from burnish.commands.train import train
from launch import (
    TINY,
    assert_equal_weights,
    composed,
    launch,
    only_run,
    result_of,
    start,
    weights_of,
)


def epochs_logged(run: Path) -> list[str]:
    if not (run / "metrics.csv").exists():
        return []
    with (run / "metrics.csv").open(newline="") as file:
        return [row["epoch"] for row in csv.DictReader(file) if row.get("val/loss")]


def wait_for(condition, process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline, "the run did not get there"
        time.sleep(0.01)


# Steps of one sample each: an epoch lasts long enough to be hit in its middle.
SLOW = (
    "trainer=cpu",
    "model=mlp",
    "data.limit=600",
    "data.batch_size=1",
    "augment=flip_crop",
    "augment.crop.padding=1",
    "trainer.max_epochs=4",
    "test=false",
    "scheduler=cosine",
    "callbacks.early_stopping.enabled=false",
)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    done = launch("train", *SLOW, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return only_run(folder)


def test_killed_twice_and_resumed_is_bit_equal(tmp_path, uninterrupted):
    process = start("train", *SLOW, cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("outputs/train/*/*/checkpoints/last.ckpt")), process)
    run = only_run(tmp_path)
    for epoch in ("0.0", "1.0"):
        wait_for(lambda epoch=epoch: epoch in epochs_logged(run), process)
        time.sleep(0.15)  # into the next epoch
        process.kill()
        process.wait()
        assert result_of(run)["status"] == "running"  # readable, and as the kill left it
        process = start("train", f"resume={run}", cwd=tmp_path)
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0, output
    assert only_run(tmp_path) == run  # no second folder
    assert result_of(run)["status"] == "finished"
    assert_equal_weights(weights_of(run), weights_of(uninterrupted))
    assert epochs_logged(run) == epochs_logged(uninterrupted) == ["0.0", "1.0", "2.0", "3.0"]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_in_the_middle_of_an_epoch_and_resume_is_bit_equal(
    tmp_path, uninterrupted, signum
):
    process = start("train", *SLOW, cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("outputs/train/*/*/checkpoints/last.ckpt")), process)
    run = only_run(tmp_path)
    wait_for(lambda: "0.0" in epochs_logged(run), process)
    time.sleep(0.15)
    process.send_signal(signum)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signum, output
    assert "Traceback" not in output
    assert result_of(run)["status"] == "interrupted"
    done = launch("train", f"resume={run}", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert_equal_weights(weights_of(run), weights_of(uninterrupted))


@pytest.mark.parametrize(
    ("trainer", "epochs"), [("cpu", 2), ("cpu", 5), ("cpu", 9), ("ddp_cpu", 3)]
)
def test_a_signal_at_any_moment_of_short_epochs_interrupts(tmp_path, trainer, epochs):
    """Epochs of milliseconds: the signal meets training, validation or the writing of files."""
    line = ("model=mlp", f"trainer={trainer}", "data.limit=100", "trainer.max_epochs=100000")
    process = start("train", *line, "callbacks.early_stopping.enabled=false", cwd=tmp_path)
    wait_for(lambda: list(tmp_path.glob("outputs/train/*/*/checkpoints/last.ckpt")), process)
    run = only_run(tmp_path)
    wait_for(lambda: len(epochs_logged(run)) > epochs, process)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 143, output
    assert result_of(run)["status"] == "interrupted"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"]


@pytest.mark.parametrize(
    "extra",
    [
        ("scheduler=plateau", "scheduler.schedule.patience=0", "optimizer.lr=0.03"),
        ("callbacks.ema.enabled=true", "callbacks.ema.decay=0.9"),
        ("optimizer=muon", "trainer.accumulate_grad_batches=2"),
        ("augment=mixup", "optimizer=sgd"),
        ("scheduler=one_cycle", "trainer.max_steps=28", "trainer.max_epochs=-1"),
        ("data=text", "data.path={reviews}", "model=bilstm", "data.sampler=balanced"),
        ("freeze=backbone", "unfreeze_epoch=3", "optimizer.backbone_lr_scale=0.5"),
    ],
    ids=lambda extra: extra[0],
)
def test_resume_equals_uninterrupted_in_every_part(tmp_path, extra, monkeypatch):
    """Stopped after two epochs of four by an exception, as a failing disk would."""
    extra = [part.format(reviews=tiny.write_reviews(tmp_path / "reviews.csv")) for part in extra]
    config = composed(*TINY, "trainer.max_epochs=4", "test=false", *extra)
    (tmp_path / "whole").mkdir()
    train(config, tmp_path / "whole")

    from burnish.learner.checkpoint import BestAndLast

    original = BestAndLast.on_train_epoch_end

    def fail_in_the_third(self, trainer, module):
        if trainer.current_epoch == 2:
            raise OSError("no space left on device")
        original(self, trainer, module)

    cut = tmp_path / "cut"
    cut.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(BestAndLast, "on_train_epoch_end", fail_in_the_third)
        with pytest.raises(OSError, match="no space"):
            train(config, cut)
    assert result_of(cut)["status"] == "failed"
    assert "no space" in result_of(cut)["exception"]
    train({**config, "resume": str(cut)}, cut)
    assert_equal_weights(weights_of(cut), weights_of(tmp_path / "whole"))
    assert result_of(cut)["best"] == result_of(tmp_path / "whole")["best"]
    names = ("val/loss", "val/accuracy", "train/loss")
    assert {n: result_of(cut)["metrics"][n] for n in names} == {
        n: result_of(tmp_path / "whole")["metrics"][n] for n in names
    }
