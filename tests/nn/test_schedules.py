from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler

from burnish.errors import ConfigError
from burnish.nn.schedules import cosine, warmup_cosine

Build = Callable[[torch.optim.Optimizer], LRScheduler]


def optimizer_with(*rates: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=1.0)


def advance(optimizer: torch.optim.Optimizer, schedule: LRScheduler, steps: int) -> list[float]:
    """The rate of the first group at each of the next steps."""
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_cosine_by_hand() -> None:
    optimizer = optimizer_with(2.0)
    rates = advance(optimizer, cosine(optimizer, total_steps=6, final_factor=0.1), 9)
    half, root = 0.5, math.sqrt(3) / 2
    falling = [1.0, (1 + root) / 2, (1 + half) / 2, 0.5, (1 - half) / 2, (1 - root) / 2]
    want = [2 * (0.1 + 0.9 * f) for f in falling] + [0.2, 0.2, 0.2]
    torch.testing.assert_close(rates, want, rtol=1e-12, atol=0)


def test_warmup_cosine_by_hand() -> None:
    optimizer = optimizer_with(2.0)
    schedule = warmup_cosine(
        optimizer, total_steps=8, steps_per_epoch=2, warmup_epochs=2.0, start_factor=0.2
    )
    rates = advance(optimizer, schedule, 10)
    root = math.sqrt(0.5)
    want = [0.4, 0.8, 1.2, 1.6, 2.0, 1 + root, 1.0, 1 - root, 0.0, 0.0]
    torch.testing.assert_close(rates, want, rtol=1e-12, atol=1e-15)


def test_fractions_of_an_epoch_warm_up_for_whole_steps() -> None:
    optimizer = optimizer_with(1.0)
    schedule = warmup_cosine(
        optimizer, total_steps=100, steps_per_epoch=10, warmup_epochs=0.2, start_factor=0.0
    )
    assert advance(optimizer, schedule, 3) == [0.0, 0.5, 1.0]


def test_no_warm_up_is_plain_cosine() -> None:
    one, other = optimizer_with(0.3), optimizer_with(0.3)
    without = warmup_cosine(one, total_steps=7, steps_per_epoch=7, warmup_epochs=0)
    assert advance(one, without, 8) == advance(other, cosine(other, total_steps=7), 8)


def test_groups_keep_their_proportion() -> None:
    optimizer = optimizer_with(1.0, 0.1)
    schedule = cosine(optimizer, total_steps=10, final_factor=0.5)
    for _ in range(12):
        large, small = (group["lr"] for group in optimizer.param_groups)
        assert small == pytest.approx(large / 10)
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize(
    "build",
    [
        lambda o: cosine(o, total_steps=20),
        lambda o: warmup_cosine(o, total_steps=20, steps_per_epoch=4, warmup_epochs=2),
    ],
)
@pytest.mark.parametrize("stop", [1, 5, 8, 13, 20])
def test_resuming_equals_never_having_stopped(build: Build, stop: int) -> None:
    optimizer = optimizer_with(0.7)
    whole = advance(optimizer, build(optimizer), 22)

    optimizer = optimizer_with(0.7)
    schedule = build(optimizer)
    assert advance(optimizer, schedule, stop) == whole[:stop]
    file = io.BytesIO()
    torch.save({"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}, file)
    file.seek(0)
    states = torch.load(file, weights_only=True)

    optimizer = optimizer_with(0.7)
    schedule = build(optimizer)
    optimizer.load_state_dict(states["optimizer"])
    schedule.load_state_dict(states["schedule"])
    assert advance(optimizer, schedule, 22 - stop) == whole[stop:]


@pytest.mark.parametrize("warmup_epochs", [5, 5.0, 12])
def test_warm_up_longer_than_the_training_is_refused(warmup_epochs: float) -> None:
    with pytest.raises(ConfigError, match=r"^scheduler\.schedule\.warmup_epochs: .*fewer than 5 "):
        warmup_cosine(
            optimizer_with(1.0), total_steps=50, steps_per_epoch=10, warmup_epochs=warmup_epochs
        )


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        ({"final_factor": 1.5}, "scheduler.schedule.final_factor"),
        ({"start_factor": -0.1}, "scheduler.schedule.start_factor"),
        ({"warmup_epochs": -1}, "scheduler.schedule.warmup_epochs"),
        ({"total_steps": math.inf}, "scheduler.schedule"),
        ({"total_steps": -1}, "scheduler.schedule"),
    ],
)
def test_bad_arguments_name_their_key(arguments: dict[str, Any], key: str) -> None:
    good: dict[str, Any] = {"total_steps": 100, "steps_per_epoch": 10, "warmup_epochs": 1.0}
    with pytest.raises(ConfigError, match=f"^{key}: "):
        warmup_cosine(optimizer_with(1.0), **good | arguments)
