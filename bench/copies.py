"""Four validators and many replicas, each with a full verified copy: how far behind the slowest ever was, and the cost.

Every replica is a whole node. How far it is comes as news over its core's socket, so that watching costs it next to
nothing. A block is late by the time between its being on disk at the first validator and at the replica.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.distributed import offered
from bench.figures import LESS_THAN, figure, percentile, report
from bench.zones import RunningZone
from tallystick.errors import PeerError
from tallystick.node.homes import Home
from tallystick.ordering.link import LinkClient

VALIDATORS = 4
COUNTS = (1, 10, 50)
# With the four validators a hundred organisations, which is what a genesis may hold.
PILOT_REPLICAS, PILOT_OPERATIONS, RATE = 96, 10_000, 100
REPLICA_GOAL_MIB = 120
_CATCH_UP_SECONDS = 600
_LOOK_SECONDS = 5.0


class Watched:
    """One node's copy, as its core tells of it.

    Attributes:
        home: the node's.
        seen: (time, size) whenever the copy was known to have grown.
    """

    def __init__(self, home: Home) -> None:
        """Prepare; `start` connects."""
        self.home = home
        self.seen: list[tuple[float, int]] = []
        self.client = LinkClient(home.socket_path, self._hear)
        self._connected: asyncio.Task[None] | None = None

    def _hear(self, kind: str, body: Any) -> None:
        if kind == "block":
            self._grew(body["size"])

    def _grew(self, size: int) -> None:
        if not self.seen or size > self.seen[-1][1]:
            self.seen.append((time.perf_counter(), size))

    async def start(self) -> None:
        """Connect, waiting for the core where it has not started, and again whenever it was started anew."""
        async with asyncio.timeout(_CATCH_UP_SECONDS):
            while not await self._look():
                await asyncio.sleep(0.5)
        self._connected = asyncio.create_task(self._stay_connected())

    async def _stay_connected(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> bool:
        """Tell whether the core answers; what it made while nobody listened is seen now."""
        try:
            self._grew((await self.client.ask("status"))["size"])
        except PeerError:
            return False
        return True

    async def reach(self, size: int) -> None:
        """Wait until the copy is as long as this."""
        async with asyncio.timeout(_CATCH_UP_SECONDS):
            while not self.seen or self.seen[-1][1] < size:
                await asyncio.sleep(0.1)

    async def stop(self) -> None:
        """Disconnect."""
        if self._connected is not None:
            self._connected.cancel()
        await self.client.close()

    def reached(self, size: int) -> float:
        """Return when the copy was known to be as long as this."""
        return self.seen[bisect_left(self.seen, size, key=itemgetter(1))][0]

    def size_at(self, moment: float) -> int:
        """Return how long the copy was at a moment, 0 before it was first seen."""
        before = bisect_right(self.seen, moment, key=itemgetter(0))
        return self.seen[before - 1][1] if before else 0


def lateness(first: list[tuple[float, int]], copy: Watched) -> float:
    """Return by how many seconds the latest block was late at a copy."""
    return max((copy.reached(size) - at for at, size in first), default=0.0)


async def measure(folder: Path, *, replicas: int, operations: int, rate: float) -> dict[str, Any]:
    """Run a zone with so many replicas under a load, and return a row about it."""
    folder.mkdir()
    zone = RunningZone(folder, validators=VALIDATORS, replicas=replicas)
    watched = [Watched(home) for home in zone.homes]
    validators, copies = watched[:VALIDATORS], watched[VALIDATORS:]
    try:
        started = await zone.ready()
        await asyncio.gather(*(each.start() for each in watched))
        size = max(each.seen[-1][1] for each in validators)
        for each in copies:
            await each.reach(size)
        quiet = await _spent(zone, copies, partial(asyncio.sleep, 10.0))
        began = time.perf_counter()
        times: list[float] = []

        async def load() -> None:
            times.extend(await offered(zone, rate, operations / rate))

        busy = await _spent(zone, copies, load)
        seconds = time.perf_counter() - began
        final = max(each.seen[-1][1] for each in validators)
        await asyncio.gather(*(each.reach(final) for each in copies))
        ends = time.perf_counter()
        first = _first(validators, size, began)
        lates = sorted(lateness(first, each) for each in copies)
        memory = zone.memory_mib()
        names = {each.home.settings.node.organisation for each in copies}
        each_mib = [sum(kinds.values()) for name, kinds in memory.items() if name in names]
        kinds = {kind: sum(memory[name].get(kind, 0.0) for name in names) / replicas for kind in memory[min(names)]}
        return {
            "replicas": replicas,
            "operations": len(times),
            "sent_again": zone.sent_again,
            "offered": rate,
            "recorded_a_second": len(times) / seconds,
            "commit_median_ms": percentile(times, 0.5),
            "commit_p99_ms": percentile(times, 0.99),
            "slowest_late_s": lates[-1],
            "median_late_s": lates[len(lates) // 2],
            "slowest_behind_operations": _behind(first, copies),
            "caught_up_after_s": ends - began - seconds,
            "replica_mib": max(each_mib),
            "replica_mib_by_kind": kinds,
            "idle_cpu_a_replica": quiet,
            "cpu_a_replica": busy,
            "seconds_to_start": started,
        }
    finally:
        for each in watched:
            await each.stop()
        await zone.stop()


def _first(validators: list[Watched], size: int, began: float) -> list[tuple[float, int]]:
    """Return when each length of the history was first on disk at any validator, from a moment on."""
    firsts: dict[int, float] = {}
    for at, reached in (item for each in validators for item in each.seen):
        if at >= began and reached > size:
            firsts[reached] = min(at, firsts.get(reached, at))
    return sorted((at, reached) for reached, at in firsts.items())


def _behind(first: list[tuple[float, int]], copies: list[Watched]) -> int:
    """Return by how many operations any copy was behind the first validator, just before it had the next block."""
    most = 0
    for (_, size), (moment, _) in pairwise(first):
        most = max(most, size - min(each.size_at(moment) for each in copies))
    return most


async def _spent(zone: RunningZone, copies: list[Watched], work: Callable[[], Any]) -> dict[str, float]:
    """Return the share of one core that a replica's processes took, on average, while something was done."""
    names = {each.home.settings.node.organisation for each in copies}
    before, began = zone.cpu_seconds(names), time.perf_counter()
    await work()
    seconds = time.perf_counter() - began
    after = zone.cpu_seconds(names)
    return {kind: (after[kind] - before.get(kind, 0.0)) / seconds / len(copies) for kind in after}


async def run(folder: Path, *, short: bool) -> None:
    """Measure 1, 10 and 50 replicas."""
    for replicas in (1, 3) if short else COUNTS:
        row = await measure(
            folder / f"with-{replicas}", replicas=replicas, operations=300 if short else 2_000, rate=RATE
        )
        if replicas == 1:
            figure("replica_memory", row["replica_mib"], "MiB", goal=REPLICA_GOAL_MIB, rule=LESS_THAN)
        report("copies", row.pop("slowest_late_s"), "s behind at most", **row)


async def run_pilot(folder: Path, *, short: bool) -> None:
    """Measure the pilot: a hundred organisations on this machine, each with a copy, and 10,000 operations at 100 a second."""
    replicas, operations = (5, 500) if short else (PILOT_REPLICAS, PILOT_OPERATIONS)
    row = await measure(folder / "pilot", replicas=replicas, operations=operations, rate=RATE)
    report("pilot", row.pop("slowest_late_s"), "s behind at most", **row)
