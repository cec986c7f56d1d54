"""Numbers about this node, in the text format of Prometheus."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tallystick.api.services import ApiServices
from tallystick.errors import NodeError

METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of one application; a registry of its own, so that two in one process do not collide."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "tallystick_api_requests", "Requests answered", ("route", "method", "status"), registry=registry
        )
        self._seconds = Histogram(
            "tallystick_api_seconds", "Time to answer", ("route",), buckets=_BUCKETS, registry=registry
        )
        self._height = Gauge("tallystick_height", "Last block", registry=registry)
        self._size = Gauge("tallystick_history_size", "Operations on the history", registry=registry)
        self._witnessed = Gauge(
            "tallystick_witnessed_size", "Operations that enough members witnessed", registry=registry
        )
        self._waiting = Gauge(
            "tallystick_waiting_transactions", "Transactions that wait for a block", registry=registry
        )
        self._lag = Gauge("tallystick_lag_blocks", "Blocks that the zone is ahead", registry=registry)
        self._alarm = Gauge("tallystick_alarm", "1 if the orderer is not trusted any more", registry=registry)
        self._core = Gauge("tallystick_core_up", "1 if the core answers", registry=registry)

    def count(self, pattern: str, method: str, status: int, seconds: float) -> None:
        """Count one request.

        Args:
            pattern: of its route, never its path: paths come from outside.
            method: of HTTP.
            status: of the answer.
            seconds: until it was answered.
        """
        known = method if method in ("GET", "POST", "PATCH", "DELETE") else "other"
        self._requests.labels(pattern, known, str(status)).inc()
        self._seconds.labels(pattern).observe(seconds)

    async def render(self) -> bytes:
        """Return all of it as text."""
        self._lag.set(self._services.lag())
        try:
            status = await asyncio.wait_for(self._services.status(), 3.0)
        except (NodeError, TimeoutError):
            self._core.set(0)
        else:
            self._core.set(1)
            self._height.set(status.height)
            self._size.set(status.size)
            self._witnessed.set(status.witnessed)
            self._waiting.set(status.waiting)
            self._alarm.set(status.alarm is not None)
        return generate_latest(self._registry)
