"""Micro-batching: inputs of several requests, computed together.

The first input of a batch waits only while others are known to be on their way, so that a lonely
request is not slower for it. One thread computes; the event loop stays free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from burnish.deploy.service.refusal import busy

Row = NDArray[np.float32]
# From N inputs to what is said of each, float32 [N, K].
Compute = Callable[[Sequence[Any]], NDArray[np.float32]]


@dataclass(frozen=True)
class _Waiting:
    item: Any
    answer: asyncio.Future[Row]


class Batcher:
    """Computes inputs in batches, in order of arrival.

    Args:
        compute: runs in a thread of its own, one batch at a time.
        max_batch: inputs.
        max_wait: seconds that a batch waits for inputs on their way.
        queue: inputs that may wait.
        observe: told the size of every batch.
        waited: told how many more inputs wait, or with a minus how many fewer.
    """

    def __init__(
        self,
        compute: Compute,
        max_batch: int = 16,
        max_wait: float = 0.002,
        queue: int = 256,
        observe: Callable[[int], None] = lambda size: None,
        waited: Callable[[int], None] = lambda more: None,
    ) -> None:
        self._compute = compute
        self._max_batch = max_batch
        self._max_wait = max_wait
        self._queue = queue
        self._observe = observe
        self._waited = waited
        self._waiting: deque[_Waiting] = deque()
        self._coming = 0
        self._thread = ThreadPoolExecutor(1, "inference")

    def start(self) -> None:
        """Begin to compute, in the running event loop."""
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Give up; who still waits is cancelled."""
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        for waiting in self._waiting:
            waiting.answer.cancel()
        self._waited(-self.size)
        self._waiting.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    @property
    def size(self) -> int:
        """Inputs that wait."""
        return len(self._waiting)

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Around whatever comes before :meth:`answer`: a batch may wait for it."""
        self._coming += 1
        try:
            yield
        finally:
            self._coming -= 1
            self._changed.set()

    async def answers(self, items: Sequence[Any]) -> list[Row | BaseException]:
        """What is said of each input, or what went wrong with it.

        Raises:
            Refused: with 503 if they do not fit the queue; none is computed then.
        """
        if self.size + len(items) > self._queue:
            raise busy("the queue is full")
        loop = asyncio.get_running_loop()
        waiting = [_Waiting(item, loop.create_future()) for item in items]
        self._waiting.extend(waiting)
        self._waited(len(waiting))
        self._changed.set()
        # A cancelled request cancels its futures here, and what was not begun is never computed.
        return await asyncio.gather(*(one.answer for one in waiting), return_exceptions=True)

    async def answer(self, item: Any) -> Row:
        """What is said of one input, float32 ``[K]``."""
        (found,) = await self.answers([item])
        if isinstance(found, BaseException):
            raise found
        return found

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run something between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _work(self) -> None:
        while True:
            batch = await self._gathered()
            if not batch:
                continue
            self._observe(len(batch))
            items = [one.item for one in batch]
            try:
                rows: Sequence[Any] = await self.in_thread(self._compute, items)
                if len(rows) != len(items):
                    raise ValueError(f"{len(rows)} answers to {len(items)} inputs")
            except Exception as error:
                rows = [error] if len(batch) == 1 else await self._one_by_one(items)
            for one, row in zip(batch, rows, strict=True):
                if not one.answer.done():
                    _settle(one.answer, row)

    async def _gathered(self) -> list[_Waiting]:
        loop = asyncio.get_running_loop()
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        deadline = loop.time() + self._max_wait
        while self.size < self._max_batch and self._coming and loop.time() < deadline:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
        batch: list[_Waiting] = []
        before = self.size
        while self._waiting and len(batch) < self._max_batch:
            one = self._waiting.popleft()
            if not one.answer.done():  # else its client went away
                batch.append(one)
        self._waited(self.size - before)
        return batch

    async def _one_by_one(self, items: Sequence[Any]) -> list[Row | Exception]:
        """After a batch failed: only those fail that fail alone."""
        found: list[Row | Exception] = []
        for item in items:
            try:
                found.append((await self.in_thread(self._compute, [item]))[0])
            except Exception as error:
                found.append(error)
        return found


def _settle(answer: asyncio.Future[Row], row: Row | Exception) -> None:
    if isinstance(row, Exception):
        answer.set_exception(row)
    else:
        answer.set_result(row)
