"""The same look at the log that ``burnish watch`` takes, as Prometheus gauges of the service."""

from __future__ import annotations

import math
import time
from pathlib import Path
from threading import Lock
from typing import Any

from burnish.deploy.bundle import Bundle
from burnish.deploy.watch.summary import Settings, Summary, summarise

SECONDS = 30.0  # between looks: what they tell changes in windows of hundreds of predictions
MOST = 20_000  # predictions that a service looks at: about 0.1 s of one core


class Monitor:
    """Looks at the log, again when the last look is old. One lock: threads do not look twice.

    Args:
        log: the file.
        bundle: whose predictions count.
        settings: how to look.
        seconds: that a look stays fresh.
    """

    def __init__(
        self, log: Path, bundle: Bundle, settings: Settings | None = None, seconds: float = SECONDS
    ) -> None:
        self.log = log
        self.bundle = bundle
        self.settings = settings or Settings(most=MOST)
        self._seconds = seconds
        self._lock = Lock()
        self._looked = -math.inf
        self._seen: tuple[int, ...] | None = None
        self._summary: Summary | None = None

    def look(self) -> Summary:
        """What the log says; blocks for the time of a look, so never call it in an event loop.

        Raises:
            BundleError: if the bundle's reference is damaged.
            DataError: if there is no log (any more).
        """
        with self._lock:
            fresh = self._summary is not None and time.monotonic() - self._looked < self._seconds
            if self._summary is None or not fresh:
                seen = _written(self.log)
                if self._summary is None or seen != self._seen:  # without traffic nothing changes
                    self._summary = summarise(self.log, self.bundle, self.settings)
                self._seen, self._looked = seen, time.monotonic()
            return self._summary


class Gauges:
    """Gauges of one or several bundles, for the service's ``/metrics``.

    Of several workers each sets them from the same log; the one that looked last is believed.

    Args:
        client: the module ``prometheus_client``.
        registry: that the service's other numbers are in.
    """

    def __init__(self, client: Any, registry: Any) -> None:
        def gauge(name: str, words: str, *labels: str) -> Any:
            return client.Gauge(
                f"burnish_watch_{name}", words, ["version", *labels], registry=registry,
                multiprocess_mode="livemostrecent",
            )  # fmt: skip

        self._predictions = gauge("predictions", "Predictions in the log, of the last day")
        self._distinct = gauge("distinct_inputs", "Distinct inputs among them")
        self._windows = gauge("windows", "Full windows compared with the reference")
        self._low = gauge("low_confidence_share", "Share of them below the least confidence")
        self._labelled = gauge("labelled", "Of them with feedback")
        self._accuracy = gauge("accuracy", "Share of right ones among those; NaN without")
        self._drift = gauge("drift", "1 if the newest window differs from the reference", "of")
        self._p = gauge("drift_p_value", "Of the newest window, after Holm's correction", "of")
        self._distance = gauge("drift_distance", "Of the newest window to the reference", "of")

    def show(self, found: Summary) -> None:
        """Set those of one bundle."""
        version = found.version
        accuracy, confidence = found.accuracy, found.confidence
        self._predictions.labels(version).set(found.predictions)
        self._distinct.labels(version).set(found.distinct)
        self._windows.labels(version).set(len(found.windows))
        self._low.labels(version).set(confidence.low_share if confidence else math.nan)
        self._labelled.labels(version).set(accuracy.labelled if accuracy else 0)
        self._accuracy.labels(version).set(accuracy.share if accuracy else math.nan)
        for test in found.windows[-1].tests if found.windows else ():
            self._drift.labels(version, test.name).set(test.drifted)
            self._p.labels(version, test.name).set(test.adjusted)
            self._distance.labels(version, test.name).set(test.distance)


def _written(log: Path) -> tuple[int, ...]:
    """Changes whenever somebody writes to the log."""
    files = [log, log.with_name(log.name + "-wal")]
    return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)
