"""One bundle, ready to answer: its net, its batches and its own test."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from burnish.deploy.bundle import Bundle
from burnish.deploy.predictor import of_bundle
from burnish.deploy.service.batching import Batcher, Row
from burnish.deploy.service.decoding import Decoder
from burnish.deploy.service.metrics import Metrics
from burnish.deploy.service.settings import Settings

logger = logging.getLogger("burnish.service")

# The exported sample must come out as it did, but other processors round otherwise: of logits for
# float nets; int8 nets differ by whole steps of quantisation, so that probabilities are compared.
TOLERANCE = 1e-3
QUANTIZED_TOLERANCE = 0.05
PROBED_SECONDS = 5.0  # that the answer to "are you ready" stays fresh: probes must cost nothing


class Engine:
    """Answers with one bundle's net.

    Args:
        bundle: exported; its net is loaded here.
        settings: of the service.
        metrics: that count its batches.
        waited: told how many more inputs wait, or with a minus how many fewer.

    Raises:
        BundleError: if the net cannot be loaded.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: Settings,
        metrics: Metrics | None = None,
        waited: Callable[[int], None] = lambda more: None,
    ) -> None:
        self.bundle = bundle
        self.predictor = of_bundle(bundle, settings.threads or settings.cores)
        self.decoder = Decoder(self.predictor.preprocess, settings)
        observe = metrics.batch_of(bundle) if metrics else lambda size: None
        self._batcher = Batcher(
            lambda items: self.predictor.predict_read(items).probabilities,
            settings.max_batch,
            settings.max_wait_ms / 1000,
            settings.queue,
            observe,
            waited,
        )
        self._probed: tuple[float, bool] = (float("-inf"), False)
        self._probing = asyncio.Lock()

    def start(self) -> None:
        """Begin to compute, in the running event loop."""
        self._batcher.start()

    async def stop(self) -> None:
        """Give up; who still waits is cancelled."""
        await self._batcher.stop()

    def expecting(self) -> AbstractContextManager[None]:
        """Around the reading of an input: a batch may wait for it."""
        return self._batcher.expecting()

    async def answer(self, item: Any) -> Row:
        """Probabilities float32 ``[K]`` of what ``predictor.preprocess.read`` returned.

        Raises:
            Refused: with 503 if the queue is full.
        """
        return await self._batcher.answer(item)

    async def answers(self, items: Sequence[Any]) -> list[Row | BaseException]:
        """The same of several, or of each what went wrong with it; all or none enter the queue."""
        return await self._batcher.answers(items)

    async def ready(self) -> bool:
        """Whether the bundle's sample reproduces its output; asked again after seconds."""
        async with self._probing:  # whoever asks meanwhile gets the same answer
            now = asyncio.get_running_loop().time()
            if now - self._probed[0] > PROBED_SECONDS:
                self._probed = now, bool(await self._batcher.in_thread(self.reproduces))
        return self._probed[1]

    def reproduces(self) -> bool:
        """Compute the bundle's sample now, and compare."""
        from burnish.deploy.predictor import softmax

        sample = self.bundle.sample
        try:
            logits = self.predictor.run(self.predictor.preprocess.batch(sample.items))
        except Exception:
            logger.exception("the sample of %s cannot be computed", self.bundle.name)
            return False
        if self.bundle.card.get("quantize", "none") == "none":
            return np.allclose(logits, sample.logits, rtol=TOLERANCE, atol=TOLERANCE)
        expected, found = softmax(sample.logits), softmax(logits)
        return np.allclose(found, expected, rtol=0, atol=QUANTIZED_TOLERANCE)
