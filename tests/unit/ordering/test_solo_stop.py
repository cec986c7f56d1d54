"""Stopping the embedded engine, at the very moment when there is work for it."""

from __future__ import annotations

import asyncio


async def test_stop_together_with_checked_transactions(bench):
    """A stop that comes in the same turn of the loop as news of checked transactions still ends the engine."""
    engine = bench.solo()
    engine._make_block([])  # from the first block on the engine waits with a deadline, for its heartbeat
    engine.start()
    for _ in range(5):
        await asyncio.sleep(0)
    engine._intake.ready.set()
    await asyncio.sleep(0)
    stopping = asyncio.ensure_future(engine.stop())
    done, _ = await asyncio.wait([stopping], timeout=10)
    assert {stopping} == done
