"""Memory of a step against what autograd keeps, and against sums by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from subjects import subject_of, with_net
from torch import Tensor, nn
from torch.nn import functional as F

import tiny
from burnish.diagnosis.footprint import footprint, heaviest
from burnish.diagnosis.memory import check
from burnish.diagnosis.steps import Steps

RESNET = ("model=resnet18", "data.image_size=32", "data.batch_size=12")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    file = tiny.write_reviews(tmp_path_factory.mktemp("texts") / "reviews.csv")
    return "data=text", f"data.path={file}", "model=text_transformer", "data.batch_size=32"


class Wide(nn.Module):
    """64 pixels, 1000 hidden units, 10 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(64, 1000)
        self.head = nn.Linear(1000, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x.flatten(1)).relu())  # type: ignore[no-any-return]


def test_parts_of_a_small_net_by_hand() -> None:
    subject = with_net(subject_of("optimizer=sgd", "data.batch_size=32"), Wide)
    found = footprint(subject, [heaviest(subject)])
    weights = 4 * (64 * 1000 + 1000 + 1000 * 10 + 10)
    assert found.parameters == found.gradients == found.optimizer == weights
    batch = 4 * 32 * 64 + 8 * 32
    # The rectified units, for themselves and for the layer after; logarithms of softmax; the loss
    # and the sum of its weights, a number each.
    assert found.activations == batch + 4 * (32 * 1000 + 32 * 10 + 1 + 1)
    # Highest where the gradient of the hidden units meets those of the parameters.
    assert found.peak >= 3 * weights + batch
    assert found.peak <= 3 * weights + batch + 3 * 4 * 32 * 1000


def kept_by_autograd(subject: Any, inputs: Tensor, targets: Tensor) -> int:
    """Bytes of all storages saved for the backward pass but the parameters'."""
    steps = Steps(subject)
    own = {p.untyped_storage().data_ptr() for p in steps.module.net.state_dict().values()}
    saved: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        loss = steps.loss(inputs, targets)
    del loss
    return sum(saved.values())


@pytest.mark.parametrize("overrides", [(), RESNET, None], ids=["cnn", "resnet", "text"])
def test_activations_are_what_autograd_saves(
    overrides: tuple[str, ...] | None, texts: tuple[str, ...]
) -> None:
    subject = subject_of(*(overrides or texts))
    batch = heaviest(subject)
    want = kept_by_autograd(subject, *batch)
    # What autograd saves may lack the batch or not; a few scalars and views are live beside it.
    given = sum(x.nbytes for x in batch)
    assert want - 16 <= footprint(subject, [batch]).activations <= want + given + 4096


@pytest.mark.parametrize("overrides", [RESNET, None], ids=["resnet", "text"])
def test_checkpointing_keeps_less_and_peaks_lower(
    overrides: tuple[str, ...] | None, texts: tuple[str, ...]
) -> None:
    overrides = overrides or texts
    subject = subject_of(*overrides)
    batch = heaviest(subject)
    plain = footprint(subject, [batch])
    again = footprint(subject, [batch], grad_checkpointing=True)
    assert again.activations < 0.5 * plain.activations
    assert again.peak < plain.peak - 0.4 * (plain.activations - again.activations)
    assert (again.parameters, again.gradients) == (plain.parameters, plain.gradients)


def test_the_model_s_own_argument_does_the_same(texts: tuple[str, ...]) -> None:
    subject = subject_of(*texts)
    batch = heaviest(subject)
    configured = footprint(subject_of(*texts, "model.grad_checkpointing=true"), [batch])
    assert footprint(subject, [batch], grad_checkpointing=True) == configured


def test_repeats_itself_and_grows_with_the_batch() -> None:
    subject = subject_of()
    sizes = [footprint(subject, [heaviest(subject, size)]).activations for size in (8, 16, 32)]
    assert sizes[1] - sizes[0] == pytest.approx((sizes[2] - sizes[1]) / 2, rel=0.01)
    state = torch.get_rng_state()
    assert footprint(subject, [heaviest(subject, 8)]).activations == sizes[0]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_heaviest_batch_has_texts_as_long_as_the_longest(texts: tuple[str, ...]) -> None:
    subject = subject_of(*texts)
    source, rows = subject.data.splits["train"]
    inputs, targets = heaviest(subject, 40)
    assert inputs.shape == (40, int(source.lengths[rows].max()))  # type: ignore[attr-defined]
    assert inputs.min() > 0
    assert inputs.max() < subject.data.spec.vocabulary_size  # type: ignore[union-attr]
    assert targets.tolist() == [*subject.targets.tolist(), *subject.targets[:8].tolist()]


def test_the_verdict_names_what_would_save(texts: tuple[str, ...]) -> None:
    verdict = check(subject_of(*texts, "data.batch_size=8"))
    assert verdict.status == "ok"
    now = verdict.values["bytes"]
    savings = verdict.values["savings"]
    assert list(savings) == [
        "data.batch_size=4 trainer.accumulate_grad_batches=2",
        "model.grad_checkpointing=true",
        "trainer.precision=bf16-mixed",
    ]
    for way, found in savings.items():
        assert found["peak"] < now["peak"], way
        assert found["activations"] < now["activations"], way
        assert found["parameters"] == now["parameters"]
    assert verdict.rows[0] == ("", "MiB", "of the peak")
    assert {row[0]: row[1] for row in verdict.rows}["parameters"] == (
        f"{now['parameters'] / 2**20:,.1f}"
    )
    assert "model.grad_checkpointing=true" not in check(subject_of("model=mlp")).values["savings"]


def test_two_halves_have_the_gradient_of_the_whole() -> None:
    """What the first saving proposes is the same training."""
    subject = subject_of("model=mlp", "model.dropout=0")
    whole, halves = Steps(subject), Steps(subject)
    inputs, targets = heaviest(subject)
    whole.backward(whole.loss(inputs, targets))
    for x, y in zip(inputs.chunk(2), targets.chunk(2), strict=True):
        halves.backward(halves.loss(x, y) / 2)
    for a, b in zip(whole.module.net.parameters(), halves.module.net.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    assert F.cross_entropy(whole.module.net(inputs), targets) > 0
