"""Which samples an epoch meets, and in what order."""

from __future__ import annotations

from collections import Counter
from itertools import chain

import numpy as np
import pytest
import torch

from burnish.data.loading import EpochBatches
from burnish.data.order import Shuffled, by_length, draw

LABELS = np.array([0] * 90 + [1] * 30 + [3] * 6)  # class 2 does not occur


def epoch(sampling: str, seed: int = 0) -> np.ndarray:
    return draw(LABELS, sampling)(np.random.default_rng(seed))


def test_none_is_the_permutation_of_old() -> None:
    expected = np.random.default_rng(5).permutation(126)
    np.testing.assert_array_equal(draw(LABELS, "none")(np.random.default_rng(5)), expected)
    assert len(draw(LABELS, "none")) == len(Shuffled(126)) == 126


def test_balanced_meets_every_class_equally_often() -> None:
    chosen = epoch("balanced")
    assert len(chosen) == len(draw(LABELS, "balanced")) == 126
    assert Counter(LABELS[chosen]) == {0: 42, 1: 42, 3: 42}
    times = Counter(chosen.tolist())
    # The large class gives different samples; the rare one all of its own, 42 / 6 times each.
    assert max(times[i] for i in range(90)) == 1
    assert {times[i] for i in range(90, 120)} == {1, 2}
    assert {times[i] for i in range(120, 126)} == {7}


def test_undersampling_takes_as_many_as_the_rarest_has() -> None:
    first, second = epoch("undersample", 0), epoch("undersample", 1)
    assert len(first) == len(draw(LABELS, "undersample")) == 18
    assert Counter(LABELS[first]) == {0: 6, 1: 6, 3: 6}
    assert len(set(first.tolist())) == 18
    assert set(first.tolist()) != set(second.tolist())
    assert not np.array_equal(LABELS[first], np.sort(LABELS[first])), "shuffled over the classes"


@pytest.mark.parametrize("sampling", ["balanced", "undersample"])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_one_drawing(sampling: str, world: int) -> None:
    rows = torch.arange(1000, 1126)

    def batches(rank: int, world: int, size: int) -> list[list[int]]:
        return list(
            EpochBatches(
                rows, size, training=True, seed=3, rank=rank, world_size=world,
                draw=draw(LABELS, sampling),
            )
        )  # fmt: skip

    single = batches(0, 1, 4 * world)
    ranks = [batches(rank, world, 4) for rank in range(world)]
    # A last batch that is too small for every process is left out.
    assert [[*chain(*parts)] for parts in zip(*ranks, strict=True)] == single[: len(ranks[0])]
    assert len(single) - len(ranks[0]) <= 1
    assert len({len(own) for own in ranks}) == 1


def test_batches_by_length_hold_everything_once_and_waste_little() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 300, 5000)
    order = by_length(rng.permutation(5000), lengths, 32, np.random.default_rng(1))
    assert sorted(order.tolist()) == list(range(5000))

    def padded(order: np.ndarray) -> int:
        chunks = np.split(order, range(32, len(order), 32))
        return sum(int(lengths[chunk].max()) * len(chunk) for chunk in chunks)

    assert padded(order) < 1.05 * lengths.sum()
    assert padded(rng.permutation(5000)) > 1.8 * lengths.sum()
    longest = [lengths[chunk].max() for chunk in np.split(order, range(32, 4992, 32))]
    assert np.any(np.diff(longest) < 0), "whole batches come in random order"


def test_evaluation_by_length_is_sorted_and_complete() -> None:
    lengths = np.array([5, 1, 4, 1, 3])
    assert by_length(np.arange(5), lengths, 2, None).tolist() == [1, 3, 4, 2, 0]
    batches = EpochBatches(torch.arange(10, 15), 2, lengths=torch.from_numpy(lengths))
    assert list(batches) == [[11, 13], [14, 12], [10]]


def test_order_by_length_depends_on_seed_and_epoch_and_can_be_skipped_into() -> None:
    lengths = torch.randint(1, 50, (200,), generator=torch.Generator().manual_seed(0))

    def batches() -> EpochBatches:
        return EpochBatches(torch.arange(200), 16, training=True, seed=1, lengths=lengths)

    first, other = batches(), batches()
    whole = list(first)
    assert list(other) == whole
    other.skip(5)
    assert list(other) == whole[5:]
    first.set_epoch(1)
    assert list(first) != whole


def test_the_longest_texts_are_not_always_those_that_are_dropped() -> None:
    lengths = np.arange(1, 66)  # 65 texts: one is left over after 4 batches of 16
    left = set()
    for epoch in range(40):
        rng = np.random.default_rng(epoch)
        order = by_length(rng.permutation(65), lengths, 16, rng)
        assert sorted(order.tolist()) == list(range(65))
        left.add(int(lengths[order[-1]]))
    assert left == {1, 17, 33, 49, 65}
