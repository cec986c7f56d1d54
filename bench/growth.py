"""What a commit costs as validators grow: 1, 4, 7 and 10 of them on this machine, a row each."""

from __future__ import annotations

import time
from pathlib import Path

from bench.distributed import offered, throughput
from bench.figures import percentile, report
from bench.zones import RunningZone

VALIDATORS = (1, 4, 7, 10)
LIGHT_RATE = 20


async def run(folder: Path, *, short: bool) -> None:
    """Measure each number: a light load for the delay, and as much as it takes for the rate."""
    transactions, seconds = (500, 3) if short else (6_000, 10)
    for number in VALIDATORS:
        place = folder / f"of-{number}"
        place.mkdir()
        zone = RunningZone(place, validators=number)
        empty = zone.disk_bytes()
        try:
            started = await zone.ready()
            times = await offered(zone, LIGHT_RATE, seconds)
            before = time.perf_counter()
            rate, cost = await throughput(zone, transactions, 1)
            row = {
                "validators": number,
                "median_ms": percentile(times, 0.5),
                "p99_ms": percentile(times, 0.99),
                "cpu_us": sum(cost.values()),
                "cpu_us_a_validator": sum(cost.values()) / number,
                "memory_mib": sum(sum(kinds.values()) for kinds in zone.memory_mib().values()) / number,
                "seconds_to_start": started,
                "seconds_measured": time.perf_counter() - before,
            }
        finally:
            await zone.stop()
        disk = (zone.disk_bytes() - empty) / (transactions + len(times))
        report("growth", rate, "transactions/s", **row, disk_bytes=disk)
