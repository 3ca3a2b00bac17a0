from __future__ import annotations

from pathlib import Path

import pytest
import torch

from burnish.data.image_folder import ImageFiles
from burnish.data.loading import EpochBatches, FileLoader, Table, TableLoader


def flat(batches: EpochBatches) -> list[int]:
    return [row for batch in batches for row in batch]


def test_order_depends_on_seed_and_epoch_only() -> None:
    batches = EpochBatches(torch.arange(100), 32, training=True, seed=1)
    first = list(batches)
    torch.manual_seed(99)
    assert list(batches) == first
    batches.set_epoch(1)
    second = list(batches)
    assert second != first
    assert sorted(flat(batches)) == list(range(100))
    assert list(EpochBatches(torch.arange(100), 32, training=True, seed=2)) != first
    batches.set_epoch(0)
    assert list(batches) == first


def test_skip_applies_once_and_keeps_the_length() -> None:
    batches = EpochBatches(torch.arange(50), 8, training=True)
    whole = list(batches)
    batches.skip(3)
    assert len(batches) == 7
    assert list(batches) == whole[3:]
    assert list(batches) == whole


@pytest.mark.parametrize(("samples", "expected"), [(64, 2), (65, 2), (66, 3), (1, 0), (2, 1)])
def test_training_drops_a_last_batch_of_one(samples: int, expected: int) -> None:
    batches = EpochBatches(torch.arange(samples), 32, training=True)
    assert len(batches) == len(list(batches)) == expected


def test_evaluation_is_plain_consecutive_chunks() -> None:
    batches = EpochBatches(torch.arange(100, 110), 4)
    assert list(batches) == [[100, 101, 102, 103], [104, 105, 106, 107], [108, 109]]
    assert list(EpochBatches(torch.arange(0), 4)) == []


@pytest.mark.parametrize("samples", range(8, 60))
@pytest.mark.parametrize("training", [True, False])
def test_ranks_together_hold_the_larger_batch(samples: int, training: bool) -> None:
    world, size = 3, 4

    def one(rank: int, world: int, size: int) -> list[list[int]]:
        batches = EpochBatches(
            torch.arange(samples), size, training=training, rank=rank, world_size=world, seed=4
        )
        listed = list(batches)
        assert len(batches) == len(listed)
        return listed

    ranks = [one(rank, world, size) for rank in range(world)]
    assert len({len(batches) for batches in ranks}) == 1
    seen = [row for parts in zip(*ranks, strict=True) for part in parts for row in part]
    single = [row for batch in one(0, 1, world * size) for row in batch]
    assert seen == single[: len(seen)]
    assert all(
        max(map(len, parts)) - min(map(len, parts)) <= 1 and min(map(len, parts)) >= 1 + training
        for parts in zip(*ranks, strict=True)
    )
    if training:
        assert samples - len(seen) < 2 * world
    else:
        assert seen == list(range(samples))


def test_table_loader_yields_rows_of_the_epoch() -> None:
    table = Table(torch.arange(40, dtype=torch.uint8).view(10, 1, 2, 2), torch.arange(10) * 7)
    batches = EpochBatches(torch.tensor([1, 3, 5, 7, 9]), 2, training=True, seed=0)
    loader = TableLoader(table, batches)
    got = list(loader)
    assert len(loader) == len(got) == 2
    for (images, labels), rows in zip(got, batches, strict=True):
        assert torch.equal(images, table.images[rows])
        assert torch.equal(labels, table.labels[rows])
    assert got[0][0].dtype == torch.uint8


def test_an_iterator_made_before_the_epoch_is_set_follows_it() -> None:
    table = Table(torch.zeros(30, 1, 1, 1, dtype=torch.uint8), torch.arange(30))
    loader = TableLoader(table, EpochBatches(torch.arange(30), 10, training=True))
    iterator = iter(loader)
    loader.batch_sampler.sampler.set_epoch(5)
    expected = next(iter(loader.batch_sampler))
    assert next(iterator)[1].tolist() == expected


def test_file_loader_reads_the_same_with_workers(folder_root: Path) -> None:
    paths = sorted((folder_root / "train").rglob("*.jpg"))[:10]
    files = ImageFiles(paths, torch.arange(10), size=16)

    def labels_and_sums(workers: int) -> list[tuple[list[int], int]]:
        loader = FileLoader(files, EpochBatches(torch.arange(10), 4, training=True), workers)
        loader.batch_sampler.set_epoch(2)
        loader.batch_sampler.skip(1)
        return [(labels.tolist(), int(images.sum())) for images, labels in loader]

    plain = labels_and_sums(0)
    assert len(plain) == 2
    assert labels_and_sums(2) == plain
