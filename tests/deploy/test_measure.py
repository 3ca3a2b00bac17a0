"""Figures of nets: accuracy against scikit-learn's, and who is run when."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from burnish.deploy.measure import (
    LARGE,
    LOADS,
    ROUNDS,
    Contender,
    accuracy,
    compare,
    latencies,
    repeated,
)
from burnish.errors import DataError

DRAW = np.random.default_rng(0)
LOGITS, LABELS = DRAW.normal(size=(50, 4)).astype(np.float32), DRAW.integers(0, 4, 50)


def identity(inputs):
    return inputs


def test_accuracy_is_scikit_learns_over_uneven_batches():
    batches = [(LOGITS[a:b], LABELS[a:b]) for a, b in ((0, 32), (32, 49), (49, 50))]
    assert accuracy(identity, batches) == accuracy_score(LABELS, LOGITS.argmax(1))


def test_no_samples_have_no_accuracy():
    with pytest.raises(DataError, match="no samples"):
        accuracy(identity, [])


def test_contenders_take_turns():
    calls = []
    runs = {name: lambda x, name=name: calls.append((name, len(x))) for name in "ab"}
    found = latencies(runs, LOGITS[:7], seconds=0)
    a_round = [("a", 1), ("a", 7), ("b", 1), ("b", 7)]  # each is woken, then timed
    assert calls == [("a", 7), ("b", 7), *a_round * ROUNDS[0]]
    assert list(found) == ["a", "b"]


def test_rounds_are_bounded():
    calls = []
    latencies({"a": calls.append}, LOGITS[:1], seconds=1e9)
    assert len(calls) == 1 + 2 * ROUNDS[1]


def test_few_samples_are_repeated():
    np.testing.assert_array_equal(repeated(LOGITS[:3], 7), LOGITS[[0, 1, 2, 0, 1, 2, 0]])


def test_a_table_of_contenders():
    loaded = []

    def contender(name, offset):
        def load():
            loaded.append(name)
            return lambda inputs: inputs + np.array([0, 0, 0, offset], dtype=np.float32)

        return Contender(name, len(name), load)

    batches = [(LOGITS, LABELS)]
    found = compare([contender("plain", 0), contender("odd", 0.5)], LOGITS, lambda: batches, 0)
    plain, odd = found
    assert loaded == ["plain", "odd"] * (1 + LOADS)
    assert (plain.name, plain.bytes, plain.difference) == ("plain", 5, 0)
    assert odd.difference == pytest.approx(0.5)
    assert plain.accuracy == accuracy_score(LABELS, LOGITS.argmax(1))
    raised = LOGITS + np.array([0, 0, 0, 0.5])
    assert odd.accuracy == accuracy_score(LABELS, raised.argmax(1))
    assert LARGE / odd.per_second > 0
