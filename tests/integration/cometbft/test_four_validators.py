"""Four validators: one record on all of them, with one of them gone, and for a newcomer that comes by a snapshot."""

import asyncio

import pytest

from tallystick.proofs.headers import check_signatures, decode_header, decode_signatures
from tests.integration.cometbft.application import system_key
from tests.integration.cometbft.network import (
    MEMBERS,
    Network,
    headers_of,
    ready,
    recorded,
    replay,
    sign,
    until,
)

pytestmark = pytest.mark.timeout(600)


async def send(machine, transactions):
    """Offer transactions to one machine."""
    async with machine.rpc() as rpc:
        assert {0} == {answer.code for answer in await rpc.send(transactions)}


async def agree(machines):
    """Wait until all have the same block on disk, and return its height."""

    async def same():
        found = {machine.on_disk() for machine in machines}
        return found.pop() if len(found) == 1 else None

    return (await until(same, "the same block everywhere"))[0]


async def test_four_validators_keep_one_record(make_network):
    """Each takes transactions, all have the same app hash, one of four may be gone, and all make the same headers."""
    network = make_network(4)
    first, second, third, fourth = network.machines
    for machine in network.machines:
        await ready(machine)
    sent = []
    for machine, member in zip(network.machines, MEMBERS, strict=True):
        wave = [sign(member, 2) for _ in range(3)]
        await send(machine, wave)
        sent += wave
    for machine in network.machines:
        (await recorded(machine, sent)).close()

    fourth.kill("both")
    wave = [sign(MEMBERS[0], seen=_seen(first)) for _ in range(2)]
    await send(first, wave)
    for machine in (first, second, third):
        (await recorded(machine, wave)).close()
    fourth.start()
    await ready(fourth)
    (await recorded(fourth, sent + wave)).close()
    height = await agree(network.machines)

    hashes = await replay(first, height)
    copies = [headers_of(machine) for machine in network.machines]
    for number in range(1, height + 1):
        assert 1 == len({copy[number] for copy in copies})
        assert hashes[number] == copies[0][number].app_hash
    _assert_quorum_can_sign(network.machines, height)


def _assert_quorum_can_sign(machines, height):
    """The signatures that the four keep of one header each are good, and together those of all."""
    keys = {machine.organisation: system_key(machine.organisation).public_key for machine in machines}
    kept = []
    for machine in machines:
        store = machine.store()
        block = store.head_at(height)
        kept += decode_signatures(block.signatures)
        store.close()
    together = sorted(kept, key=lambda each: each.organisation)
    assert tuple(sorted(MEMBERS)) == check_signatures(decode_header(block.header), together, keys)


def _seen(machine):
    store = machine.store()
    last = store.last_block()
    store.close()
    return last.size, last.history_root


async def test_newcomer_starts_from_a_snapshot(tmp_path):
    """A machine with an empty ledger takes a snapshot, verified against the signed app hash, and follows from there."""
    network = Network(tmp_path / "net", snapshots=4)
    newcomer = None
    try:
        network.start()
        machine = network.machines[0]
        await ready(machine)
        sent = []
        while len(list((machine.home / "snapshots").glob("[0-9]*"))) < 2:
            sent.append(sign(MEMBERS[0], 5))
            await send(machine, sent[-1:])
            (await recorded(machine, sent)).close()
        async with machine.rpc() as rpc:
            trusted = (await rpc._one("commit", height="1"))["signed_header"]["commit"]["block_id"]["hash"]
        address = f"http://127.0.0.1:{machine.rpc_port}"
        newcomer = network.join(
            "newcomer",
            enable="true",
            rpc_servers=f'"{address},{address}"',
            trust_height="1",
            trust_hash=f'"{trusted}"',
            discovery_time='"5s"',
        )
        newcomer.start()
        later = [sign(MEMBERS[1]), sign(MEMBERS[2])]
        await send(machine, later)
        (await recorded(newcomer, later)).close()
        height = await agree([machine, newcomer])
        theirs, ours = headers_of(machine), headers_of(newcomer)
        assert {number: theirs[number] for number in ours} == ours
        store = newcomer.store()
        assert height > store.query("SELECT min(height) FROM blocks")[0][0] > 1
        assert store.find_transaction(b"") is None
        assert len(sent) * 5 + 2 == store.load_state().frontier.size
        store.close()
        await asyncio.to_thread(newcomer.stop)
        newcomer.start()
        await ready(newcomer)
    finally:
        if newcomer is not None:
            newcomer.stop()
        network.stop()
