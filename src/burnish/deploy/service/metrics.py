"""Counters and times for Prometheus, right for one process and for several.

prometheus_client decides when it is first imported whether several processes share the numbers,
in files under ``PROMETHEUS_MULTIPROC_DIR``: import it nowhere at module level.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from burnish.deploy.bundle import Bundle
from burnish.deploy.extras import needed

SHARED = "PROMETHEUS_MULTIPROC_DIR"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """What one process counts.

    Others add theirs: ``client.Counter(..., registry=metrics.registry)``, a gauge with
    ``multiprocess_mode``.
    """

    def __init__(self) -> None:
        self.client: Any = needed("prometheus_client", "serve")
        self.registry = self.client.CollectorRegistry()
        make, registry = self.client, self.registry
        self.requests = make.Counter(
            "burnish_requests", "Requests by route and status", ["route", "status"],
            registry=registry,
        )  # fmt: skip
        self.seconds = make.Histogram(
            "burnish_request_seconds", "From the request's first byte to its answer", ["route"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.predictions = make.Counter(
            "burnish_predictions", "Inputs answered or refused", ["version", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.batches = make.Histogram(
            "burnish_batch_size", "Inputs computed together", ["version"],
            buckets=SIZES, registry=registry,
        )  # fmt: skip
        self.waiting = make.Gauge(
            "burnish_waiting", "Inputs in the queue", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip

    def batch_of(self, bundle: Bundle) -> Callable[[int], None]:
        """The function that takes the sizes of a bundle's batches."""
        observe: Callable[[int], None] = self.batches.labels(bundle.version).observe
        return observe

    def all_workers(self) -> Any:
        """A registry with the sums of every worker."""
        if SHARED not in os.environ:
            return self.registry
        registry = self.client.CollectorRegistry()
        needed("prometheus_client.multiprocess", "serve").MultiProcessCollector(registry)
        return registry

    def text(self) -> tuple[bytes, str]:
        """All of it in Prometheus' format, of every worker, and its media type."""
        text: bytes = self.client.generate_latest(self.all_workers())
        return text, str(self.client.CONTENT_TYPE_LATEST)
