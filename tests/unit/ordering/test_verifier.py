"""The process that checks signatures: many batches under way, each answered as it was asked."""

import asyncio

from tallystick.machine import decode_transaction
from tallystick.ordering import VerifierProcess
from tests.support.toy import PutNote


def _transactions(bench, count, text="hello"):
    made = [bench.toy.sign("bank", PutNote(key=f"k{number}", text=text)) for number in range(count)]
    return [decode_transaction(raw, bench.toy.state.genesis_hash) for raw in made]


def _forged(transaction):
    return transaction._replace(signature=bytes((transaction.signature[0] ^ 1,)) + transaction.signature[1:])


async def test_batches_under_way_are_answered_each_as_it_was_asked(bench):
    """Several batches of different sizes go out before the first answer; each gets its own verdicts, in order."""
    verifier = VerifierProcess()
    good = _transactions(bench, 60)
    batches = [
        [item if number % (size + 1) else _forged(item) for number, item in enumerate(good[:size])]
        for size in (1, 7, 60, 2)
    ]
    try:
        found = await asyncio.gather(*(verifier.check(batch) for batch in batches))
    finally:
        await verifier.close()
    assert [[bool(number % (len(batch) + 1)) for number in range(len(batch))] for batch in batches] == found


async def test_no_transactions_are_answered_at_once(bench):
    """An empty block has nothing to check, and nobody waits for it."""
    verifier = VerifierProcess()
    assert [] == await asyncio.wait_for(verifier.check([]), 5)
    assert None is verifier.pid


async def test_more_than_the_pipe_holds_is_checked(bench):
    """Batches far larger than what the other process has room for go through, part by part."""
    verifier = VerifierProcess()
    batch = _transactions(bench, 40) * 150
    batch[-1] = _forged(batch[-1])
    try:
        found = await asyncio.gather(verifier.check(batch), verifier.check(batch[:3]))
    finally:
        await verifier.close()
    assert [[True] * 5_999 + [False], [True] * 3] == found


async def test_killed_under_way_is_asked_again(bench):
    """When the process dies with answers outstanding, a new one gives all of them."""
    verifier = VerifierProcess()
    batch = _transactions(bench, 40) * 20
    try:
        asked = [asyncio.create_task(verifier.check(batch)) for _ in range(3)]
        await asyncio.sleep(0)
        first = verifier.pid
        verifier._child.process.kill()
        assert [[True] * len(batch)] * 3 == await asyncio.gather(*asked)
        assert first != verifier.pid
    finally:
        await verifier.close()
