"""What the checks say of inputs, labels and whether the two belong together."""

from __future__ import annotations

import copy
import csv
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

import tiny
from burnish.commands.diagnose import make_subject
from burnish.diagnosis import dead_units, initial_loss, inputs, labels, outputs, signal
from burnish.diagnosis.signal import Probe
from burnish.diagnosis.subject import joined
from burnish.spec import ImageSpec
from launch import composed


@pytest.fixture(scope="module")
def digits():
    return make_subject(composed("name=x", "trainer=cpu", "model=mlp"))


@pytest.mark.parametrize("size", [1, 5])
def test_several_small_batches_are_looked_at_as_one(size):
    subject = make_subject(
        composed("name=x", "trainer=cpu", "model=mlp", f"data.batch_size={size}")
    )
    count = max(size, -(-32 // size) * size)
    assert (len(subject.inputs), len(subject.targets)) == (count, count)
    x, y = next(iter(subject.data.train_dataloader()))
    torch.testing.assert_close(subject.inputs[:size], subject.data.preprocess(x))
    assert subject.targets[:size].tolist() == y.tolist()
    for check in (inputs, outputs, dead_units, initial_loss):
        assert check.check(subject).status == "ok"


def test_batches_of_other_lengths_and_kinds_are_joined():
    ids, targets = joined(
        [(torch.ones(1, 2, dtype=torch.int64), torch.tensor([2])),
         (torch.full((2, 3), 5), torch.tensor([[0.3, 0.7, 0], [1, 0, 0]]))], 3
    )  # fmt: skip
    assert ids.tolist() == [[1, 1, 0], [5, 5, 5], [5, 5, 5]]
    torch.testing.assert_close(targets, torch.tensor([[0, 0, 1], [0.3, 0.7, 0], [1, 0, 0]]))


def test_padding_between_small_batches_is_not_the_runs(texts):
    data = copy.copy(texts.data)
    data.batch_size = 2
    ids = torch.tensor([[3, 4, 0, 0, 0], [3, 0, 0, 0, 0], [3, 4, 5, 6, 7], [3, 4, 5, 6, 7]])
    verdict = inputs.check(replace(texts, data=data, inputs=ids))
    assert verdict.values["padding"] == pytest.approx(1 / 14)


def test_one_sample_is_not_equal_to_all_others(digits):
    assert status(inputs.check, digits, inputs=torch.randn(1, 3, 8, 8)) == "ok"
    assert outputs.judge(torch.randn(1, 10))[0] == "ok"


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    file = tiny.write_reviews(tmp_path_factory.mktemp("texts") / "reviews.csv")
    return make_subject(
        composed("name=x", "trainer=cpu", "data=text", f"data.path={file}",
                 "model=bag_of_embeddings", "data.max_length=20")
    )  # fmt: skip


def ordered(folder, *overrides, text="{} {}"):
    """Texts of two words; their alphabetical order is the class, and no word tells it."""
    words = ["black", "blue", "brown", "green", "grey", "orange", "pink", "red", "white", "yellow"]
    rng = random.Random(0)
    pairs = [rng.sample(words, 2) for _ in range(3400)]
    with (folder / "order.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [["label", "text"]] + [["up" if a < b else "down", text.format(a, b)] for a, b in pairs]
        )
    return make_subject(
        composed("name=x", "trainer=cpu", "data=text", f"data.path={folder / 'order.csv'}",
                 "data.tokenizer=word", "data.test_fraction=null", *overrides)
    )  # fmt: skip


def status(check, subject, **changes):
    return check(replace(subject, **changes)).status


def test_the_figures_are_the_batchs(digits):
    x = torch.randn(16, 3, 4, 4) * torch.tensor([1.0, 0.8, 1.2]).view(3, 1, 1)
    verdict = inputs.check(replace(digits, inputs=x))
    assert verdict.status == "ok"
    flat = x.double().numpy().transpose(1, 0, 2, 3).reshape(3, -1)
    np.testing.assert_allclose(verdict.values["mean"], flat.mean(1))
    np.testing.assert_allclose(verdict.values["std"], flat.std(1))
    assert (verdict.values["min"], verdict.values["max"]) == (float(x.min()), float(x.max()))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda x: x, "ok"),
        (lambda x: x * 70 + 128, "broken"),  # 0..255
        (lambda x: x * 0.3 + 0.5, "note"),  # pixels in [0, 1]
        (lambda x: x * 0.05, "broken"),
        (lambda x: x + 4, "broken"),
        (lambda x: x + 1.5, "note"),
        (lambda x: torch.where(x > 3, torch.nan, x), "broken"),
        (lambda x: x[:1].expand_as(x), "broken"),  # all samples alike
        (lambda x: torch.cat([x[:, :2], 0 * x[:, 2:]], 1), "note"),  # an empty channel
    ],
)
def test_how_far_inputs_may_be_off(digits, change, expected):
    x = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert status(inputs.check, digits, inputs=change(x)) == expected


