from __future__ import annotations

import numpy as np
import pytest

from burnish.data.splits import apportion, stratified_split, stratified_subset


@pytest.mark.parametrize(
    ("counts", "total", "seats"),
    [
        ([50, 30, 20], 10, [5, 3, 2]),
        ([47, 16, 15, 13, 9], 10, [5, 2, 1, 1, 1]),  # shares 4.7 1.6 1.5 1.3 0.9
        ([1, 1, 1], 2, [1, 1, 0]),  # equal fractions: the earlier class first
        ([0, 10], 5, [0, 5]),
    ],
)
def test_apportion_by_hand(counts: list[int], total: int, seats: list[int]) -> None:
    assert apportion(np.array(counts), total).tolist() == seats


def test_split_is_stratified_disjoint_and_complete() -> None:
    labels = np.repeat([0, 1, 2], [100, 50, 30])
    rest, cut = stratified_split(labels, 0.1, seed=3)
    assert np.bincount(labels[cut]).tolist() == [10, 5, 3]
    assert sorted([*rest, *cut]) == list(range(180))
    assert (np.diff(cut) > 0).all()


def test_split_depends_on_its_seed_only() -> None:
    labels = np.arange(200) % 7
    np.random.seed(0)  # noqa: NPY002  (the global state shall not matter)
    first = stratified_split(labels, 0.2, seed=5)[1]
    np.random.seed(1)  # noqa: NPY002
    assert stratified_split(labels, 0.2, seed=5)[1].tolist() == first.tolist()
    assert stratified_split(labels, 0.2, seed=6)[1].tolist() != first.tolist()


def test_subset_keeps_a_sample_of_each_class() -> None:
    labels = np.repeat([0, 1, 2], [1000, 5, 1])
    chosen = labels[stratified_subset(labels, 10, seed=0)]
    assert np.bincount(chosen).tolist() == [8, 1, 1]
