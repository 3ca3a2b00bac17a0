"""Drift: each part against scipy or numbers worked out by hand, and the whole for its errors."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2_contingency, fisher_exact, ks_2samp

from bundles import image_bundle, text_bundle
from burnish.deploy.predictor import of_bundle
from burnish.deploy.watch.drift import Test, Window, compare, cut, since
from burnish.deploy.watch.hypotheses import holm, mix_test, psi, psi_of_numbers
from burnish.deploy.watch.reading import Logged
from burnish.deploy.watch.reference import Reference, make_reference, reference_of
from burnish.deploy.watch.statistics import digest, statistics
from burnish.errors import BundleError
from burnish.runs.folder import RunFolder

NAMES = ("a", "b", "c")


def sampled(rng, size: int, shift: float = 0.0, mix=(0.5, 0.3, 0.2)) -> tuple[dict, list[str]]:
    values = {"confidence": rng.beta(5, 2, size), "brightness": rng.normal(shift, 1, size)}
    return values, rng.choice(NAMES, size, p=mix).tolist()


def reference(rng, size: int = 2000) -> Reference:
    values, labels = sampled(rng, size)
    return Reference("val", values, {name: labels.count(name) for name in NAMES})


def logged(*parts: tuple[dict, list[str]], hashes=None) -> Logged:
    values = {name: np.concatenate([v[name] for v, _ in parts]) for name in parts[0][0]}
    labels = [label for _, some in parts for label in some]
    n = len(labels)
    return Logged(
        np.arange(n) * 1.0, hashes or list(map(str, range(n))), labels, [None] * n, values, 0, False
    )


def test_statistics_of_pictures_by_hand(tmp_path):
    made = of_bundle(image_bundle(tmp_path)).preprocess
    pixels = np.zeros((3, 6, 8), dtype=np.uint8)
    pixels[:, :, 4:] = 255  # one edge: 18 of the 3 * 6 * 7 + 3 * 5 * 8 = 246 pairs
    assert statistics(made, pixels) == pytest.approx(
        {"brightness": 0.5, "contrast": 0.5, "sharpness": 18 / 246}
    )
    one = np.full((1, 1, 1), 51, dtype=np.uint8)
    assert statistics(made, one) == pytest.approx(
        {"brightness": 0.2, "contrast": 0.0, "sharpness": 0.0}, abs=1e-6
    )
    assert digest(pixels) == digest(pixels.copy()) != digest(pixels[:, ::-1, ::-1])


def test_statistics_of_texts_by_hand(tmp_path):
    made = of_bundle(text_bundle(tmp_path)).preprocess  # knows a to h and the space, cuts at 12
    assert statistics(made, "abc xyz " * 3) == {"tokens": 24.0, "unknown": 9 / 24}
    assert statistics(made, "") == {"tokens": 0.0, "unknown": 0.0}
    assert digest("é\ud800") != digest("é")


def test_a_reference_holds_what_the_net_says_of_distinct_inputs(tmp_path):
    bundle = image_bundle(tmp_path)
    predictor = of_bundle(bundle)
    items = list(np.random.default_rng(0).integers(0, 256, (100, 3, 6, 8), dtype=np.uint8))
    RunFolder(tmp_path).write_json("reference", make_reference(predictor, [*items, *items[:50]]))
    found = reference_of(bundle)
    answers = predictor.predict_read(items)
    assert found.samples == 100
    assert found.classes == {name: answers.labels.count(name) for name in bundle.spec.class_names}
    np.testing.assert_allclose(found.values["confidence"], answers.confidence, atol=1e-5)
    bright = [item.mean() / 255 for item in items]
    np.testing.assert_allclose(found.values["brightness"], bright, atol=1e-5)


@pytest.mark.parametrize(
    "content",
    [
        {}, {"split": "val", "confidence": ["x"], "classes": {}, "statistics": {}},
        {"split": "val", "confidence": [0.5], "classes": {"cat": -1}, "statistics": {}},
        {"split": "val", "confidence": [0.5], "classes": {"cat": 1}, "statistics": {"a": [1, 2]}},
        {"split": "val", "confidence": [], "classes": {"cat": 0}, "statistics": {}},
        {"split": "val", "confidence": [0.5], "classes": [], "statistics": {"a": [None]}},
    ],
)  # fmt: skip
def test_a_reference_of_something_else_is_refused(tmp_path, content):
    bundle = image_bundle(tmp_path)
    assert reference_of(bundle) is None
    RunFolder(tmp_path).write_json("reference", content)
    with pytest.raises(BundleError, match=r"reference\.json: (does not hold|holds no)"):
        reference_of(bundle)


def test_holm_by_hand():
    # Holm's own procedure: 0.01 * 4, then 0.02 * 3, 0.03 * 2 (below the one before), 0.6.
    assert holm([0.03, 0.01, 0.6, 0.02]) == pytest.approx([0.06, 0.04, 0.6, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_class_mix_is_tested_by_chi_square_or_exactly():
    known, found = np.array([900, 700, 400]), np.array([200, 200, 100])
    expected = chi2_contingency(np.stack([known, found]), correction=False).pvalue
    assert mix_test(known, found) == pytest.approx(expected)
    # Three rare classes are counted as one.
    rare, seen = np.array([1000, 985, 5, 4, 6]), np.array([240, 232, 12, 8, 8])
    pooled = np.array([[1000, 985, 15], [240, 232, 28]])
    expected = chi2_contingency(pooled, correction=False).pvalue
    assert mix_test(rare, seen) == pytest.approx(expected)
    assert expected < 1e-6
    # Two classes, one nearly absent.
    table = np.array([[1999, 1], [495, 5]])
    assert mix_test(*table) == pytest.approx(fisher_exact(table).pvalue)
    assert mix_test(np.array([10, 0]), np.array([5, 0])) == 1.0


@pytest.mark.parametrize("shares", [[0.5, 0.5], [0.98, 0.02], [0.4, 0.3, 0.2, 0.05, 0.05],
                                    [0.9, *[0.01] * 10]])  # fmt: skip
def test_the_class_mix_keeps_its_level(shares):
    rng = np.random.default_rng(0)
    p = [mix_test(rng.multinomial(2000, shares), rng.multinomial(100, shares)) for _ in range(1000)]
    assert np.mean(np.array(p) <= 0.05) < 0.07  # 0.05 with 3 standard deviations


def test_psi_by_hand_and_only_from_500_samples_on():
    a, b = np.array([500, 500]), np.array([300, 700])
    expected = (0.3 - 0.5) * np.log(0.3 / 0.5) + (0.7 - 0.5) * np.log(0.7 / 0.5)
    assert psi(a, b) == pytest.approx(expected)
    assert psi(a, b // 10) is None
    numbers = np.arange(1000.0)
    assert psi_of_numbers(numbers, numbers) == 0
    assert psi_of_numbers(numbers, numbers + 1000) > 5
    assert psi_of_numbers(np.zeros(600), np.zeros(600)) == 0


def test_windows_are_of_distinct_inputs_and_counted_from_the_end():
    assert cut(list("abcdefg"), 3) == [(1, 4, [1, 2, 3]), (4, 7, [4, 5, 6])]
    # Backwards: d c, then c c b, then a a b; of each input the latest row.
    assert cut(list("abaabcccd"), 2) == [(1, 4, [1, 3]), (4, 7, [4, 6]), (7, 9, [7, 8])]
    assert cut(["same"] * 1000, 20) == []
    assert len(cut(list(map(str, range(1000))), 10, most=7)) == 7


def test_a_window_is_compared_as_scipy_does():
    rng = np.random.default_rng(1)
    known, part = reference(rng), sampled(rng, 500, shift=0.5)
    (window,) = compare(logged(part), known, 500, 0.01)
    tests = {test.name: test for test in window.tests}
    assert set(tests) == {"classes", "confidence", "brightness"}
    expected = ks_2samp(known.values["brightness"], part[0]["brightness"], method="exact")
    assert tests["brightness"].distance == pytest.approx(expected.statistic)
    assert np.log(tests["brightness"].p_value) == pytest.approx(np.log(expected.pvalue), rel=0.1)
    assert window.drifted == ("brightness",)
    counts = Counter(part[1])
    shares = [abs(known.classes[n] / 2000 - counts[n] / 500) for n in NAMES]
    assert tests["classes"].distance == pytest.approx(sum(shares) / 2)
    assert tests["brightness"].psi > 0.1
    assert (window.start, window.end, window.predictions) == (0.0, 499.0, 500)


def test_false_alarms_of_a_whole_look_stay_below_alpha():
    rng = np.random.default_rng(2)
    looks = [
        any(w.drifted for w in compare(logged(sampled(rng, 800)), reference(rng, 1000), 200, 0.1))
        for _ in range(150)
    ]
    assert np.mean(looks) < 0.1 + 3 * np.sqrt(0.09 / 150)
    assert any(looks)  # and it is no test that never speaks


def test_a_reference_is_rounded_and_a_log_is_not_and_that_is_no_drift():
    rng = np.random.default_rng(5)
    # A sure net: half of the confidences are within 1e-5 of 1.
    sure = 1 - 10.0 ** rng.uniform(-9, -2, 2500)
    assert np.mean(sure.round(5) == 1) > 0.4
    labels = ["a"] * 500
    known = Reference("val", {"confidence": sure[:2000].round(5)}, {"a": 2000})
    (window,) = compare(logged(({"confidence": sure[2000:]}, labels)), known, 500, 0.01)
    assert not window.drifted
    # The same the other way round.
    raw = Reference("val", {"confidence": sure[:2000]}, {"a": 2000})
    (window,) = compare(logged(({"confidence": sure[2000:].round(5)}, labels)), raw, 500, 0.01)
    assert not window.drifted


def test_a_drift_is_found_and_dated():
    rng = np.random.default_rng(3)
    parts = [sampled(rng, 250), sampled(rng, 250), sampled(rng, 250, shift=1.0)]
    parts += [sampled(rng, 250, shift=1.0), sampled(rng, 250, mix=(0.2, 0.3, 0.5))]
    windows = compare(logged(*parts), reference(rng), 250, 0.01)
    assert [w.drifted for w in windows] == [
        (), (), ("brightness",), ("brightness",), ("classes",)
    ]  # fmt: skip
    assert since(windows, "brightness") == (500.0, False)
    assert since(windows, "classes") == (1000.0, True)
    assert since(windows, "confidence") is None


def test_an_interrupted_drift_is_dated_from_its_last_stretch():
    def window(at, drifted):
        return Window(at, at, 1, (Test("x", 0.5, 0.0, 0.0, drifted),))

    windows = [window(float(i), d) for i, d in enumerate([1, 0, 1, 1, 1])]
    assert since(windows, "x") == (2.0, True)


def test_repeats_are_no_evidence():
    rng = np.random.default_rng(4)
    known = reference(rng)
    values, labels = sampled(rng, 500)
    unlikely = int(values["brightness"].argmax())
    rows = np.concatenate([np.full(1000, unlikely), np.arange(500)])
    many = {name: column[rows] for name, column in values.items()}
    hashes = [str(i) for i in rows]
    found = logged((many, [labels[i] for i in rows]), hashes=hashes)
    (window,) = compare(found, known, 500, 0.01)
    assert not window.drifted
    # The same traffic, each of it counted, would have cried wolf.
    assert ks_2samp(known.values["brightness"], many["brightness"]).pvalue < 1e-9
