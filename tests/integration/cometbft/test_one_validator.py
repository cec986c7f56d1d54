"""One validator: what is recorded was decided, every header is signed and names the one before, an idle chain rests."""

import asyncio
from itertools import pairwise

import pytest

from tallystick.codec import sha256
from tallystick.errors import PeerError
from tallystick.proofs.headers import check_signatures, decode_signatures, header_hash, transactions_root
from tests.integration.cometbft.application import system_key
from tests.integration.cometbft.network import (
    CHAIN,
    GENESIS,
    MEMBERS,
    headers_of,
    ready,
    recorded,
    replay,
    sign,
    until,
)

pytestmark = pytest.mark.timeout(300)


async def test_what_is_recorded_is_what_was_decided_and_signed(make_network):
    """Blocks and app hashes agree: stored, signed by the validator, and replayed without any engine."""
    machine = make_network().machines[0]
    await ready(machine)
    sent = [sign(member, count, atomic=False) for member in MEMBERS for count in (1, 3)]
    async with machine.rpc() as rpc:
        assert [0] * len(sent) == [answer.code for answer in await rpc.send(sent)]
        store = await recorded(machine, sent)
        height = store.last_block().height
        # One more block, empty, is made behind the last; then the chain comes to rest.
        await until(lambda: _reached(rpc, height + 1), "the block behind the last one")
        resting = (await rpc.status()).height
        await asyncio.sleep(1.5)
        assert resting == (await rpc.status()).height
        for number in range(1, height + 1):
            assert store.find_block(number).transactions == await rpc.transactions(number)
    hashes = await replay(machine, resting)
    headers = headers_of(machine)
    assert {number: header.app_hash for number, header in headers.items()} == hashes
    assert {CHAIN} == {header.chain for header in headers.values()}
    assert sha256(GENESIS).hex() == headers[1].previous
    for before, after in pairwise(headers[number] for number in sorted(headers)):
        assert header_hash(before).hex() == after.previous
        assert before.time <= after.time
    key = {machine.organisation: system_key(machine.organisation).public_key}
    for number, header in headers.items():
        block = store.find_block(number)
        assert transactions_root(block.transactions).hex() == header.transactions_root
        assert (machine.organisation,) == check_signatures(header, decode_signatures(block.signatures), key)
    assert 16 == store.last_block().size
    store.close()


async def _reached(rpc, height):
    return (await rpc.status()).height >= height


async def test_engine_forgets_what_it_may_and_the_ledger_nothing(make_network):
    """Old blocks leave the engine's store once they need not be kept; the history is whole, and goes on."""
    machine = make_network().machines[0]
    await ready(machine)
    sent = []
    async with machine.rpc() as rpc:
        for member in MEMBERS * 4:
            sent.append(sign(member))
            await rpc.send(sent[-1:])
            (await recorded(machine, sent)).close()
        assert 1 == (await rpc.status()).first
    machine.stop()
    machine.retain = 4
    machine.start()
    await ready(machine)
    async with machine.rpc() as rpc:
        for member in MEMBERS * 2:
            sent.append(sign(member))
            await rpc.send(sent[-1:])
            (await recorded(machine, sent)).close()

        async def pruned():
            status = await rpc.status()
            return status.height - 8 < status.first

        await until(pruned, "the engine to forget")
        first = (await rpc.status()).first
        assert first > len(MEMBERS) * 4
        with pytest.raises(PeerError):
            await rpc.transactions(1)
        store = await recorded(machine, sent)
    assert len(sent) == store.last_block().size
    blocks = [store.find_block(number) for number in range(1, store.last_block().height + 1)]
    assert set(sent) == {raw for block in blocks for raw in block.transactions}
    store.close()
