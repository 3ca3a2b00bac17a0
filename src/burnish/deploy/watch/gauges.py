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
        self._summary: Summary | None = None

    def look(self) -> Summary:
        """What the log says; blocks for the time of a look, so never call it in an event loop.

        Raises:
            BundleError: if the bundle's reference is damaged.
            DataError: if there is no log (any more).
        """
        with self._lock:
            # Anew even if nothing was written meanwhile: the last day is another one by now.
            if self._summary is None or time.monotonic() - self._looked >= self._seconds:
                self._summary = None  # an old look is no answer where a new one fails
                self._summary = summarise(self.log, self.bundle, self.settings)
                self._looked = time.monotonic()
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
        self._plain = (
            self._predictions, self._distinct, self._windows, self._low, self._labelled,
            self._accuracy,
        )  # fmt: skip
        self._tests: dict[str, set[str]] = {}  # names shown, of each version

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
        newest = {test.name: test for test in found.windows[-1].tests} if found.windows else {}
        for name in self._tests.setdefault(version, set()) - newest.keys():
            self._set_test(version, name, math.nan, math.nan, math.nan)
        for name, test in newest.items():
            self._set_test(version, name, test.drifted, test.adjusted, test.distance)
        self._tests[version] |= newest.keys()

    def forget(self, version: str) -> None:
        """NaN in all of one bundle: it is not known any more."""
        for gauge in self._plain:
            gauge.labels(version).set(math.nan)
        for name in self._tests.get(version, ()):
            self._set_test(version, name, math.nan, math.nan, math.nan)

    def _set_test(self, version: str, name: str, *values: float) -> None:
        for gauge, value in zip((self._drift, self._p, self._distance), values, strict=True):
            gauge.labels(version, name).set(value)
