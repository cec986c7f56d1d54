"""An engine that is held signs nothing at all; and one that cannot write its heartbeat tries again without haste."""

import asyncio

import pytest

from tallystick.errors import PeerError, StorageError
from tests.support.toy import PutNote

REASON = PeerError("held by a test", remedy="Release it.")


def note(key):
    return PutNote(key=key, text="hello")


@pytest.fixture
async def engine(bench):
    """An engine with one block, whose next heartbeat has long been due."""
    made = bench.solo(heartbeat_ms=1_000)
    made.start()
    await made.submit(bench.toy.sign("bank", note("a")))
    made.hold(REASON)
    bench.clock.now += 500_000
    yield made
    await made.stop()


async def test_held_engine_makes_no_heartbeat(bench, engine):
    """A block without transactions is a signature too: none is made until the engine is released."""
    await asyncio.sleep(0.05)
    assert 1 == engine.state.height
    engine.hold(None)
    while engine.state.height == 1:
        await asyncio.sleep(0.001)
    assert () == bench.blocks[-1][2]


async def test_what_waits_when_an_engine_is_held_is_refused(bench, engine):
    """Transactions that were admitted just before are told the reason, and nothing is signed over them."""
    engine.hold(None)
    waiting = [engine.submit(bench.toy.sign("bank", note(key), expires=900_000)) for key in "bcd"]
    before = engine.state.height
    engine.hold(REASON)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [REASON] * 3 == outcomes
    assert (before, 0) == (engine.state.height, engine.waiting)
    with pytest.raises(PeerError, match="held by a test"):
        engine.submit(bench.toy.sign("bank", note("e"), expires=900_000))


async def test_heartbeat_that_cannot_be_written_is_tried_again(bench, engine, monkeypatch):
    """A full disk does not make the engine spin, and the heartbeat comes when there is room."""
    monkeypatch.setattr("tallystick.ordering.solo._RETRY_SECONDS", 0.02)
    commit, tries = engine._sink.commit_block, []

    def refuse(*block):
        tries.append(block)
        if len(tries) < 3:
            raise StorageError("the disk is full", remedy="Free disk space.")
        commit(*block)

    monkeypatch.setattr(engine._sink, "commit_block", refuse)
    engine.hold(None)
    while engine.state.height == 1:
        await asyncio.sleep(0.001)
    assert 3 == len(tries)
