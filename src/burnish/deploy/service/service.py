"""What the routes share: engines, decoding, and what happens around every prediction."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from burnish.deploy.bundle import Bundle
from burnish.deploy.service.batching import Row
from burnish.deploy.service.engine import Engine
from burnish.deploy.service.metrics import Metrics
from burnish.deploy.service.refusal import Refused, busy
from burnish.deploy.service.requests import Asked
from burnish.deploy.service.settings import Settings

logger = logging.getLogger("burnish.service")


@dataclass(frozen=True)
class Seen:
    """One prediction, for whoever watches: the log, a shadow.

    Args:
        id: of the item; feedback comes with it.
        key: of the request, what A/B divides by.
        bundle: that answered.
        item: what ``preprocess.read`` returned: uint8 ``[C, H, W]`` or a text.
        probabilities: float32 ``[K]``.
        milliseconds: since the request had arrived.
    """

    id: str
    key: str
    bundle: Bundle
    item: Any
    probabilities: Row
    milliseconds: float


@dataclass(frozen=True)
class Answered:
    """What became of a request's inputs.

    Args:
        bundle: that answered.
        ids: of the inputs.
        outcomes: probabilities float32 ``[K]`` of each, or why there are none.
        milliseconds: since the request had arrived.
    """

    bundle: Bundle
    ids: Sequence[str]
    outcomes: Sequence[Row | Refused]
    milliseconds: float


class Service:
    """The state of one process.

    Two places are left for others: ``choose`` picks the engine by the request's key (A/B), and
    every function in ``observers`` is called with each :class:`Seen`, in the event loop: it must
    return at once and may not raise. What ``engines`` and ``shadows`` hold is started and stopped
    together; only ``engines`` must be ready. What the functions of ``info`` return is added to
    ``/model/info``; they run in a thread.

    Args:
        settings: of the service.
        bundle: that answers.

    Raises:
        BundleError: if its net cannot be loaded.
    """

    def __init__(self, settings: Settings, bundle: Bundle) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.engine = Engine(bundle, settings, self.metrics, self.metrics.waiting.inc)
        self.engines = [self.engine]
        self.shadows: list[Engine] = []
        self.choose: Callable[[str], Engine] = lambda key: self.engine
        self.observers: list[Callable[[Seen], None]] = []
        self.info: dict[str, Callable[[], Any]] = {}
        self.decoder = self.engine.decoder
        self._threads = settings.cores
        self._pool = ThreadPoolExecutor(self._threads, "decoding")
        self._telling = ThreadPoolExecutor(1, "telling")
        self._decoding = 0

    def start(self) -> None:
        """Begin to compute, in the running event loop."""
        for engine in (*self.engines, *self.shadows):
            engine.start()

    async def stop(self) -> None:
        """Give up what is not answered."""
        for engine in (*self.engines, *self.shadows):
            await engine.stop()
        for pool in (self._pool, self._telling):
            pool.shutdown(wait=False, cancel_futures=True)

    async def in_pool(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run something short off the event loop, on one of as many threads as there are cores."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def aside(self, function: Callable[..., Any]) -> Any:
        """Run what tells of the service, on a thread that no request can keep busy."""
        return await asyncio.get_running_loop().run_in_executor(self._telling, function)

    async def predict(self, asked: Asked, request_id: str, key: str, begun: float) -> Answered:
        """Decode inputs and classify them; a bad one fails alone.

        Args:
            asked: the inputs.
            request_id: one input is called by it, several get ``-0``, ``-1``, ... behind it.
            key: of the request.
            begun: ``perf_counter()`` when the request had arrived.

        Raises:
            Refused: with 413 if they are too large together, 503 if they do not fit the queue.
        """
        engine = self.choose(key)
        with engine.expecting(), self._room(len(asked.inputs)):
            if len(asked.inputs) > 1:  # one alone is measured when it is decoded
                await self.in_pool(engine.decoder.weigh, asked.inputs)
            # As many as there are threads stand in line: others' inputs come in between.
            turns = asyncio.Semaphore(self._threads)
            items = await asyncio.gather(
                *(self._decoded(raw, engine, turns) for raw in asked.inputs)
            )
        return await self.classify(items, asked.single, request_id, key, begun, engine)

    async def classify(
        self,
        items: Sequence[Any],
        single: bool,
        request_id: str,
        key: str,
        begun: float,
        engine: Engine,
    ) -> Answered:
        """The same for inputs that are decoded already, or :class:`Refused` in their place."""
        good = [item for item in items if not isinstance(item, Refused)]
        found = iter([_judged(row) for row in await engine.answers(good)])
        outcomes = [item if isinstance(item, Refused) else next(found) for item in items]
        ids = [request_id] if single else [f"{request_id}-{i}" for i in range(len(items))]
        milliseconds = 1000 * (perf_counter() - begun)
        for name, item, outcome in zip(ids, items, outcomes, strict=True):
            if isinstance(outcome, Refused):
                self._count(engine, str(outcome.status))
                continue
            self._count(engine, "answered")
            seen = Seen(name, key, engine.bundle, item, outcome, milliseconds)
            for observe in self.observers:
                observe(seen)
        return Answered(engine.bundle, ids, outcomes, milliseconds)

    def _count(self, engine: Engine, outcome: str) -> None:
        self.metrics.predictions.labels(engine.bundle.version, outcome).inc()

    @contextmanager
    def _room(self, inputs: int) -> Iterator[None]:
        """Around the decoding of inputs: no more wait for it than for the net."""
        if self._decoding + inputs > self.settings.queue:
            raise busy("too many inputs wait to be decoded")
        self._decoding += inputs
        try:
            yield
        finally:
            self._decoding -= inputs

    async def _decoded(self, raw: Any, engine: Engine, turns: asyncio.Semaphore) -> Any:
        if isinstance(raw, Refused):
            return raw
        try:
            async with turns:
                return await self.in_pool(engine.decoder.read, raw)
        except Refused as refused:
            return refused


def _judged(row: Row | BaseException) -> Row | Refused:
    if isinstance(row, asyncio.CancelledError):
        return busy("the service is stopping")
    if isinstance(row, BaseException):
        logger.error("an input could not be computed", exc_info=row)
        return Refused(500, "the input could not be computed")
    if not np.isfinite(row).all():  # which no JSON can hold, and no log should
        return Refused(500, "the net's answer is not a number")
    return row
