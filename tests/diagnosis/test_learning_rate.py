from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from subjects import subject_of
from torch.nn import functional as F

import tiny
from burnish.diagnosis.learning_rate import Curve, check, find, peak, survives
from burnish.nn.muon import MuonWithAdamW

MLP = ("model=mlp", "data.limit=600")
PLAIN = (*MLP, "model.dropout=0", "optimizer.weight_decay=0")
HOURS = 1e5  # never fewer steps than asked for


def curve_of(losses: Any, rates: Any = None, guessing: float = 2.3) -> Curve:
    rates = np.geomspace(1e-6, 10, len(losses)) if rates is None else rates
    return Curve(rates, np.asarray(losses, float), guessing, configured=1e-3, seconds=1.0)


def valley(falls: float, rises: float, noise: float = 0.0) -> Curve:
    """From 2.3 to 0.3, steepest at one rate, and up without end behind the other."""
    x = np.log10(np.geomspace(1e-6, 10, 100))
    losses = 2.3 - 2 / (1 + np.exp(-4 * (x - np.log10(falls))))
    losses += np.exp(5 * (x - np.log10(rises))) * 2
    return curve_of(losses + noise * np.random.default_rng(0).normal(size=100))


def test_smoothing_is_a_weighted_mean_that_a_constant_survives() -> None:
    np.testing.assert_allclose(curve_of([2.0] * 7).smoothed, 2.0)
    # Steps of 0.3 decades, the width of the kernel: each step away weighs 1/e.
    rates = 10 ** (0.3 * np.arange(3))
    e = math.exp(-1)
    got = curve_of([1.0, 2.0, 4.0], rates).smoothed
    want = [
        (1 + 2 * e + 4 * e * e) / (1 + e + e * e),
        (e + 2 + 4 * e) / (1 + 2 * e),
        (e * e + 2 * e + 4) / (1 + e + e * e),
    ]
    np.testing.assert_allclose(got, want)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("falls", [1e-4, 3e-3])
def test_suggests_where_the_loss_falls_fastest(falls: float, noise: float) -> None:
    curve = valley(falls, rises=1.0, noise=noise)
    assert curve.suggested == pytest.approx(falls, rel=0.8)
    # exp(5 x) * 2 is 2 at the rate itself, where the sum is that of guessing again
    assert curve.diverges == pytest.approx(1.0, rel=0.6)


def test_suggestion_keeps_its_distance_from_divergence() -> None:
    curve = valley(falls=1e-2, rises=2e-2)
    assert curve.diverges is not None
    assert curve.suggested is not None
    assert curve.suggested <= curve.diverges / 4


def test_unlearning_the_initial_outputs_is_no_learning() -> None:
    x = np.log10(np.geomspace(1e-6, 10, 100))
    losses = 3.5 - 1.2 / (1 + np.exp(-6 * (x + 4))) - 0.5 / (1 + np.exp(-6 * (x + 2)))
    assert curve_of(losses).suggested == pytest.approx(1e-2, rel=0.8)
    # Where guessing is as bad as the start, the steeper of the two falls is the answer.
    assert curve_of(losses, guessing=3.6).suggested == pytest.approx(1e-4, rel=0.8)


def test_infinite_losses_count_as_lost() -> None:
    losses = [2.3] * 40 + [1.5] * 20 + [math.nan]
    curve = curve_of(losses)
    assert np.isfinite(curve.smoothed).all()
    assert curve_of([2.3] * 50 + [1.0] * 20 + [math.inf] * 3).diverges is not None


def test_noise_alone_is_no_fall() -> None:
    noise = np.random.default_rng(1).normal(2.3, 0.1, 100)
    assert curve_of(noise).suggested is None
    assert curve_of(noise).diverges is None
    exploding = curve_of([*noise[:70], *([9.0] * 20)])
    assert exploding.diverges == pytest.approx(exploding.rates[70], rel=0.5)


def by_hand(make_optimizer: Any, rates: Any, overrides: tuple[str, ...]) -> list[float]:
    """The losses of a plain loop in which the optimizer is told its rates."""
    subject = subject_of(*PLAIN, *overrides)
    net = subject.make().net.train()
    optimizer, losses = make_optimizer(net), []
    loader = subject.data.train_dataloader()
    for (inputs, targets), rate in zip(loader, [1e-6] * 3 + [*rates], strict=False):
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("share", 1.0)
            if "adamw_lr" in group:  # told its own rate instead of a proportion
                group["base_lr"], group["adamw_lr"] = group["lr"], 1e-3 * rate / 0.02
        images, labels = subject.data.for_training((inputs, targets))
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[3:]


