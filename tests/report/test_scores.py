"""Figures of predictions, against scikit-learn, torchmetrics, scipy and arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import (
    average_precision_score,
    classification_report,
    roc_auc_score,
    top_k_accuracy_score,
)
from torchmetrics.classification import MulticlassCalibrationError

from burnish.errors import RunError
from burnish.learner.metrics import SplitMetrics
from burnish.report import ranking
from burnish.report.calibration import calibration
from burnish.report.predictions import Predictions
from burnish.report.ranking import class_curve, ranked
from burnish.report.scores import accuracy_interval, class_rows, scores


def drawn(samples: int, classes: int, seed: int = 0, absent: int | None = None) -> Predictions:
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, samples)
    if absent is not None:
        targets[targets == absent] = 0
    # Rounded, so that many scores are equal.
    logits = rng.normal(0, 1, (samples, classes)).round(1).astype(np.float32)
    logits[np.arange(samples), targets] += 1
    return Predictions(np.arange(samples), targets, logits)


def names(classes: int) -> list[str]:
    return [f"c{i}" for i in range(classes)]


def softmax(predictions: Predictions) -> np.ndarray:
    return torch.from_numpy(predictions.logits).double().softmax(1).numpy()


def test_probabilities_are_the_softmax_of_torch():
    predictions = drawn(50, 4)
    expected = softmax(predictions)
    for number in range(4):
        np.testing.assert_allclose(predictions.probability(number), expected[:, number], rtol=1e-12)
    np.testing.assert_allclose(predictions.confidence, expected.max(1), rtol=1e-12)


def test_classes_and_means_are_those_of_scikit_learn():
    predictions = drawn(300, 5)
    found = scores(predictions, names(5))
    expected = classification_report(
        predictions.targets, predictions.predicted, target_names=names(5), output_dict=True
    )
    for row in found.classes:
        theirs = expected[row["class"]]
        assert [row["precision"], row["recall"], row["f1"], row["support"]] == pytest.approx(
            [theirs["precision"], theirs["recall"], theirs["f1-score"], theirs["support"]]
        )
    for kind in ("macro", "weighted"):
        theirs = expected[f"{kind} avg"]
        assert [*getattr(found, kind).values()] == pytest.approx(
            [theirs["precision"], theirs["recall"], theirs["f1-score"]]
        )
    assert found.accuracy == pytest.approx(expected["accuracy"])


@pytest.mark.parametrize("absent", [None, 6])
def test_the_reports_figures_are_those_of_the_run(absent):
    """Also where a class occurs neither among the samples nor among the answers."""
    predictions = drawn(200, 7, absent=absent)
    if absent is not None:
        predictions.logits[:, absent] = -50
    metrics = SplitMetrics("test", 7, confusion=True)
    metrics.add(
        torch.tensor(0.0), *map(torch.from_numpy, (predictions.logits, predictions.targets))
    )
    theirs = metrics.compute()
    found = scores(predictions, names(7))
    assert found.accuracy == pytest.approx(float(theirs["test/accuracy"]))
    assert found.top5 == pytest.approx(float(theirs["test/top5_accuracy"]))
    for name in ("precision", "recall", "f1"):
        assert found.macro[name] == pytest.approx(float(theirs[f"test/{name}"]))
    assert (found.confusion == metrics.confusion.numpy()).all()


def test_top5_counts_the_five_likeliest():
    predictions = drawn(400, 9)
    predictions.logits[:] += np.random.default_rng(1).uniform(0, 0.01, predictions.logits.shape)
    expected = top_k_accuracy_score(predictions.targets, predictions.logits, k=5)
    assert scores(predictions, names(9)).top5 == pytest.approx(expected)
    assert scores(drawn(20, 5), names(5)).top5 is None


def test_equal_logits_put_the_lower_class_first():
    targets = np.arange(8)
    predictions = Predictions(targets, targets, np.zeros((8, 8), np.float32))
    assert predictions.hits_among(5).tolist() == [True] * 5 + [False] * 3


def test_the_interval_is_that_of_a_bootstrap_over_samples():
    hits, samples = 170, 200
    answers = np.arange(samples) < hits
    expected = stats.bootstrap(
        (answers,), np.mean, method="percentile", n_resamples=10_000, rng=1
    ).confidence_interval
    found = accuracy_interval(hits, samples, seed=0)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.006)
    assert accuracy_interval(hits, samples, seed=0) == found


def test_without_a_mistake_the_interval_is_exact():
    found = accuracy_interval(3, 3)
    # Three hits of three have a probability of 2.5 % at this accuracy.
    assert found.low == pytest.approx(0.025 ** (1 / 3))
    assert found.high == 1.0
    assert "Clopper" in found.method
    assert accuracy_interval(0, 3).high == pytest.approx(1 - 0.025 ** (1 / 3))


def test_the_most_confused_pairs_come_first():
    targets = np.array([0, 0, 0, 0, 1, 1, 2])
    predicted = np.array([1, 1, 0, 2, 1, 0, 2])
    found = scores(
        Predictions(np.arange(7), targets, np.eye(3, dtype=np.float32)[predicted]), "abc"
    )
    assert [str(pair) for pair in found.confused] == [
        "a taken for b: 2 of 4 (50.0%)", "a taken for c: 1 of 4 (25.0%)",
        "b taken for a: 1 of 2 (50.0%)",
    ]  # fmt: skip


def test_rows_of_nothing_are_zero():
    assert class_rows(np.zeros((2, 2)), "ab")[1] == {
        "class": "b", "precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0,
    }  # fmt: skip


# --- curves --------------------------------------------------------------------------------------


def test_areas_are_those_of_scikit_learn():
    predictions = drawn(300, 4)
    found = ranked(predictions)
    for number, scored in enumerate(softmax(predictions).T):
        own = predictions.targets == number
        assert found.roc_areas[number] == pytest.approx(roc_auc_score(own, scored))
        assert found.average_precisions[number] == pytest.approx(
            average_precision_score(own, scored)
        )
    assert found.worst(2) == np.argsort(found.average_precisions)[:2].tolist()


def test_a_class_without_samples_has_no_area():
    found = ranked(drawn(100, 3, absent=2))
    assert np.isnan(found.roc_areas).tolist() == [False, False, True]
    assert found.known == [0, 1]
    assert class_curve(drawn(100, 3, absent=2), 2) is None


def test_the_mean_curve_of_a_perfect_net_is_perfect():
    targets = np.arange(30) % 3
    found = ranked(Predictions(targets, targets, 5 * np.eye(3, dtype=np.float32)[targets]))
    assert found.mean_recall == pytest.approx(np.ones(201))
    assert found.mean_precision == pytest.approx(np.ones(201))


def test_the_area_below_the_mean_precision_is_the_mean_area():
    predictions = drawn(300, 4)
    found = ranked(predictions)
    # Steps of recall between the 201 places cost at most half a place each.
    assert np.trapezoid(found.mean_precision, ranking.GRID) == pytest.approx(
        found.average_precisions.mean(), abs=0.005
    )


def test_precision_is_that_of_the_highest_threshold_that_reaches_a_recall():
    # Of the class: the 1st and the 4th of four samples by probability.
    targets = np.array([1, 0, 0, 1])
    logits = np.log(np.array([[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]], dtype=np.float32))
    curve = class_curve(Predictions(np.arange(4), targets, logits), 1)
    at = curve.precision_at(np.array([0.0, 0.25, 0.5, 0.51, 1.0]))
    assert at == pytest.approx([1, 1, 1, 0.5, 0.5])


def test_of_very_many_probabilities_a_part_is_ranked(monkeypatch):
    monkeypatch.setattr(ranking, "MOST_SCORES", 3 * 400)
    predictions = drawn(2000, 3)
    found = ranked(predictions)
    assert found.samples == 400
    own = predictions.targets == 0
    exact = roc_auc_score(own, softmax(predictions)[:, 0])
    assert found.roc_areas[0] == pytest.approx(exact, abs=0.06)


# --- calibration ---------------------------------------------------------------------------------


def test_the_calibration_error_is_that_of_torchmetrics():
    predictions = drawn(500, 4)
    theirs = MulticlassCalibrationError(4, n_bins=15, norm="l1")
    expected = theirs(torch.from_numpy(softmax(predictions)), torch.from_numpy(predictions.targets))
    found = calibration(predictions.confidence, predictions.right)
    assert found.error == pytest.approx(float(expected), abs=1e-6)


def test_calibration_by_hand():
    found = calibration([0.1, 0.5, 0.6, 1.0], [False, True, False, True], bins=2)
    assert found.counts.tolist() == [2, 2]
    assert found.accuracy.tolist() == [0.5, 0.5]
    assert found.error == pytest.approx((0.5 - 0.3) / 2 + (0.8 - 0.5) / 2)
    assert found.excess == pytest.approx(0.55 - 0.5)


# --- files and what is not finite ----------------------------------------------------------------


def test_outputs_that_are_not_finite_have_no_probability():
    logits = np.array([[1, 2], [np.nan, 0], [np.inf, 0], [-np.inf, 0]], np.float32)
    predictions = Predictions(np.arange(4), np.array([1, 0, 0, 1]), logits)
    assert predictions.usable.tolist() == [True, False, False, True]
    # As torch and torchmetrics answer.
    assert predictions.predicted.tolist() == torch.from_numpy(logits).argmax(1).tolist()


def test_predictions_come_back_from_their_file(tmp_path):
    predictions = drawn(10, 3)
    predictions.save(tmp_path / "predictions.npz")
    with np.load(tmp_path / "predictions.npz", allow_pickle=False) as arrays:
        kinds = {name: (arrays[name].dtype, arrays[name].shape) for name in arrays.files}
    assert kinds == {
        "rows": (np.int64, (10,)), "targets": (np.int64, (10,)), "logits": (np.float32, (10, 3)),
    }  # fmt: skip
    back = Predictions.load(tmp_path / "predictions.npz")
    assert (back.logits == predictions.logits).all()
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.npz"]


def test_a_file_that_would_execute_something_is_refused(tmp_path):
    np.savez(tmp_path / "p.npz", rows=np.array([object()]), targets=[0], logits=[[0.0]])
    with pytest.raises(RunError, match=r"p.npz: holds no predictions"):
        Predictions.load(tmp_path / "p.npz")
