"""The page of an evaluation, from the usual to the odd, and the texts in it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from burnish.data import tokenize
from burnish.report import confusion_figures, eval_page
from burnish.report.evaluation import Evaluation
from burnish.report.page import Page
from burnish.report.pieces import pieces
from burnish.report.predictions import Predictions
from burnish.report.training import epoch_seconds, training
from burnish.spec import TextSpec
from report.test_page import Reader

SOME = ["<b>bold</b>", "酒店", "$x$", "d"]


def evaluation(targets, logits, names=None) -> Evaluation:
    logits = np.asarray(logits, np.float32)
    targets = np.asarray(targets, np.int64)
    names = SOME[: logits.shape[1]] if names is None else names
    metrics = {"test/loss": float("nan")}
    predictions = Predictions(np.arange(len(targets)), targets, logits)
    return Evaluation("a run", "test", "best.ckpt", names, metrics, predictions)


def page_of(found: Evaluation) -> Page:
    page = eval_page.opening(found)
    eval_page.classes(page, found)
    eval_page.confusion(page, found)
    eval_page.curves(page, found)
    return page


def noisy(samples: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, classes, samples)
    logits = rng.normal(0, 1, (samples, classes))
    logits[np.arange(samples), targets] += 2
    return targets, logits


ODD = {
    "one class": ([0, 0, 0, 0], np.ones((4, 1))),
    "three samples": ([0, 1, 2], np.eye(3)),
    "a class is absent": ([0, 1, 0, 1], np.eye(3)[[0, 1, 2, 0]]),
    "only one class is present": ([1, 1, 1], np.eye(3)),
    "all NaN": ([0, 1, 1], np.full((3, 3), np.nan)),
    "some NaN": ([0, 1, 1], [[np.nan, 0, 0], [0, 2, 1], [np.inf, 0, 0]]),
    "two equal classes": ([0, 1, 1], np.zeros((3, 2))),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", ODD)
def test_odd_predictions_have_a_page(case):
    found = evaluation(*ODD[case])
    Reader(page_of(found).html())
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["samples"] == len(ODD[case][0])


def test_what_makes_figures_doubtful_is_said():
    said = " ".join(evaluation(*ODD["some NaN"]).findings())
    assert "2 of 3 outputs are not finite" in said
    assert "3 samples are few" in said
    assert "without samples in this split: $x$" in said
    assert [*evaluation(*noisy(100, 3)).findings()] == []


def test_a_thousand_classes_make_a_small_page():
    targets, logits = noisy(1500, 1000)
    html = page_of(evaluation(targets, logits, [f"c{i}" for i in range(1000)])).html()
    assert len(html) < 4_000_000
    text = " ".join(Reader(html).texts)
    assert "The matrices show 30 of 1,000 classes" in text
    assert "All 1,000 classes" in text
    assert "c999" in text


def test_of_very_many_classes_those_that_are_confused_are_drawn():
    confusion = np.diag(np.full(200, 50))
    confusion[[7, 120, 120], [120, 7, 199]] = [9, 8, 3]
    chosen = confusion_figures.chosen_classes(confusion)
    assert {7, 120, 199} <= set(chosen)
    assert len(chosen) == 30


def test_names_of_classes_never_become_markup():
    reader = Reader(page_of(evaluation(*noisy(60, 4))).html())
    assert "<b>bold</b>" in reader.texts
    assert not [tag for tag, _ in reader.tags if tag == "script"]


def test_texts_are_marked_and_escaped():
    page = Page("t")
    page.marked([("<i>", 0.8), ("不", -0.5), ("x", 0.01), ("y", float("nan"))], "a <b> & c")
    reader = Reader(page.html())
    marks = reader.all("mark")
    assert [(mark["class"], mark["style"]) for mark in marks] == [
        ("for", "--s:0.80"), ("against", "--s:0.50"),
    ]  # fmt: skip
    assert {"<i>", "不", "xy", "a <b> & c"} <= set(reader.texts)
    assert not reader.all("i")


def test_folded_parts_are_closed():
    page = Page("t")
    with page.folded("More <b>"):
        page.code("seed: 0")
    reader = Reader(page.html())
    assert len(reader.all("details")) == len(reader.all("summary")) == 1
    assert "More <b>" in reader.texts


def test_provenance_of_anybody_is_shown_as_text():
    page = Page("t")
    odd = {"git": "no mapping", "versions": {"torch": "<script>"}, "command": 3, "seed": 0}
    eval_page.origin(page, odd, "seed: <b>", "the data differs")
    reader = Reader(page.html())
    assert {"torch <script>", "not in a repository", "seed: <b>", "the data differs"} <= set(
        reader.texts
    )


# --- training ------------------------------------------------------------------------------------


def test_the_time_of_epochs_comes_from_the_log(tmp_path):
    lines = [
        "2026-01-31 12:00:00,000  run folder  x",
        "2026-01-31 12:00:01,000           epoch      train/loss         seconds",
        "2026-01-31 12:00:02,000               1          1.2615          0.5820          0.3842"
        "          0.8953             1.2",
        "2026-01-31 12:00:03,000               2             nan          0.5820               -"
        "               -            12.0",
    ]
    (tmp_path / "train.log").write_text("\n".join(lines) + "\n")
    found = epoch_seconds(tmp_path / "train.log")
    assert [(p.epoch, p.value) for p in found] == [(0, 1.2), (1, 12.0)]


def test_without_logs_the_page_says_so(tmp_path):
    page = Page("t")
    training(page, tmp_path, None)
    text = " ".join(Reader(page.html()).texts)
    assert "no metrics.csv" in text
    assert "time of each epoch is not known" in text


# --- pieces of texts -----------------------------------------------------------------------------

TEXTS = ["很好的 Hotel, naïve 😀 room!", "bad-bad room 很差", "Ünïcode  blanks", "好"] * 3


@pytest.mark.parametrize("kind", ["char", "word", "bpe"])
@pytest.mark.parametrize("lowercase", [False, True])
def test_pieces_are_the_text_token_by_token(kind, lowercase):
    spec = tokenize.fit(
        TEXTS, ("a", "b"), kind=kind, max_length=99, vocabulary_size=300, lowercase=lowercase
    )
    for text in TEXTS[:4]:
        ids, (length,) = tokenize.tokenizer(spec).encode([text])
        found = pieces(spec, text, ids.tolist())
        assert len(found) == length
        expected = text.lower() if lowercase else text
        assert "".join("".join(found).split()) == "".join(expected.split())
        if kind == "word":  # each piece is its token
            assert [piece.strip() for piece in found] == [spec.vocabulary[i] for i in ids]
        assert pieces(spec, text, ids.tolist()[:2]) == found[:2]


def test_unknown_words_are_shown_as_they_are():
    spec = TextSpec(("a", "b"), "word", ("<pad>", "<unk>", "good"), 9)
    assert pieces(spec, "good 床 hotel", [2, 1, 1]) == ["good ", "床", "hotel"]
