"""kill -9 of application, engine and both, at chosen and at random moments: nothing recorded is lost, nothing forks."""

import asyncio
import random

import pytest

from tallystick.store import LedgerStore
from tests.integration.cometbft.network import (
    MEMBERS,
    headers_of,
    now_ms,
    ready,
    recorded,
    replay,
    rulebook,
    sign,
    until,
)

pytestmark = pytest.mark.timeout(600)


async def record(machine, transactions):
    """Offer transactions again and again until they are in the ledger, as a client does whose node may die."""

    async def offered():
        async with machine.rpc() as rpc:
            return all(answer.code == 0 or answer.log.endswith("accepted") for answer in await rpc.send(transactions))

    await until(offered, "the engine to take transactions")
    return await recorded(machine, transactions)


async def check(machine, transactions):
    """Check a whole ledger: each transaction once, roots as recomputed, every block as replayed without an engine."""
    store = LedgerStore(machine.home / "ledger.db", rulebook(), read_only=True)
    state = store.load_state()
    assert len(transactions) == state.frontier.size == len(store.query("SELECT * FROM operations"))
    last = store.query("SELECT max(height) FROM transactions")[0][0]
    hashes = await replay(machine, last)
    headers = headers_of(machine)
    assert hashes == {height: headers[height].app_hash for height in range(1, last + 1)}
    store.close()


async def _is_behind(rpc, height):
    return (await rpc.status()).height > height


@pytest.mark.parametrize("point", ["finalize", "before-commit", "after-commit"])
async def test_application_dies_at_each_point_of_a_block(make_network, point):
    """Whether the block is on disk or not, the next start goes on from it, and the block is there once."""
    machine = make_network().machines[0]
    await ready(machine)
    first = sign(MEMBERS[0])
    store = await record(machine, [first])
    height = store.query("SELECT max(height) FROM transactions")[0][0]
    store.close()
    async with machine.rpc() as rpc:
        await until(lambda: _is_behind(rpc, height), "the empty block behind the first")
    machine.stop()
    # The next block with a transaction is the one behind it.
    machine.start(crash=f"{point}:{height + 2}")
    await ready(machine)
    second = sign(MEMBERS[1])
    async with machine.rpc() as rpc:
        await rpc.send([second])
    await asyncio.to_thread(machine.application.wait, 60)
    # An engine whose application died ends by itself, and says that all is well.
    assert 0 == await asyncio.to_thread(machine.engine.wait, 60)
    reached, size, _ = machine.on_disk()
    assert ((height + 2, 2) if point == "after-commit" else (height + 1, 1)) == (reached, size)
    machine.stop()
    machine.start()
    await ready(machine)
    (await recorded(machine, [second])).close()
    await check(machine, [first, second])


async def test_kills_at_random_moments_under_load(make_network):
    """Whatever is killed and when, every transaction is recorded once and every app hash is that of a replay."""
    chance = random.Random(7)
    machine = make_network().machines[0]
    sent = []
    for victim in ("application", "engine", "both", "application", "engine", "both"):
        await ready(machine)
        wave = [sign(chance.choice(MEMBERS), expires=now_ms() + 900_000) for _ in range(20)]
        sent += wave
        async with machine.rpc() as rpc:
            for position in range(0, len(wave), 5):
                await rpc.send(wave[position : position + 5])
                await asyncio.sleep(chance.random() * 0.1)
        await asyncio.sleep(chance.random() * 0.3)
        machine.kill(victim)
        machine.start()
    await ready(machine)
    (await record(machine, sent)).close()
    await check(machine, sent)
