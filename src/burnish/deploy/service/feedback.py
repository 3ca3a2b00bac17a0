"""The prediction log of a service: what it writes, ``POST /feedback``, and what watches it."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from burnish.deploy.preprocess import Preprocess
from burnish.deploy.service.predict import FAILURES, Failure
from burnish.deploy.service.refusal import Refused, busy, wrong_field
from burnish.deploy.service.service import Seen, Service
from burnish.deploy.watch.gauges import SECONDS, Gauges, Monitor
from burnish.deploy.watch.log import MEGABYTE, Ambiguous, check_log, label, open_log
from burnish.deploy.watch.recorder import COMMIT_SECONDS, INPUT_SHARE, Answered, Recorder
from burnish.errors import BurnishError
from burnish.spec import ImageSpec

logger = logging.getLogger("burnish.service")

BUSY_SECONDS = 2.0  # that feedback waits for the writers of predictions
NAMED = 5  # classes of a message


class Feedback(BaseModel):
    """What an input really was."""

    model_config = ConfigDict(extra="forbid", strict=True)

    id: str = Field(min_length=1, max_length=100, description="of the prediction")
    label: str = Field(max_length=1000, description="name of the right class")


class Taken(BaseModel):
    """It was written."""

    id: str
    label: str


def log_routes(service: Service, log: Path) -> APIRouter:
    """Log what the service answers, take feedback, set the gauges; all of it ends with the app.

    Args:
        service: whose observers get one more.
        log: the file.

    Raises:
        ConfigError: if it cannot be one.
    """
    settings, metrics = service.settings, service.metrics
    check_log(log, settings.log_max_mb)
    _warn_of_large_inputs(service)
    counter = metrics.client.Counter(
        "burnish_logged", "Predictions by what became of their row in the log", ["outcome"],
        registry=metrics.registry,
    )  # fmt: skip
    recorder = Recorder(
        log,
        max_mb=settings.log_max_mb,
        inputs=settings.log_inputs,
        count=lambda outcome, number: counter.labels(outcome).inc(number),
    )
    gauges = Gauges(metrics.client, metrics.registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        recorder.start()
        monitors = [Monitor(log, engine.bundle) for engine in service.engines]
        task = asyncio.create_task(_refreshing(gauges, monitors))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await asyncio.to_thread(recorder.stop)

    service.observers.append(recording(service, recorder))
    service.info["feedback"] = lambda: True
    router = APIRouter(lifespan=lifespan)
    _add_feedback(router, service.engine.bundle.spec.class_names, log)
    return router


def _warn_of_large_inputs(service: Service) -> None:
    settings, spec = service.settings, service.engine.bundle.spec
    if not settings.log_inputs or not isinstance(spec, ImageSpec):
        return
    size = spec.channels * spec.height * spec.width / MEGABYTE
    if size > INPUT_SHARE * settings.log_max_mb:
        logger.warning(
            "log_inputs: no input is kept: one has %.2g MB, the most is 1 %% of log_max_mb=%g",
            size, settings.log_max_mb,
        )  # fmt: skip


def recording(service: Service, recorder: Recorder) -> Callable[[Seen], None]:
    """The observer that hands predictions to a recorder; takes microseconds."""
    known: dict[str, Preprocess] = {}

    def observe(seen: Seen) -> None:
        if seen.bundle.version not in known:  # a second engine may come after this was made
            known.update({e.bundle.version: e.predictor.preprocess for e in service.engines})
        best = int(seen.probabilities.argmax())
        recorder.record(
            Answered(
                seen.id,
                seen.bundle.version,
                known[seen.bundle.version],
                seen.item,
                seen.bundle.spec.class_names[best],
                float(seen.probabilities[best]),
                seen.milliseconds,
                time.time(),
            )
        )

    return observe


def _add_feedback(router: APIRouter, class_names: tuple[str, ...], log: Path) -> None:
    responses: dict[int | str, dict[str, Any]] = {
        **{status: FAILURES[status] for status in (401, 413, 422, 503)},
        404: {"model": Failure, "description": "There is no such prediction (any more)"},
        409: {"model": Failure, "description": "Several inputs were predicted under this id"},
    }

    @router.post("/feedback", summary="Say what an input really was", responses=responses)
    async def feedback(given: Feedback) -> Taken:
        if given.label not in class_names:
            names = ", ".join(class_names[:NAMED])
            more = f" and {len(class_names) - NAMED} more" if len(class_names) > NAMED else ""
            raise wrong_field("label", f"must be one of {names}{more}")
        for wait in (COMMIT_SECONDS / 2, 1.5 * COMMIT_SECONDS, None):
            if await asyncio.to_thread(_written, log, given):
                return Taken(id=given.id, label=given.label)
            if wait:  # the prediction may not be in the log yet
                await asyncio.sleep(wait)
        raise Refused(404, "id: there is no such prediction in the log, or not any more")


def _written(log: Path, given: Feedback) -> bool:
    try:
        with closing(open_log(log, BUSY_SECONDS, make=False)) as connection:
            return label(connection, given.id, given.label, time.time())
    except Ambiguous as error:
        raise Refused(409, "id: several inputs were predicted under it") from error
    except sqlite3.Error as error:
        logger.warning("feedback cannot be written (%s)", error)
        raise busy("the log cannot be written") from error


async def _refreshing(gauges: Gauges, monitors: Sequence[Monitor]) -> None:
    while True:
        for monitor in monitors:
            try:
                gauges.show(await asyncio.to_thread(monitor.look))
            except BurnishError as error:  # the log was deleted, or the bundle is damaged
                logger.debug("the log cannot be watched (%s)", error)
                gauges.forget(monitor.bundle.version)
            except Exception:
                logger.exception("the log cannot be watched")
                gauges.forget(monitor.bundle.version)
        await asyncio.sleep(SECONDS)