def test_equals_a_loop_by_hand_whose_backbone_has_a_tenth_of_the_rate() -> None:
    overrides = ("optimizer=sgd", "optimizer.backbone_lr_scale=0.1", "optimizer.lr=0.3")
    curve = find(subject_of(*PLAIN, *overrides), steps=5, seconds=HOURS)
    np.testing.assert_allclose(curve.rates, 1e-6 * 10 ** (7 * np.arange(5) / 4))
    assert curve.configured == 0.3

    def sgd(net: Any) -> torch.optim.Optimizer:
        head = set(net.head.parameters())
        rest = [p for p in net.parameters() if p not in head]
        groups = [{"params": [*head]}, {"params": rest, "share": 0.1}]
        return torch.optim.SGD(groups, 0.3, momentum=0.9, nesterov=True)

    np.testing.assert_allclose(curve.losses, by_hand(sgd, curve.rates, overrides), rtol=1e-5)


def test_muon_keeps_the_rate_of_its_other_half_in_proportion() -> None:
    overrides = ("optimizer=muon",)
    curve = find(subject_of(*PLAIN, *overrides), steps=5, seconds=HOURS)
    want = by_hand(
        lambda net: MuonWithAdamW(net.parameters(), weight_decay=0), curve.rates, overrides
    )
    np.testing.assert_allclose(curve.losses, want, rtol=1e-5)


def test_is_repeatable_and_leaves_random_states_as_they_were() -> None:
    subject = subject_of(*MLP, "model.dropout=0.5")
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    first = find(subject, steps=8, seconds=HOURS)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    torch.rand(3)
    np.testing.assert_array_equal(find(subject, steps=8, seconds=HOURS).losses, first.losses)


def test_stops_once_the_loss_has_exploded() -> None:
    curve = find(subject_of(*MLP, "optimizer=sgd"), seconds=HOURS)
    assert len(curve.losses) < 100
    assert not np.isfinite(curve.losses[-1]) or (curve.losses[-3:] > curve.ceiling).all()


OPTIMIZERS = ["adamw", "sgd", "adam", "rmsprop", "muon"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_defaults_pass_and_a_thousand_times_as_much_is_broken(optimizer: str) -> None:
    subject = subject_of("model=mlp", f"optimizer={optimizer}")
    verdict = check(subject)
    assert verdict.status == "ok", verdict
    assert verdict.values["diverges"] > verdict.values["suggested"]
    lr = 1000 * subject.config["optimizer"]["lr"]
    broken = check(subject_of("model=mlp", f"optimizer={optimizer}", f"optimizer.lr={lr}"))
    assert broken.status == "broken"
    suggested = float(broken.advice.removeprefix("optimizer.lr="))
    assert 0.02 < suggested / subject.config["optimizer"]["lr"] < 50


def test_a_suggestion_from_a_useless_rate_trains() -> None:
    high = check(subject_of(*MLP, "optimizer.lr=1.0"))
    assert high.status == "broken"
    assert survives(subject_of(*MLP), high.values["suggested"], high.values["guessing"])
    low = check(subject_of(*MLP, "optimizer.lr=1e-7"))
    assert low.status == "note"
    assert "very slow" in low.figure
    assert check(subject_of(*MLP, "optimizer.lr=0")).status == "broken"


def test_texts_pass_too(tmp_path: Path) -> None:
    tiny.write_reviews(tmp_path / "reviews.csv")
    overrides = (
        "data=text", f"data.path={tmp_path / 'reviews.csv'}", "model=text_transformer",
        "data.batch_size=16", "data.max_length=16", "model.width=16", "model.layers=1",
    )  # fmt: skip
    for optimizer in ("adamw", "sgd"):
        assert check(subject_of(*overrides, f"optimizer={optimizer}")).status == "ok"
    assert check(subject_of(*overrides, "optimizer.lr=1.0")).status == "broken"


def test_a_schedule_with_a_peak_of_its_own_is_judged_by_it() -> None:
    cycle = ("optimizer=sgd", "scheduler=one_cycle")
    assert check(subject_of(*MLP, *cycle)).values["key"] == "optimizer.lr"
    verdict = check(subject_of(*MLP, *cycle, "scheduler.schedule.max_lr=50"))
    assert verdict.status == "broken"
    assert verdict.advice.startswith("scheduler.schedule.max_lr=0.")
    assert peak({"scheduler": {"schedule": {"max_lr": [0.1, 0.4]}}}, 0.1) == (
        "scheduler.schedule.max_lr",
        0.4,
    )
    assert peak({"scheduler": None}, 0.1) == ("optimizer.lr", 0.1)


def test_a_frozen_backbone_stays_frozen() -> None:
    subject = subject_of(*MLP, "freeze=backbone")
    made = []
    original = subject.make

    def make() -> Any:
        made.append(original())
        return made[-1]

    find(type(subject)(**{**vars(subject), "make": make}), steps=5, seconds=HOURS)
    fresh = original().net.state_dict()
    moved = {
        name for name, w in made[0].net.state_dict().items() if not torch.equal(w, fresh[name])
    }
    assert moved == {"head.weight", "head.bias"}
