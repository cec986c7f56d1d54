"""The embedded engine: what is acknowledged is on disk, and what is refused is refused by name."""

import asyncio

import pytest
from nacl.signing import SigningKey

from tallystick.errors import PeerError, QueueFullError, RejectedError, StorageError
from tallystick.machine import Parameters
from tallystick.ordering import VerifierProcess
from tallystick.ordering.fairness import Share
from tests.support.toy import PutNote


def note(key, text="hello"):
    return PutNote(key=key, text=text)


async def test_acknowledged_transaction_is_on_disk(bench):
    """When the future is done, another connection reads the operation."""
    engine = bench.solo()
    engine.start()
    done = await engine.submit(bench.toy.sign("bank", note("a")))
    assert (1, 0, [0]) == (done.height, done.first_leaf, [outcome.code for outcome in done.outcomes])
    assert [(0,)] == bench.store("solo.db").query("SELECT leaf FROM operations")
    await engine.stop()


async def test_many_submitters_share_blocks(bench):
    """What arrives while a block is made becomes the next block; everybody is answered once."""
    engine = bench.solo()
    engine.start()
    futures = [engine.submit(bench.toy.sign("bank", note(f"k{number}"))) for number in range(200)]
    done = await asyncio.gather(*futures)
    assert list(range(200)) == sorted(item.first_leaf for item in done)
    assert 200 > len(bench.blocks)
    await engine.stop()


async def test_same_bytes_in_flight_share_one_answer_and_are_refused_later(bench):
    """A transaction sent twice is recorded once."""
    engine = bench.solo()
    engine.start()
    raw = bench.toy.sign("bank", note("a"))
    first, second = engine.submit(raw), engine.submit(raw)
    assert (await first).first_leaf == (await second).first_leaf
    with pytest.raises(RejectedError) as caught:
        engine.submit(raw)
    assert "repeated" == caught.value.name
    await engine.stop()


async def test_refused_transactions_never_enter_a_block(bench):
    """A stranger's key and a bad signature are answered by name and leave no trace in any block."""
    engine = bench.solo()
    engine.start()
    good = bench.toy.sign("bank", note("a"))
    stranger = bench.toy.sign("bank", note("b"), claim="clinic")
    position = good.index(b"\x58\x40") + 20
    forged = good[:position] + bytes((good[position] ^ 1,)) + good[position + 1 :]
    other = bench.toy.sign("bank", note("c"))
    forged_other = other[:position] + bytes((other[position] ^ 1,)) + other[position + 1 :]
    answers = await asyncio.gather(
        engine.submit(good), engine.submit(stranger), engine.submit(forged_other), return_exceptions=True
    )
    assert [None, "unknown_key", "bad_signature"] == [getattr(item, "name", None) for item in answers]
    assert {good} == {raw for _, _, transactions in bench.blocks for raw in transactions}
    assert forged not in {raw for _, _, transactions in bench.blocks for raw in transactions}
    await engine.stop()


async def test_author_of_another_history_is_refused(bench):
    """A transaction whose `seen` is not this history is refused at admission."""
    engine = bench.solo()
    engine.start()
    await engine.submit(bench.toy.sign("bank", note("a")))
    for seen in ((1, b"\x01" * 32), (5, b"\x02" * 32), (0, b"\x03" * 32)):
        with pytest.raises(RejectedError) as caught:
            engine.submit(bench.toy.sign("bank", note("b"), seen=seen))
        assert "wrong_history" == caught.value.name
    seen = (1, engine.state.frontier.root())
    assert 1 == (await engine.submit(bench.toy.sign("bank", note("b"), seen=seen))).first_leaf
    await engine.stop()


async def test_time_never_goes_back(bench):
    """When the clock is set back, blocks keep the last time."""
    engine = bench.solo()
    engine.start()
    bench.clock.now = 50_000
    await engine.submit(bench.toy.sign("bank", note("a")))
    bench.clock.now = 40_000
    await engine.submit(bench.toy.sign("bank", note("b")))
    assert 50_000 == engine.state.time
    await engine.stop()


async def test_heartbeat_makes_an_empty_block_that_changes_nothing(bench):
    """Time passes on the ledger without transactions, and the app hash stays."""
    engine = bench.solo(heartbeat_ms=30)
    engine.start()
    await engine.submit(bench.toy.sign("bank", note("a")))
    root = engine.state.tree.root
    for _ in range(200):
        bench.clock.now += 10
        await asyncio.sleep(0.01)
        if engine.state.height > 2:
            break
    assert 2 < engine.state.height
    assert (root, 1) == (engine.state.tree.root, engine.state.frontier.size)
    await engine.stop()


