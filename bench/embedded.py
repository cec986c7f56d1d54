"""The embedded zone: one submitting process with many in flight, at 200,000 and at 1,000,000 records.

Figures: single-operation transactions, operations in transactions of 500, a lone client, a restart, memory.
"""

from __future__ import annotations

import time
from pathlib import Path

from bench.figures import AT_LEAST, LESS_THAN, Round, beside_v, best_of, figure, percentile, rate_figure
from bench.nodes import BATCH, RunningNode

IN_FLIGHT = 4_000
BATCHES_IN_FLIGHT = 16
SINGLE_GOAL, BATCHED_GOAL, LARGE_GOAL = 0.35, 0.8, 0.7
LONE_GOAL_MS, RESTART_GOAL_S, MEMORY_GOAL_MIB = 5.0, 2.0, 600


class Sizes:
    """How much is done: the sizes of the goals, or short ones for a look."""

    def __init__(self, *, short: bool) -> None:
        scale = 10 if short else 1
        self.restart = 100_000 // scale
        self.small = 200_000 // scale
        self.large = 1_000_000 // scale
        self.singles = 20_000 // scale
        self.batched = 50_000 // scale
        self.lone = 500 // scale
        self.rounds = 1 if short else 4


async def single(node: RunningNode, count: int, rounds: int) -> list[Round]:
    """Measure transactions of one operation."""
    found = []
    for _ in range(rounds):
        transactions = await node.sign(count, 1)

        async def work(transactions: list[bytes] = transactions) -> float:
            return count / await node.submit_all(transactions, IN_FLIGHT)

        found.append(await beside_v(work))
    return found


async def batched(node: RunningNode, operations: int, rounds: int) -> list[Round]:
    """Measure operations in transactions of 500."""
    found = []
    for _ in range(rounds):
        transactions = await node.sign(operations // BATCH, BATCH)

        async def work(transactions: list[bytes] = transactions) -> float:
            return operations / await node.submit_all(transactions, BATCHES_IN_FLIGHT)

        found.append(await beside_v(work))
    return found


async def lone_client(node: RunningNode, count: int) -> None:
    """Measure the time from handing in to being on disk for one client with one transaction at a time."""
    times = []
    for transaction in await node.sign(count, 1):
        started = time.perf_counter()
        await node.submit_all([transaction], 1)
        times.append((time.perf_counter() - started) * 1000)
    median, worst = percentile(times, 0.5), percentile(times, 0.99)
    figure("lone_client", median, "ms", goal=LONE_GOAL_MS, rule=LESS_THAN, p99=worst)


async def run(folder: Path, *, short: bool) -> None:
    """Measure an embedded zone as it grows."""
    sizes = Sizes(short=short)
    node = RunningNode(folder)
    try:
        await node.ready()
        await lone_client(node, sizes.lone)
        await node.fill(sizes.restart)
        seconds = min([await node.restart() for _ in range(sizes.rounds)])
        figure("restart", seconds, "s", goal=RESTART_GOAL_S, rule=LESS_THAN, operations=sizes.restart)
        shares = await _throughput(node, sizes.small, sizes)
        await _throughput(node, sizes.large, sizes, shares)
        await node.start_office()
        core, office = node.memory_mib()
        figure(
            "memory",
            core + office,
            "MiB",
            goal=MEMORY_GOAL_MIB,
            rule=LESS_THAN,
            records=sizes.large,
            core=core,
            office=office,
        )
    finally:
        await node.stop()


async def _throughput(
    node: RunningNode, records: int, sizes: Sizes, before: dict[str, float] | None = None
) -> dict[str, float]:
    """Measure both kinds at a number of records; return their best shares of V."""
    await node.fill(records)
    singles = await single(node, sizes.singles, sizes.rounds)
    batches = await batched(node, sizes.batched, sizes.rounds)
    shares = {"single": best_of(singles).share, "batched": best_of(batches).share}
    if before is None:
        rate_figure("embedded_single", singles, "transactions/s", goal=SINGLE_GOAL, records=records)
        rate_figure("embedded_batched", batches, "operations/s", goal=BATCHED_GOAL, records=records)
        return shares
    for kind, share in shares.items():
        figure(
            f"embedded_{kind}_large",
            share,
            "of V",
            ceiling=before[kind],
            ceiling_name=f"the same at {sizes.small} records",
            goal=LARGE_GOAL,
            rule=AT_LEAST,
            records=records,
        )
    return shares
