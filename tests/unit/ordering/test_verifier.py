"""The process that checks signatures: many batches under way, each answered as it was asked."""

import asyncio
from pathlib import Path

import pytest

from tallystick.machine import decode_transaction
from tallystick.node.engine import find_verifier
from tallystick.ordering import VerifierProcess
from tests.support.components import require
from tests.support.toy import PutNote


@pytest.fixture(params=["slow", "fast"])
def program(request):
    """Either program that checks signatures: by default one asks the slow one."""
    if request.param == "slow":
        return None
    require("cometbft")
    return find_verifier()


def _transactions(bench, count, text="hello"):
    made = [bench.toy.sign("bank", PutNote(key=f"k{number}", text=text)) for number in range(count)]
    return [decode_transaction(raw, bench.toy.state.genesis_hash) for raw in made]


def _forged(transaction):
    return transaction._replace(signature=bytes((transaction.signature[0] ^ 1,)) + transaction.signature[1:])


async def test_batches_under_way_are_answered_each_as_it_was_asked(bench, program):
    """Several batches of different sizes go out before the first answer; each gets its own verdicts, in order."""
    verifier = VerifierProcess(program)
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


async def test_more_than_the_pipe_holds_is_checked(bench, program):
    """Batches far larger than what the other process has room for go through, part by part."""
    verifier = VerifierProcess(program)
    batch = _transactions(bench, 40) * 150
    batch[-1] = _forged(batch[-1])
    try:
        found = await asyncio.gather(verifier.check(batch), verifier.check(batch[:3]))
    finally:
        await verifier.close()
    assert [[True] * 5_999 + [False], [True] * 3] == found


async def test_killed_under_way_is_asked_again(bench, program):
    """When the process dies with answers outstanding, a new one gives all of them."""
    verifier = VerifierProcess(program)
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


@pytest.mark.parametrize("command", ["/bin/false", "/bin/true", "/nowhere/verifier", "/etc/passwd"])
async def test_fast_program_that_does_not_work_is_done_without(bench, command):
    """One that ends at once, is not there or is no program: the slow one answers, and goes on answering."""
    verifier = VerifierProcess(Path(command))
    good, other = _transactions(bench, 2)
    try:
        for _ in range(2):
            assert [True, False] == await asyncio.wait_for(verifier.check([good, _forged(other)]), 30)
            assert verifier.pid is not None
    finally:
        await verifier.close()