async def test_full_disk_is_said_and_survived(bench):
    """A failing write refuses those it concerns, records nothing of them, and the next one goes through."""
    engine = bench.solo()
    engine.start()
    await engine.submit(bench.toy.sign("bank", note("a")))
    connection = engine._sink._connection
    connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.operations BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
    )
    raw = bench.toy.sign("bank", note("b"))
    with pytest.raises(StorageError, match="disk is full"):
        await engine.submit(raw)
    connection.execute("DROP TRIGGER full")
    assert 2 == (await engine.submit(raw)).height
    await engine.stop()


async def test_held_engine_refuses_with_the_reason(bench):
    """While held, nothing is taken; released, it goes on."""
    engine = bench.solo()
    engine.start()
    engine.hold(PeerError("restored copy", remedy="Wait for the witnesses."))
    with pytest.raises(PeerError, match="restored copy"):
        engine.submit(bench.toy.sign("bank", note("a")))
    engine.hold(None)
    await engine.submit(bench.toy.sign("bank", note("a")))
    await engine.stop()


async def test_restart_continues_the_chain(bench):
    """A new process goes on where the last one stopped, and repeats are still refused."""
    engine = bench.solo()
    engine.start()
    raw = bench.toy.sign("bank", note("a"))
    await engine.submit(raw)
    await engine.stop()
    again = bench.solo()
    again.start()
    with pytest.raises(RejectedError, match="already accepted"):
        again.submit(raw)
    assert 2 == (await again.submit(bench.toy.sign("bank", note("b")))).height
    await again.stop()


async def test_verifier_process_checks_and_survives_being_killed(bench):
    """Signatures are checked in a child process; a killed child is replaced without an answer lost."""
    verifier = VerifierProcess()
    engine = bench.solo(verifier=verifier)
    engine.start()
    await engine.submit(bench.toy.sign("bank", note("a")))
    first = verifier._child.process
    first.kill()
    first.wait()
    await engine.submit(bench.toy.sign("bank", note("b")))
    assert first.pid != verifier.pid
    await engine.stop()
    assert None is verifier.pid


async def test_flood_of_one_neither_refuses_nor_delays_another(make_bench):
    """One that has its share waiting is told to come again; what another sends is in the next block all the same."""
    bench = make_bench(parameters=Parameters(block_operations=10))
    engine = bench.solo(share=Share(30, 1 << 20))
    flood = [engine.submit(bench.toy.sign("bank", note(f"k{number}"))) for number in range(30)]
    with pytest.raises(QueueFullError) as caught:
        engine.submit(bench.toy.sign("bank", note("late")))
    assert caught.value.retry_after_s >= 1
    other = engine.submit(bench.toy.sign("clinic", note("x")), "clinic")
    engine.start()
    assert 1 == (await other).height
    assert 4 == max(done.height for done in await asyncio.gather(*flood))
    assert 5 == (await engine.submit(bench.toy.sign("bank", note("late")))).height
    await engine.stop()


async def test_strangers_do_not_use_up_a_members_share(bench):
    """Transactions that only claim a member's name count for strangers, and the member's own get in."""
    engine = bench.solo(share=Share(2, 1 << 20))
    bench.toy.keys["stranger"] = SigningKey(b"?" * 32)
    strangers = [
        engine.submit(bench.toy.sign("stranger", note(f"s{number}"), claim="clinic"), "port") for number in range(2)
    ]
    engine.start()
    assert 0 == (await engine.submit(bench.toy.sign("clinic", note("own")))).first_leaf
    for future in strangers:
        with pytest.raises(RejectedError, match="key"):
            await future
    await engine.stop()


async def test_what_no_block_could_hold_is_refused(make_bench):
    """A transaction above the cap of a whole block is refused at once, and holds up nothing behind it."""
    bench = make_bench(parameters=Parameters(block_operations_per_organisation=2))
    engine = bench.solo()
    engine.start()
    with pytest.raises(RejectedError) as caught:
        engine.submit(bench.toy.sign("bank", *[note(key) for key in "abc"]))
    assert "block_cap" == caught.value.name
    assert 1 == (await engine.submit(bench.toy.sign("bank", note("d"), note("e")))).height
    await engine.stop()
