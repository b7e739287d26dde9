"""Prometheus metrics of one service, in a registry of their own: several services of a process do not mix."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

import npresnet

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """What `GET /metrics` shows; a counter of images gets its outcome by `labels`."""

    def __init__(self, model: str):
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "npresnet_requests", "Requests answered, by route and status code", ["route", "code"], registry=registry
        )
        self.seconds = Histogram(
            "npresnet_request_seconds",
            "Time from a request's headers to the end of its answer",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.batches = Histogram("npresnet_batch_images", "Images computed together", buckets=IMAGES, registry=registry)
        self.queue = Gauge("npresnet_queue_images", "Images that wait or are being computed", registry=registry)
        self.working = Gauge("npresnet_requests_in_progress", "Requests in progress", registry=registry)
        self.connections = Gauge("npresnet_connections", "Connections that are open", registry=registry)
        self.images = Counter("npresnet_images", "Images, by outcome", ["outcome"], registry=registry)
        for outcome in ("answered", "failed"):
            self.images.labels(outcome)  # 0 from the start, so that rates can be taken
        info = Gauge("npresnet_info", "Always 1", ["version", "model"], registry=registry)
        info.labels(npresnet.__version__, model).set(1)

    def response(self) -> Response:
        """In Prometheus's text format."""
        return Response(generate_latest(self._registry), headers={"content-type": CONTENT_TYPE_LATEST})
