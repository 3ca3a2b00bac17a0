"""What the checks say of nets whose shapes, gradients and dead units are known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from subjects import subject_of, with_net
from torch import nn

import tiny
from burnish.diagnosis import dead_units, gradients, initial_loss, one_batch, outputs, shapes
from burnish.nn.losses import FocalLoss


@pytest.fixture(scope="module")
def digits():
    return subject_of()


def linear(scale=1.0):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        net[1].weight.mul_(scale)
    return net


# --- shapes --------------------------------------------------------------------------------------


def test_layers_of_a_convolutional_net(digits):
    def net():
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))

    verdict = shapes.check(with_net(digits, net))
    assert verdict.status == "ok"
    conv, head = 2 * 9 * 4 * 36, 2 * 144 * 10  # 2 a multiplication with its addition
    assert verdict.rows[1:] == (
        ("0", "Conv2d", "4 x 6 x 6", 40, conv),
        ("1", "ReLU", "4 x 6 x 6", 0, 0),
        ("2", "Flatten", "144", 0, 0),
        ("3", "Linear", "10", 1450, head),
    )
    assert verdict.values["flops"] == conv + head
    assert (verdict.values["parameters"], verdict.values["trained"]) == (1490, 1490)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(8, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 10)

    def forward(self, x):
        return self.head(self.rnn(x.squeeze(1))[0].mean(1))


def test_recurrent_layers_are_counted(digits):
    verdict = shapes.check(with_net(digits, Recurrent))
    rnn = 2 * 8 * (2 * 4 * 5 * (8 + 5))  # two directions, four gates, eight tokens
    assert verdict.rows[1][2:] == ("8 x 10", 2 * 4 * 5 * (8 + 5 + 2), rnn)
    assert verdict.values["flops"] == rnn + 2 * 10 * 10


@pytest.mark.parametrize(("width", "expected"), [(9, "broken"), (10, "ok"), (12, "note")])
def test_outputs_must_fit_the_classes(digits, width, expected):
    net = lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, width))  # noqa: E731
    assert shapes.check(with_net(digits, net)).status == expected


def test_outputs_must_be_one_row_a_sample(digits):
    assert shapes.check(with_net(digits, lambda: nn.Conv2d(1, 10, 3))).status == "broken"


# --- the first loss and outputs ------------------------------------------------------------------


def test_the_initial_loss_is_that_of_the_first_samples(digits):
    verdict = initial_loss.check(with_net(digits, linear))
    torch.manual_seed(0)
    logits = linear()(digits.inputs[:32]).detach()
    assert verdict.values["loss"] == pytest.approx(
        float(F.cross_entropy(logits, digits.targets[:32])), rel=1e-5
    )
    assert verdict.values["guessing"] == pytest.approx(math.log(10), rel=1e-6)
    assert verdict.status == "ok"


@pytest.mark.parametrize(("scale", "expected"), [(1, "ok"), (12, "note"), (300, "broken")])
def test_a_net_that_begins_confidently_wrong(digits, scale, expected):
    assert initial_loss.check(with_net(digits, lambda: linear(scale))).status == expected


def test_guessing_is_asked_of_the_runs_own_loss():
    subject = subject_of("loss=focal", "loss.gamma=2")
    # (1 - 1/10)^2 ln(10)
    found = initial_loss.check(subject).values["guessing"]
    assert found == pytest.approx(0.81 * math.log(10), rel=1e-5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x, "ok"),
        (lambda x: x.softmax(1), "broken"),
        (lambda x: x.softmax(1).half().float(), "broken"),
        (lambda x: x.log_softmax(1), "note"),
        (lambda x: x.sigmoid(), "note"),
        (lambda x: x.relu(), "note"),
        (lambda x: 0 * x, "note"),
        (lambda x: torch.where(x > 1, torch.nan, x), "broken"),
    ],
)
def test_what_outputs_look_like(change, expected):
    torch.manual_seed(0)
    assert outputs.judge(change(torch.randn(32, 10)))[0] == expected


# --- gradients -----------------------------------------------------------------------------------


def test_gradient_norms_are_autograds(digits):
    verdict = gradients.check(with_net(digits, linear))
    torch.manual_seed(0)
    net = linear()
    F.cross_entropy(net(digits.inputs[:32]), digits.targets[:32]).backward()
    norm = math.hypot(float(net[1].weight.grad.norm()), float(net[1].bias.grad.norm()))
    assert verdict.values["layers"] == {"1": pytest.approx(norm, rel=1e-5)}
    assert verdict.values["norm"] == pytest.approx(norm, rel=1e-5)
    assert verdict.status == "ok"


def two_layers(*between, first=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, first), *between, nn.Linear(first, 10))


def test_a_head_that_begins_at_zero_is_no_defect(digits):
    def net():
        made = two_layers(nn.ReLU())
        nn.init.zeros_(made[-1].weight)
        return made

    verdict = gradients.check(with_net(digits, net))
    assert verdict.values["layers"]["1"] == 0  # at the first step
    assert verdict.status == "ok"


class Unused(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.used = linear()
        self.unused = nn.Linear(size, size)

    def forward(self, x):
        return self.used(x)


@pytest.mark.parametrize(("size", "expected"), [(8, "note"), (100, "broken")])
def test_weights_without_gradient_are_named(digits, size, expected):
    verdict = gradients.check(with_net(digits, lambda: Unused(size)))
    assert (verdict.status, "unused" in verdict.advice) == (expected, True)


def test_vanishing_gradients(digits):
    def net(depth):
        return two_layers(*[m for _ in range(depth) for m in (nn.Linear(10, 10), nn.Sigmoid())])

    states = [gradients.check(with_net(digits, lambda n=n: net(n))).status for n in (1, 8, 16)]
    assert states == ["ok", "note", "broken"]


def test_a_frozen_backbone_is_meant():
    verdict = gradients.check(subject_of("freeze=backbone"))
    assert verdict.status == "ok"
    assert list(verdict.values["layers"]) == ["head"]
    assert "5,130 of 61,706 weights are trained" in verdict.figure


# --- dead units ----------------------------------------------------------------------------------


class Functional(nn.Module):
    """ReLUs as a function, in place and as a method; 3 of 8 channels and 5 of 10 features dead."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)
        self.hidden = nn.Linear(8, 10)
        self.head = nn.Linear(10, 10)
        with torch.no_grad():
            self.conv.bias[:3] = -1e3
            self.hidden.bias[:5] = -1e3
            self.hidden.bias[5:] = 1e3

    def forward(self, x):
        x = F.relu(self.conv(x), inplace=True).mean((2, 3))
        return self.head(torch.clamp(self.hidden(x), min=0))