def test_texts_unknown_padded_and_cut(texts):
    table, rows = texts.data.splits["train"]
    verdict = inputs.check(texts)
    ids = texts.inputs.numpy()
    assert verdict.values["unknown"] == pytest.approx((ids == 1).sum() / (ids > 0).sum())
    assert verdict.values["padding"] == pytest.approx((ids == 0).mean())
    assert verdict.values["of texts cut"] == pytest.approx(
        np.mean([len(table.texts[row]) > 20 for row in rows.tolist()])
    )
    assert status(inputs.check, texts, inputs=torch.full((4, 9), 10_000)) == "broken"
    assert status(inputs.check, texts, inputs=torch.ones(4, 9, dtype=torch.int64)) == "broken"


def test_labels_absent_uneven_and_out_of_range(digits):
    assert labels.check(digits).status == "ok"
    counts = digits.data.class_counts
    assert labels.check(digits).values["counts"] == counts

    class Data:
        spec = digits.data.spec
        class_counts = counts

    def with_train(train):
        data = Data()
        data.class_counts = {**counts, "train": train}
        return labels.check(replace(digits, data=data))

    absent = with_train([0, *[100] * 9])
    assert (absent.status, "no train sample of 0" in absent.advice) == ("note", True)
    uneven = with_train([5, *[100] * 9])
    assert (uneven.status, "20 times as many of 1 as of 0" in uneven.advice) == ("note", True)
    assert with_train([100, *[0] * 9]).status == "broken"
    assert status(labels.check, digits, targets=digits.targets + 5) == "broken"
    sorted_batch = torch.zeros_like(digits.targets)
    verdict = labels.check(replace(digits, targets=sorted_batch))
    assert "shuffled" in verdict.advice


def test_mixed_labels_are_no_defect(digits):
    mixed = torch.softmax(torch.randn(64, 10), 1)
    assert status(labels.check, digits, targets=mixed) == "ok"


def test_chance_and_its_probability():
    probe = Probe(train=2000, scored=1000, hits=560, chance=0.5)
    # The normal approximation with continuity correction.
    assert probe.p == pytest.approx(norm.sf((559.5 - 500) / np.sqrt(250)), rel=0.05)
    # Found from 500 + 3.09 * 15.8 hits on; the gain makes it 575 with deviation 15.6.
    assert probe.power == pytest.approx(norm.sf((549.5 - 575) / np.sqrt(1000 * 0.575 * 0.425)),
                                        abs=0.01)  # fmt: skip


@pytest.mark.parametrize(
    ("train", "scored", "hits", "chance", "expected"),
    [
        (2000, 1000, 700, 0.5, "ok"),
        (2000, 1000, 505, 0.5, "broken"),
        (2000, 1000, 540, 0.5, "note"),  # p = 0.006
        (245, 153, 80, 0.5, "note"),  # a few photographs
        (2000, 100, 52, 0.5, "note"),  # too few to find a small gain
        (900, 530, 50, 0.1, "broken"),  # ten classes need fewer
        (245, 153, 130, 0.5, "ok"),  # whatever is found counts
    ],
)
def test_who_may_call_labels_meaningless(train, scored, hits, chance, expected):
    assert signal._judge(Probe(train, scored, hits, chance))[0] == expected


