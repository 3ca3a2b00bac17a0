from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from subjects import subject_of, with_net
from torch import Tensor, nn

import tiny
from burnish.data.loading import Batch, InMemory
from burnish.diagnosis.loading import Timing, check, measure, reads_files

PAUSE = 0.03


def test_what_waits_for_what() -> None:
    apart = Timing(load=3.0, prepare=1.0, step=4.0, overlaps=False)
    assert apart.whole == 8.0
    assert apart.waiting == 0.5
    hidden = Timing(load=3.0, prepare=1.0, step=4.0, overlaps=True)
    assert hidden.whole == 5.0
    assert hidden.waiting == pytest.approx(0.2)
    starved = Timing(load=10.0, prepare=1.0, step=4.0, overlaps=True)
    assert starved.whole == 10.0
    assert starved.waiting == pytest.approx(0.6)


class Slow(InMemory):
    """A table that takes its time."""

    def __init__(self, table: Any) -> None:
        self.table = table
        self.labels = table.labels

    def __getitems__(self, rows: Sequence[int] | Tensor) -> Batch:
        time.sleep(PAUSE)
        return self.table.__getitems__(rows)  # type: ignore[no-any-return]


class SlowNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(PAUSE)
        return self.head(x.flatten(1))  # type: ignore[no-any-return]


def test_a_slow_source_is_the_bottleneck() -> None:
    subject = subject_of("model=mlp")
    source, rows = subject.data.splits["train"]
    subject.data.splits["train"] = (Slow(source), rows)
    state = torch.get_rng_state()
    timing = measure(subject, seconds=0.5)
    assert torch.equal(torch.get_rng_state(), state)
    assert timing.load >= PAUSE
    assert timing.waiting > 0.5
    verdict = check(subject)
    assert verdict.status == "note"
    assert verdict.values["samples_per_second"] < 64 / PAUSE
    assert "data.cache" not in verdict.advice
    assert "data.image_size" not in verdict.advice


def test_a_slow_net_is_no_matter_of_loading() -> None:
    verdict = check(with_net(subject_of(), SlowNet))
    assert verdict.status == "ok"
    assert verdict.values["seconds"]["step"] >= PAUSE
    assert verdict.advice == ""
    assert [row[0] for row in verdict.rows] == ["a batch", "load", "prepare", "training step"]


def test_slow_augmentation_is_named() -> None:
    def tiny_net() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    subject = with_net(subject_of("augment=standard"), tiny_net)

    class Pause:
        def __call__(self, images: Tensor, labels: Tensor, spec: Any) -> Batch:
            time.sleep(PAUSE)
            return images, labels

    subject.data.augment = (*subject.data.augment, Pause())  # type: ignore[attr-defined]
    verdict = check(subject)
    assert verdict.status == "note"
    assert verdict.values["seconds"]["prepare"] >= PAUSE
    assert "augment" in verdict.advice


@pytest.mark.parametrize("workers", [0, 1])
def test_files_are_told_apart_and_can_be_cached(tmp_path: Path, workers: int) -> None:
    root = tiny.write_image_folder(tmp_path, {"train": 6, "val": 2}, size=(300, 260))
    overrides = (
        "data=image_folder", f"data.root={root}", "model=mlp", "model.sizes=[]",
        "data.batch_size=6", "data.image_size=128", f"data.num_workers={workers}",
    )  # fmt: skip
    subject = subject_of(*overrides)
    assert reads_files(subject)
    timing = measure(subject, seconds=0.5)
    assert timing.overlaps == bool(workers)
    if not workers:
        verdict = check(subject)
        assert verdict.status == "note"
        assert "data.cache=disk" in verdict.advice
        assert "data.image_size=64" in verdict.advice
        assert "first epoch is slower" in verdict.figure
        assert not reads_files(subject_of(*overrides, "data.cache=memory"))
