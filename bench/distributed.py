"""The distributed engine: one validator beside the engine's own key-value store, and four that share this machine.

What is measured are whole nodes, as `tally network up` starts them: supervisor, core, engine and office each. The load
comes from all validators' organisations at once, each over the socket of its own core.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from bench.figures import AT_LEAST, LESS_THAN, figure, percentile, report, verifies_per_second
from bench.kvstore import TRANSACTION_BYTES, measure_kvstore
from bench.zones import Author, RunningZone, operation
from tallystick.codec import encode_json

BATCH = 500
IN_FLIGHT, REQUEST = 1_600, 25
BATCHES_IN_FLIGHT = 16
ONE_GOAL = 0.12
SINGLE_GOAL, BATCHED_GOAL = 2_000, 6_000
MEDIAN_GOAL_MS, P99_GOAL_MS = 400, 1_500
DISK_GOAL_BYTES, IDLE_GOAL, MEMORY_GOAL_MIB = 8_192, 0.10, 250
_TICK_SECONDS = 0.02


class Sizes:
    """How much is done: the sizes of the goals, or short ones for a look."""

    def __init__(self, *, short: bool) -> None:
        scale = 10 if short else 1
        self.kvstore = 60_000 // scale
        self.singles = 20_000 // scale
        self.batched = 60_000 // scale
        self.offered_seconds = 3 if short else 15
        self.offered_rounds = 1 if short else 3
        self.idle_seconds = 3 if short else 20
        self.rounds = 1 if short else 3


async def run(folder: Path, *, short: bool) -> None:
    """Measure one validator, then four."""
    sizes = Sizes(short=short)
    (folder / "one").mkdir()
    await one_validator(folder / "one", sizes)
    (folder / "four").mkdir()
    await four_validators(folder / "four", sizes)


async def one_validator(folder: Path, sizes: Sizes) -> None:
    """Measure a chain of one, in turns with the key-value store."""
    ceilings, rates = [], []
    zone = RunningZone(folder, validators=1)
    try:
        await zone.ready()
        for _ in range(sizes.rounds):
            ceilings.append(await measure_kvstore(folder, sizes.kvstore))
            rates.append((await throughput(zone, sizes.singles, 1))[0])
    finally:
        await zone.stop()
    figure(
        "one_validator",
        max(rates),
        "transactions/s",
        ceiling=max(ceilings),
        ceiling_name="the engine's own kvstore",
        goal=ONE_GOAL,
        rule=AT_LEAST,
        rounds=[round(rate) for rate in rates],
        operation_bytes=len(encode_json(operation())),
        kvstore_bytes=TRANSACTION_BYTES,
    )


async def throughput(zone: RunningZone, transactions: int, operations: int) -> tuple[float, dict[str, float]]:
    """Return the transactions a second that a zone takes, and microseconds of processor for each, by kind of process."""
    given = await zone.sign(transactions, operations)
    count = sum(map(len, given))
    before = zone.cpu_seconds()
    request, in_flight = (REQUEST, IN_FLIGHT) if operations == 1 else (1, BATCHES_IN_FLIGHT)
    seconds = await zone.submit_all(given, request=request, in_flight=in_flight)
    spent = zone.cpu_seconds()
    return count / seconds, {kind: (spent[kind] - before.get(kind, 0.0)) / count * 1e6 for kind in spent}


async def offered(zone: RunningZone, rate: float, seconds: float) -> list[float]:
    """Offer single operations at a rate; return how long each took until it was on disk where it was handed in, ms.

    What an author has to send at a time is one request, and its time ends with the last of it. One that a node cannot
    take is sent again, and its time goes on.
    """
    given = await zone.sign(int(rate * seconds), 1)
    times: list[float] = []

    async def send(author: Author, transactions: Sequence[bytes]) -> None:
        started = time.perf_counter()
        await author.submit_until_recorded(transactions)
        times.extend([(time.perf_counter() - started) * 1000] * len(transactions))

    queue = [(author, raw) for row in zip(*given, strict=True) for author, raw in zip(zone.authors, row, strict=True)]
    began = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []
    sent = 0
    while sent < len(queue):
        due = min(len(queue), int((time.perf_counter() - began) * rate) + 1)
        for author in zone.authors:
            of_author = [raw for each, raw in queue[sent:due] if each is author]
            if of_author:
                tasks.append(asyncio.create_task(send(author, of_author)))
        sent = due
        await asyncio.sleep(_TICK_SECONDS)
    await asyncio.gather(*tasks)
    return times


async def four_validators(folder: Path, sizes: Sizes) -> None:
    """Measure a zone of four: rates, delays, what it takes of processor, memory and disk."""
    zone = RunningZone(folder, validators=4)
    empty = zone.disk_bytes()
    count = 0
    try:
        await zone.ready()
        await idle(zone, sizes.idle_seconds)
        singles = [await throughput(zone, sizes.singles, 1) for _ in range(sizes.rounds)]
        count += sizes.rounds * sizes.singles
        single, cost = max(singles)[0], min((each[1] for each in singles), key=lambda cost: sum(cost.values()))
        figure(
            "four_single",
            single,
            "transactions/s",
            goal=SINGLE_GOAL,
            rule=AT_LEAST,
            rounds=[round(each[0]) for each in singles],
            cpu_us=cost,
            v=verifies_per_second(),
        )
        rate = min(single, SINGLE_GOAL) / 2
        found = [await offered(zone, rate, sizes.offered_seconds) for _ in range(sizes.offered_rounds)]
        count += sum(map(len, found))
        # Of one round: the one that the rest of the machine disturbed least.
        medians = [percentile(times, 0.5) for times in found]
        times = found[medians.index(min(medians))]
        worst = percentile(times, 0.99)
        figure(
            "four_commit_median",
            min(medians),
            "ms",
            goal=MEDIAN_GOAL_MS,
            rule=LESS_THAN,
            offered=rate,
            rounds=[round(each) for each in medians],
        )
        figure("four_commit_p99", worst, "ms", goal=P99_GOAL_MS, rule=LESS_THAN, offered=rate)
        memory(zone)
    finally:
        await zone.stop()
    disk = (zone.disk_bytes() - empty) / count
    figure("four_disk", disk, "bytes a transaction", goal=DISK_GOAL_BYTES, rule=LESS_THAN, kinds=zone.disk_by_kind())
    await batches(folder / "batches", sizes)


async def batches(folder: Path, sizes: Sizes) -> None:
    """Measure operations in transactions of 500, in a zone of their own: memory and disk above are of single ones."""
    folder.mkdir()
    zone = RunningZone(folder, validators=4)
    try:
        await zone.ready()
        found = [await throughput(zone, sizes.batched // BATCH, BATCH) for _ in range(sizes.rounds)]
    finally:
        await zone.stop()
    best = max(rate for rate, _ in found) * BATCH
    cost = min((each[1] for each in found), key=lambda cost: sum(cost.values()))
    figure(
        "four_batched",
        best,
        "operations/s",
        goal=BATCHED_GOAL,
        rule=AT_LEAST,
        rounds=[round(rate * BATCH) for rate, _ in found],
        cpu_us={kind: spent / BATCH for kind, spent in cost.items()},
    )


async def idle(zone: RunningZone, seconds: float) -> None:
    """Measure what a zone takes of one core while nothing happens."""
    # What starting and the first blocks left to do is done by then.
    await asyncio.sleep(seconds / 4)
    before = zone.cpu_seconds()
    await asyncio.sleep(seconds)
    spent = zone.cpu_seconds()
    kinds = {kind: (spent[kind] - before.get(kind, 0.0)) / seconds for kind in spent}
    figure("four_idle", sum(kinds.values()), "of one core", goal=IDLE_GOAL, rule=LESS_THAN, kinds=kinds)


def memory(zone: RunningZone) -> None:
    """Measure the memory of the largest validator: engine, and application, which is the core with its verifier.

    Office and supervisor, which every node has, are told beside it.
    """
    used = zone.memory_mib()
    largest = max(used.values(), key=lambda kinds: sum(kinds.values()))
    node = sum(value for kind, value in largest.items() if kind in ("cometbft", "core_main", "verifier_main"))
    figure("validator_memory", node, "MiB", goal=MEMORY_GOAL_MIB, rule=LESS_THAN, kinds=largest)
    report("zone_memory", sum(sum(kinds.values()) for kinds in used.values()), "MiB", nodes=len(used))
