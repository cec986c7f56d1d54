"""Numbers about this node, in the text format of Prometheus.

What this process does itself it counts as it goes; the rest is asked of the core, the supervisor and the disk when
somebody asks for it, so that nothing is measured for nobody. `METRICS` lists all of it, for the reference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tallystick.api.services import ApiServices
from tallystick.errors import NodeError
from tallystick.views import CoreStatus, DiskUse, Distribution, Measured, ProcessHealth, Standing

T = TypeVar("T")
METRICS_MEDIA = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_SECONDS = 3.0

METRICS = {
    "tallystick_api_requests_total": "Requests answered, by route, method and status.",
    "tallystick_api_seconds": "Time to answer, by route.",
    "tallystick_core_up": "1 if the core answers.",
    "tallystick_alarm": "1 if the orderer is not trusted any more.",
    "tallystick_suspicion": "1 if a fork proof is kept that raises no alarm.",
    "tallystick_height": "Last block.",
    "tallystick_sealed_height": "Last block that enough of those who order have signed.",
    "tallystick_history_size": "Operations on the history.",
    "tallystick_witnessed_size": "Operations that enough members witnessed.",
    "tallystick_lag_blocks": "Blocks that the zone is ahead.",
    "tallystick_waiting_transactions": "Transactions that wait for a block at this node.",
    "tallystick_queue_transactions": "The same, by organisation.",
    "tallystick_misbehaviour": "Misbehaviour of validators that is on record, by organisation and kind.",
    "tallystick_members": "Other members' nodes that are known of.",
    "tallystick_members_reachable": "Those of them that could be reached at the last try.",
    "tallystick_engine_up": "1 if the distributed engine answers.",
    "tallystick_engine_in_trouble": "1 if no block can be made, or is: `/readyz` says why.",
    "tallystick_engine_catching_up": "1 while the engine fetches blocks.",
    "tallystick_engine_peers": "Engines that are connected.",
    "tallystick_engine_validators": "Organisations that order.",
    "tallystick_engine_validators_reachable": "Those of them whose engines are connected, this one included.",
    "tallystick_mempool_bundles": "Bundles of transactions in the engine's mempool.",
    "tallystick_mempool_bytes": "Their bytes.",
    "tallystick_apply_seconds": "Time to execute a block.",
    "tallystick_commit_seconds": "Time to write a block to disk.",
    "tallystick_block_interval_seconds": "Time between two blocks, as the blocks say.",
    "tallystick_block_bytes": "Bytes of a block's transactions.",
    "tallystick_block_operations": "Operations of a block.",
    "tallystick_verification_failures_total": "What came from others and was refused, by what it was and why.",
    "tallystick_process_restarts_total": "Starts after the first, by process.",
    "tallystick_disk_bytes": "What the home takes of its disk, by part.",
    "tallystick_disk_free_bytes": "What is left on the disk.",
}


class Metrics:
    """The metrics of one application; a registry of its own, so that two in one process do not collide."""

    def __init__(self, services: ApiServices) -> None:
        self._services = services
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "tallystick_api_requests",
            METRICS["tallystick_api_requests_total"],
            ("route", "method", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "tallystick_api_seconds",
            METRICS["tallystick_api_seconds"],
            ("route",),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._asked = _Asked()
        registry.register(self._asked)

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
        services = self._services
        status, measured, disk = await asyncio.gather(
            _unless_silent(services.status()),
            _unless_silent(services.measured()) if services.measured else _nothing(),
            _unless_silent(services.disk()) if services.disk else _nothing(),
        )
        families: list[Metric] = [_gauge("lag_blocks", services.lag()), _gauge("core_up", status is not None)]
        families += _of_status(status) if status is not None else ()
        families += _of_measured(measured) if measured is not None else ()
        families += _of_disk(disk) if disk is not None else ()
        families += _of_standing(services.standing())
        families += [_of_processes(services.processes())]
        self._asked.families = families
        return generate_latest(self._registry)


class _Asked(Collector):
    """What was asked for last; the registry collects at once after it."""

    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterator[Metric]:
        """Yield it."""
        yield from self.families


async def _unless_silent(asked: Awaitable[T]) -> T | None:
    try:
        return await asyncio.wait_for(asked, _SECONDS)
    except (NodeError, TimeoutError):
        return None


async def _nothing() -> None:
    return None


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    full = f"tallystick_{name}"
    return GaugeMetricFamily(full, METRICS[full], value=float(value))


def _of_status(status: CoreStatus) -> list[Metric]:
    queues = GaugeMetricFamily(
        "tallystick_queue_transactions", METRICS["tallystick_queue_transactions"], labels=["organisation"]
    )
    for organisation, count in sorted(status.queues.items()):
        queues.add_metric([organisation], count)
    misbehaviour = GaugeMetricFamily(
        "tallystick_misbehaviour", METRICS["tallystick_misbehaviour"], labels=["organisation", "kind"]
    )
    kinds = [(each.organisation, each.kind) for each in status.misbehaviour]
    for kind in sorted(set(kinds)):
        misbehaviour.add_metric(list(kind), kinds.count(kind))
    families = [
        _gauge("height", status.height),
        _gauge("sealed_height", status.sealed),
        _gauge("history_size", status.size),
        _gauge("witnessed_size", status.witnessed),
        _gauge("waiting_transactions", status.waiting),
        _gauge("alarm", status.alarm is not None),
        _gauge("suspicion", status.suspicion is not None),
        queues,
        misbehaviour,
    ]
    engine = status.engine
    if engine is not None:
        families += [
            _gauge("engine_up", engine.answers),
            _gauge("engine_in_trouble", bool(engine.trouble)),
            _gauge("engine_catching_up", engine.catching_up),
            _gauge("engine_peers", len(engine.peers)),
            _gauge("engine_validators", engine.validators),
            _gauge("engine_validators_reachable", engine.reachable),
            _gauge("mempool_bundles", engine.mempool),
            _gauge("mempool_bytes", engine.mempool_bytes),
        ]
    return list(families)


def _of_measured(measured: Measured) -> list[Metric]:
    failures = CounterMetricFamily(
        "tallystick_verification_failures",
        METRICS["tallystick_verification_failures_total"],
        labels=["what", "reason"],
    )
    for each in measured.failures:
        failures.add_metric([each.what, each.reason], each.count)
    return [*(_histogram(name, each) for name, each in measured.distributions.items()), failures]


def _histogram(name: str, values: Distribution) -> HistogramMetricFamily:
    """Return a distribution as Prometheus wants it: each bucket holds those before it too."""
    sums: list[tuple[str, float]] = []
    below = 0
    for bound, count in zip((*map(str, values.bounds), "+Inf"), values.counts, strict=True):
        below += count
        sums.append((bound, below))
    full = f"tallystick_{name}"
    family = HistogramMetricFamily(full, METRICS[full])
    family.add_metric([], sums, values.total)
    return family


def _of_disk(disk: DiskUse) -> list[Metric]:
    parts = GaugeMetricFamily("tallystick_disk_bytes", METRICS["tallystick_disk_bytes"], labels=["part"])
    for part in ("ledger", "log", "engine", "office", "data"):
        parts.add_metric([part], getattr(disk, part))
    return [parts, _gauge("disk_free_bytes", disk.free)]


def _of_standing(standing: Standing) -> list[Metric]:
    reachable = sum(not node.trouble for node in standing.nodes)
    return [_gauge("members", len(standing.nodes)), _gauge("members_reachable", reachable)]


def _of_processes(processes: Mapping[str, ProcessHealth]) -> Metric:
    family = CounterMetricFamily(
        "tallystick_process_restarts", METRICS["tallystick_process_restarts_total"], labels=["process"]
    )
    for name, process in processes.items():
        family.add_metric([name], process.restarts)
    return family
