from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from subjects import subject_of, with_net
from torch import Tensor, nn

from burnish.diagnosis import batch_size
from burnish.diagnosis.batch_size import (
    available_memory,
    check,
    largest_estimated,
    largest_tried,
    search,
)
from burnish.diagnosis.footprint import MIB, footprint, heaviest

FREE = 16 * 2**30


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """16 GiB free and no container, whatever this machine has; the folder that says so."""
    lines = ("MemTotal:       33554432 kB", f"MemAvailable:   {FREE // 1024} kB", "Buffers: 8 kB")
    (tmp_path / "meminfo").write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(batch_size, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(batch_size, "CGROUP", tmp_path)
    return tmp_path


@pytest.mark.parametrize("limit", [*range(70), 100, 127, 128, 129, 999, 1000, 5000])
@pytest.mark.parametrize("start", [1, 32])
def test_search_comes_within_an_eighth_and_never_asks_for_more(limit: int, start: int) -> None:
    asked: list[int] = []
    most = 1000

    def fits(size: int) -> bool:
        assert 1 <= size <= most
        assert all(size < bad for bad in asked if bad > limit), "larger than one that did not fit"
        asked.append(size)
        return size <= limit

    found = search(fits, start, most)
    best = min(limit, most)
    assert found <= best
    assert best - found <= max(0, best / 8)
    assert len(asked) <= 16


class Hungry(nn.Module):
    """Needs more memory than there is, from some size on."""

    def __init__(self, limit: int, held: list[weakref.ref[Any]]) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)
        self.limit = limit
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        kept = x.flatten(1) * 2
        self.held.append(weakref.ref(kept))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return self.head(kept)  # type: ignore[no-any-return]


def test_tries_until_memory_runs_out_and_frees_what_the_error_held() -> None:
    held: list[weakref.ref[Any]] = []
    subject = with_net(subject_of("data.batch_size=200"), lambda: Hungry(300, held))
    state = torch.get_rng_state()
    assert 300 * 7 / 8 <= largest_tried(subject) <= 300
    assert torch.equal(torch.get_rng_state(), state)
    gc.disable()
    try:
        assert not [ref for ref in held if ref() is not None]
    finally:
        gc.enable()


def test_other_errors_stay_errors() -> None:
    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 10)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x.flatten(1))  # type: ignore[no-any-return]

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        largest_tried(with_net(subject_of(), Wrong))


def test_the_estimate_is_where_a_measured_step_fills_the_memory() -> None:
    # So small a batch that memory is highest where the optimizer works, but not with a large one.
    subject = subject_of("data.batch_size=8")
    available = 3 * footprint(subject, [heaviest(subject)]).peak
    size = largest_estimated(subject, available)
    assert size > 8
    assert footprint(subject, [heaviest(subject, size)]).peak == pytest.approx(available, rel=0.05)


def test_memory_too_small_for_the_net_fits_nothing() -> None:
    assert largest_estimated(subject_of("model=mlp"), 1000) == 0


def test_suggests_no_more_than_the_training_split() -> None:
    subject = subject_of("model=mlp")
    verdict = check(subject)
    assert verdict.status == "ok"
    assert verdict.values["largest"] == sum(subject.data.class_counts["train"])
    assert verdict.values["suggested"] <= verdict.values["largest"]
    assert "memory sets no limit" in verdict.advice
    assert "estimate" in verdict.figure


def test_a_batch_larger_than_the_training_split_is_all_of_it() -> None:
    subject = subject_of("model=mlp", "data.limit=100", "data.batch_size=100000")
    verdict = check(subject)
    assert verdict.status == "ok"
    assert "an epoch is one step of all 100 training samples" in verdict.advice
    assert len(heaviest(subject)[0]) == 100


def write_limits(folder: Path, limit: str, used: int) -> None:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")


def test_a_container_s_limit_counts(system: Path) -> None:
    assert available_memory() == FREE
    write_limits(system, "max", 5)
    assert available_memory() == FREE
    write_limits(system, str(40 * MIB), 39 * MIB)
    assert available_memory() == MIB
    verdict = check(subject_of())
    assert verdict.status == "broken"
    assert 0 < verdict.values["suggested"] < 64
    assert verdict.advice.startswith(f"data.batch_size={verdict.values['suggested']}, not 64")


def test_a_system_that_does_not_tell_is_no_error(system: Path) -> None:
    (system / "meminfo").unlink()
    assert available_memory() is None
    verdict = check(subject_of("model=mlp"))
    assert (verdict.status, verdict.figure[:11]) == ("note", "cannot tell")