def test_the_probe_is_scored_on_samples_that_it_has_not_seen(digits):
    data = digits.data
    (x, y), (asked, named) = (
        signal._features(data, rows, signal._vectors) for rows in signal._rows(data)
    )
    assert (len(x), len(asked)) == (round(0.7 * 1294), 144 + 1294 - len(x))
    table, rows = data.splits["train"]
    pixels = {split: data.preprocess(table.images[r]).flatten(1).numpy()
              for split, (table, r) in data.splits.items()}  # fmt: skip
    place = {row.tobytes(): label for row, label in
             zip(pixels["train"], table.labels[rows].tolist(), strict=True)}  # fmt: skip
    learned = {row.tobytes() for row in x}
    assert [place[row.tobytes()] for row in x] == y.tolist()
    assert not learned & {row.tobytes() for row in asked}
    assert {row.tobytes() for row in asked[:144]} == {row.tobytes() for row in pixels["val"]}
    assert [place[row.tobytes()] for row in asked[144:]] == named[144:].tolist()


def test_chance_counts_what_is_named_often():
    """Ten to one: who always names the large class is right in 10 of 11, by chance."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2000, 4)), (rng.random(2000) < 1 / 11).astype(int)
    probe = signal.probed((x[:1000], y[:1000]), (x[1000:], y[1000:]), 2, text=False)
    assert probe.hits / probe.scored > 0.85
    assert probe.chance == pytest.approx(probe.hits / probe.scored, abs=0.02)
    assert probe.p > signal.FOUND


def test_texts_are_told_apart_by_their_tokens(texts):
    verdict = signal.check(texts)
    assert verdict.status == "ok"
    assert verdict.values["hits"] >= 0.9 * verdict.values["scored"]


def test_the_order_of_two_words_is_seen_in_pairs(tmp_path):
    verdict = signal.check(ordered(tmp_path, "model=bag_of_embeddings"))
    first, second = verdict.values["tried"].values()
    assert first >= signal.NOT_FOUND
    assert second < 1e-100
    assert verdict.status == "ok"
    assert verdict.values["hits"] == verdict.values["scored"]


SMALL_LSTM = ("model=bilstm", "model.layers=1", "model.hidden=16", "model.embedding=16",
              "model.dropout=0", "optimizer.lr=0.01")  # fmt: skip


def test_what_no_probe_sees_the_net_may(tmp_path, monkeypatch):
    apart = "a {} a {} a"  # pairs do not tell what comes first
    subject = ordered(tmp_path, *SMALL_LSTM, text=apart)
    verdict = signal.check(subject)
    assert verdict.status == "ok"
    assert len(verdict.values["tried"]) == 3
    assert verdict.values["hits"] > 0.9 * verdict.values["scored"]
    bag = ordered(tmp_path, "model=bag_of_embeddings", text=apart)
    assert signal.check(bag).status == "broken"  # blind as well
    monkeypatch.setattr(signal, "SECONDS", 0.0)
    hurried = signal.check(subject)
    assert (hurried.status, "no time" in hurried.advice) == ("note", True)


def test_fine_textures_are_seen_wherever_they_are():
    """Stripes of one pixel or two, moved at random; averages of four pixels show noise alone."""
    rng = np.random.default_rng(0)
    y = np.arange(1200) % 2
    place = np.arange(64) + rng.integers(0, 4, (1200, 1, 1, 1))
    stripes = place // (1 + y[:, None, None, None]) % 2
    x = torch.from_numpy(stripes + rng.normal(0, 1, (1200, 1, 64, 64))).float()
    spec = ImageSpec(1, 64, 64, ("a", "b"), mean=(0.0,), std=(1.0,))

    def found(look):
        seen = look(x, spec)
        return signal.probed((seen[:700], y[:700]), (seen[700:], y[700:]), 2, text=False)

    assert found(signal._vectors).p > signal.NOT_FOUND
    assert found(signal._amplitudes).hits == 500
