"""A history of single-operation transactions: what it takes on disk, and how fast a replica checks and keeps it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from bench.figures import LESS_THAN, beside_v, bytes_on_disk, figure, rate_figure
from bench.nodes import RunningNode, now_ms
from tallystick.keys import Signer
from tallystick.modules import genesis_writes, rulebook
from tallystick.node.homes import Home
from tallystick.ordering import Replica, VerifierProcess
from tallystick.store import LedgerStore

IN_FLIGHT = 4_000
DISK_GOAL_BYTES, REPLAY_GOAL = 1_500, 0.4
_PUBLISH_SECONDS = 60


async def run(folder: Path, *, short: bool) -> None:
    """Make a history, measure its size, then replay it."""
    count, rounds = (4_000, 1) if short else (40_000, 3)
    node = RunningNode(folder)
    try:
        await node.ready()
        before = bytes_on_disk(node.home.ledger_path, node.home.log_path)
        await node.submit_all(await node.sign(count, 1), IN_FLIGHT)
        await _published(node, count)
    finally:
        await node.stop()
    after = bytes_on_disk(node.home.ledger_path, node.home.log_path)
    figure(
        "disk",
        (after - before) / count,
        "bytes an operation",
        goal=DISK_GOAL_BYTES,
        rule=LESS_THAN,
        operations=count,
        tiles=bytes_on_disk(node.home.log_path) / count,
    )
    system = node.keys.signer("system")
    found = []
    for number in range(rounds):
        copy = folder / f"copy-{number}.db"

        async def work(copy: Path = copy) -> float:
            return await replay(node.home, copy, system)

        found.append(await beside_v(work))
    rate_figure("replay", found, "transactions/s", goal=REPLAY_GOAL, transactions=count)


async def _published(node: RunningNode, size: int) -> None:
    """Wait until the tiles are as far as the history, for a minute at most."""
    checkpoint = node.home.log_path / "checkpoint"
    async with asyncio.timeout(_PUBLISH_SECONDS):
        while not checkpoint.exists() or int(checkpoint.read_text().split("\n")[1]) < size:
            await asyncio.sleep(0.05)


async def replay(source: Home, path: Path, system: Signer) -> float:
    """Return the transactions a second at which a new copy follows a history from its genesis."""
    origin = LedgerStore(source.ledger_path, rulebook(), read_only=True)
    records = genesis_writes(origin.genesis)
    LedgerStore.create(path, rulebook(), chain=origin.chain, genesis=origin.genesis, records=records)
    store = LedgerStore(path, rulebook())
    verifier = VerifierProcess()
    replica = Replica(
        store.load_state(),
        store,
        rulebook(),
        verifier,
        validators=lambda: {source.settings.node.organisation: system.public_key},
        clock_ms=now_ms,
        previous=store.last_header_hash(),
    )
    blocks = list(origin.blocks(1))
    count = sum(len(block.transactions) for block in blocks)
    started = time.perf_counter()
    for block in blocks:
        await replica.apply(block.header, block.signatures, block.transactions)
    seconds = time.perf_counter() - started
    await verifier.close()
    for each in (store, origin):
        each.close()
    path.unlink()
    return count / seconds
