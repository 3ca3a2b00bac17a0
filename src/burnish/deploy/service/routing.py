"""Two bundles behind one address: a shadow that only watches, or a split of the answers."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, Protocol, get_args

from burnish.deploy.bundle import Bundle, read_bundle
from burnish.deploy.preprocess import Inputs
from burnish.deploy.runtime import Logits, Runtime
from burnish.deploy.service.batching import Row
from burnish.deploy.service.engine import Engine
from burnish.deploy.service.refusal import Refused
from burnish.deploy.service.service import Seen, Service
from burnish.errors import BundleError
from burnish.spec import ImageSpec

Outcome = Literal["agreed", "disagreed", "failed", "dropped"]
SHADOWED = "burnish_shadow"


class Answering(Protocol):
    """What a shadow needs of an engine."""

    async def answer(self, item: Any) -> Row:
        """Probabilities, float32 ``[K]``, of what the bundle's preprocessing read.

        Raises:
            Refused: if its queue is full.
        """


def add_second(service: Service) -> None:
    """Put the bundle of ``shadow`` beside the first; nothing happens without one.

    Raises:
        BundleError: if it is damaged, or does not answer the same question.
    """
    settings = service.settings
    if settings.shadow is None:
        return
    first, second = service.engine, read_bundle(settings.shadow)
    check_pair(first.bundle, second, settings.split)
    if settings.split:
        other = Engine(second, settings, service.metrics, service.metrics.waiting.inc)
        service.engines.append(other)
        service.choose = lambda key: other if share_of(key) < settings.split else first
        service.info["split"] = lambda: {**_called(second), "share": settings.split}
        return
    watcher = Engine(second, replace(settings, threads=1), service.metrics)
    watcher.predictor.run = in_background(watcher.predictor.run)
    counter = service.metrics.client.Counter(
        SHADOWED, "Answers compared with a second bundle's", ["version", "outcome"],
        registry=service.metrics.registry,
    )  # fmt: skip
    shadow = Shadow(watcher, lambda outcome: counter.labels(second.version, outcome).inc())
    service.shadows.append(watcher)
    service.observers.append(shadow.see)
    service.info["shadow"] = lambda: {**_called(second), **_counted(service, second.version)}


def in_background(run: Runtime) -> Runtime:
    """The same in what the processor has left, if it is a net of one thread: nobody waits for it.

    On two busy cores a shadow made the median answer 1.5 times as slow, and so 1.2 times.
    """

    def lowered(inputs: Inputs) -> Logits:
        if sys.platform == "linux":  # elsewhere it would be the whole process
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)
        return run(inputs)

    return lowered


def _called(bundle: Bundle) -> dict[str, Any]:
    return {"name": bundle.name, "version": bundle.version}


def _counted(service: Service, version: str) -> dict[Outcome, int]:
    """What all workers counted."""
    registry = service.metrics.all_workers()
    return {
        outcome: int(
            registry.get_sample_value(f"{SHADOWED}_total", {"version": version, "outcome": outcome})
            or 0
        )
        for outcome in get_args(Outcome)
    }


def check_pair(first: Bundle, second: Bundle, split: float) -> None:
    """Make sure that two bundles answer the same question.

    Args:
        first: of ``run``.
        second: of ``shadow``.
        split: the share of requests that the second answers; 0: it is a shadow.

    Raises:
        BundleError: naming both, if they are the same net, their kinds or classes differ, or a
            shadow could not see what the first saw.
    """
    one, other = first.spec, second.spec
    pair = f"{first.path} (run) and {second.path} (shadow)"
    if first.version == second.version:  # by which counts and predictions are told apart
        raise BundleError(f"{pair}: are the same version, {first.version}; nothing can differ")
    if type(one) is not type(other):
        raise BundleError(f"{pair}: one takes images, the other texts; they cannot stand in")
    if one.class_names != other.class_names:
        raise BundleError(
            f"{pair}: have different classes, {_listed(one.class_names)} and "
            f"{_listed(other.class_names)}; names and order must be the same"
        )
    # A shadow gets the decoded pixels: to keep whole uploads for it would not be bounded.
    if split == 0 and isinstance(one, ImageSpec) and isinstance(other, ImageSpec):
        sizes = [f"{s.channels}x{s.height}x{s.width}" for s in (one, other)]
        if sizes[0] != sizes[1]:
            raise BundleError(
                f"{pair}: take pictures of {' and '.join(sizes)}; a shadow must take the same "
                "(split=0.1 works with any size)"
            )


def _listed(names: tuple[str, ...], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return f"[{', '.join(names[:most])}{rest}]"


def share_of(key: str) -> float:
    """A number in [0, 1) that depends on the key alone, the same in every process and release."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


class Shadow:
    """An engine that sees the traffic, off the request's path; nobody waits for it.

    Args:
        engine: whose answers are only compared.
        count: told the outcome of each item: the likeliest class ``agreed`` or ``disagreed``, the
            engine ``failed`` (an error, or too slow), or the item was ``dropped``.
        limit: items at work at once; more are dropped, so that a slow shadow costs no memory.
        timeout_seconds: of one item.
    """

    def __init__(
        self,
        engine: Answering,
        count: Callable[[Outcome], None],
        limit: int = 64,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._engine = engine
        self._count = count
        self._limit = limit
        self._timeout = timeout_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def see(self, seen: Seen) -> None:
        """Take one item that was answered; returns at once."""
        if len(self._tasks) >= self._limit:
            self._count("dropped")
            return
        task = asyncio.get_running_loop().create_task(
            self._compare(seen.item, int(seen.probabilities.argmax()))
        )
        self._tasks.add(task)  # the loop itself keeps only weak references
        task.add_done_callback(self._tasks.discard)

    async def _compare(self, item: Any, best: int) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                found = await self._engine.answer(item)
        except Refused:  # its own queue is full
            self._count("dropped")
        except Exception:  # whatever it is: it is counted, and never the caller's
            self._count("failed")
        else:
            self._count("agreed" if int(found.argmax()) == best else "disagreed")