def test_dead_units_are_counted_however_a_relu_is_written(digits):
    verdict = dead_units.check(with_net(digits, Functional))
    conv, hidden = verdict.values["layers"]
    torch.manual_seed(0)
    values = Functional().conv(digits.inputs).relu().detach().numpy()
    assert conv["dead"] == pytest.approx((values == 0).all((0, 2, 3)).mean())
    assert conv["zeros"] == pytest.approx((values == 0).mean())
    assert hidden["dead"] == 0.5
    assert [row[1] for row in verdict.rows[1:]] == [8, 10]


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    file = tiny.write_reviews(tmp_path_factory.mktemp("texts") / "reviews.csv")
    return ("data=text", f"data.path={file}", "model=bag_of_embeddings")


def test_features_of_texts_stand_last(texts):
    subject = subject_of(*texts)

    class PerToken(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(subject.data.spec.vocabulary_size, 6)
            self.body = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
            self.head = nn.Linear(4, 2)
            with torch.no_grad():
                self.body[0].bias.copy_(torch.tensor([-1e3, 1e3, 1e3, 1e3]))

        def forward(self, x):
            return self.head(self.body(self.embed(x)).mean(1))

    verdict = dead_units.check(with_net(subject, PerToken))
    assert verdict.values["layers"] == [{"name": "body.1", "dead": 0.25, "zeros": 0.25}]


@pytest.mark.parametrize(("dead", "expected"), [(0.3, "ok"), (0.6, "note"), (1.0, "broken")])
def test_how_many_may_be_dead(dead, expected):
    layer = dead_units.Rectified("body.1", 100, dead, dead)
    assert dead_units._judge(layer)[0] == expected


# --- one batch -----------------------------------------------------------------------------------


def test_the_least_loss_that_smoothed_labels_allow():
    targets = torch.arange(10)
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    right, wrong = 0.91, 0.01  # the smoothed label's own entropy
    entropy = -(right * np.log(right) + 9 * wrong * np.log(wrong))
    assert one_batch._least(smooth, targets, 10) == pytest.approx(entropy, rel=1e-2)
    assert one_batch._least(nn.CrossEntropyLoss(), targets, 10) == pytest.approx(0, abs=1e-6)
    assert one_batch._least(FocalLoss(), targets, 10) == pytest.approx(0, abs=1e-6)


def test_the_share_that_is_left():
    curve = one_batch.Curve(
        [2.3, 1.461, 1.5], guessing=math.log(10), blind=2.1, least=0.0, seconds=1
    )
    # Softmax outputs before cross entropy: ln(e + 9) - 1 is the least they reach.
    assert curve.left == pytest.approx((math.log(math.e + 9) - 1) / math.log(10), abs=1e-3)
    assert one_batch._judge(replace(curve, losses=curve.losses * 100), "0.001")[0] == "note"


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([4.25, 1.93], "note"),  # adamw with 1e-5: far from where it began, near guessing
        ([4.25, 4.24], "broken"),
        ([2.31, 2.30], "broken"),
        ([1.5, 2.28], "note"),  # began better than guessing; the lowest counts
        ([2.3, 0.1], "ok"),
    ],
)
def test_only_what_does_not_move_is_broken(losses, expected):
    steps = np.linspace(*losses, 100).tolist()
    curve = one_batch.Curve(steps, guessing=math.log(10), blind=2.1, least=0.0, seconds=1)
    assert one_batch._judge(curve, "1e-5")[0] == expected
    assert one_batch._judge(curve, "1e-5", head_alone=True)[0] == expected


@pytest.mark.parametrize(
    "overrides",
    [
        ("model=simple_cnn", "model.dropout=0.5"),
        ("model=mlp", "loss.label_smoothing=0.2", "optimizer=sgd"),
    ],
)
def test_healthy_nets_know_a_batch_by_heart(overrides):
    assert one_batch.check(subject_of(*overrides)).status == "ok"


def test_a_net_that_sees_nothing_is_broken_whatever_it_drops(digits):
    class Blind(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)  # a mask a sample, by which it could be told
            self.body, self.head = nn.Linear(64, 64), nn.Linear(64, 10)

        def forward(self, x):
            return self.head(self.drop(self.body(torch.ones(len(x), 64)).relu()))

    verdict = one_batch.check(with_net(digits, Blind))
    assert verdict.status == "broken"
    assert min(verdict.values["losses"]) > 1


def test_a_net_of_texts_knows_a_batch_by_heart(texts):
    assert one_batch.check(subject_of(*texts, "optimizer.lr=0.01")).status == "ok"


def test_a_loss_that_explodes_is_broken(digits):
    subject = subject_of("model=mlp", "optimizer=sgd", "optimizer.lr=1e18")
    verdict = one_batch.check(subject)
    assert (verdict.status, "lr=1e+18" in verdict.advice) == ("broken", True)
