"""Batches: their sizes, their limits, and what a failing or forgotten input does to the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from burnish.deploy.service.batching import Batcher
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.service import _judged


class Net:
    """Answers an input with itself and -1 with an error; waits for ``go``."""

    def __init__(self, waits: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Event()
        if not waits:
            self.go.set()

    def __call__(self, items: Sequence[Any]) -> NDArray[np.float32]:
        self.batches.append(list(items))
        assert self.go.wait(10)
        if -1 in items:
            raise ValueError("bad")
        return np.array([[item] for item in items], dtype=np.float32)


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def test_what_is_not_a_number_is_no_answer() -> None:
    assert _judged(np.array([np.nan, 0.5], dtype=np.float32)).status == 500
    row = np.array([0.25, 0.75], dtype=np.float32)
    assert _judged(row) is row


def test_a_net_that_forgets_an_input_does_not_end_the_service() -> None:
    """One row too few is a failure of that batch; the next is answered."""
    calls = []

    def compute(items):
        calls.append(len(items))
        return np.zeros((len(items) - (len(calls) == 1), 2), dtype=np.float32)

    async def ask():
        batcher = Batcher(compute, max_batch=4)
        batcher.start()
        first = await batcher.answers(["a"])
        second = await batcher.answers(["b"])
        await batcher.stop()
        return first, second

    (failed,), (row,) = asyncio.run(ask())
    assert isinstance(failed, ValueError)
    assert row.tolist() == [0, 0]


async def played(net: Net, scenario: Any, **given: Any) -> None:
    batcher = Batcher(net, **given)
    batcher.start()
    try:
        await scenario(batcher)
    finally:
        net.go.set()
        await batcher.stop()


def run(net: Net, scenario: Any, **given: Any) -> None:
    asyncio.run(played(net, scenario, **given))


def test_what_waits_is_computed_together_up_to_the_limit() -> None:
    net = Net(waits=True)

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.answer(100))
        await until(lambda: net.batches)
        others = [asyncio.create_task(batcher.answer(i)) for i in range(7)]
        await until(lambda: batcher.size == 7)
        net.go.set()
        assert [(await task).tolist() for task in others] == [[i] for i in range(7)]
        assert (await first).tolist() == [100]

    run(net, scenario, max_batch=4)
    assert net.batches == [[100], [0, 1, 2, 3], [4, 5, 6]]


def test_a_batch_waits_for_inputs_on_their_way_and_for_nothing_else() -> None:
    net = Net()

    async def scenario(batcher: Batcher) -> None:
        with batcher.expecting():
            early = asyncio.create_task(batcher.answer(1))
            await asyncio.sleep(0.05)
            assert net.batches == []
            late = asyncio.create_task(batcher.answer(2))
        await asyncio.gather(early, late)
        assert net.batches == [[1, 2]]
        async with asyncio.timeout(5):  # nobody is expected: no wait of 60 s
            await batcher.answer(3)

    run(net, scenario, max_wait=60.0)


def test_a_bad_input_fails_alone() -> None:
    net = Net()

    async def scenario(batcher: Batcher) -> None:
        found = await batcher.answers([1, -1, 2])
        assert [one.tolist() for one in (found[0], found[2])] == [[1], [2]]  # type: ignore[union-attr]
        assert isinstance(found[1], ValueError)
        with pytest.raises(ValueError, match="bad"):
            await batcher.answer(-1)

    run(net, scenario)


def test_a_full_queue_refuses_all_inputs_of_a_request_or_none() -> None:
    net = Net(waits=True)

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.answer(0))
        await until(lambda: net.batches)
        waiting = asyncio.create_task(batcher.answers([1, 2]))
        await until(lambda: batcher.size == 2)
        with pytest.raises(Refused) as refused:
            await batcher.answers([3, 4])
        assert refused.value.status == 503
        assert "Retry-After" in refused.value.headers
        assert batcher.size == 2
        net.go.set()
        await asyncio.gather(first, waiting, batcher.answer(5))

    run(net, scenario, queue=3)


def test_what_waits_is_told_to_the_last_even_of_cancelled_requests() -> None:
    net, told = Net(waits=True), []

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.answer(0))
        await until(lambda: net.batches)
        gone = asyncio.create_task(batcher.answers([1, 2, 3]))
        await until(lambda: batcher.size == 3)
        assert sum(told) == 3
        gone.cancel()
        net.go.set()
        await first
        await until(lambda: batcher.size == 0)
        assert sum(told) == 0

    run(net, scenario, waited=told.append)


def test_the_work_of_a_cancelled_request_is_dropped() -> None:
    net = Net(waits=True)

    async def scenario(batcher: Batcher) -> None:
        first = asyncio.create_task(batcher.answer(0))
        await until(lambda: net.batches)
        gone = asyncio.create_task(batcher.answers([1, 2]))
        stays = asyncio.create_task(batcher.answer(3))
        await until(lambda: batcher.size == 3)
        gone.cancel()
        await asyncio.wait([gone])
        net.go.set()
        await asyncio.gather(first, stays)

    run(net, scenario)
    assert net.batches == [[0], [3]]
