"""Ordering together as the core knows it: answered when the block is on disk, whatever becomes of the engine meanwhile."""

import asyncio

import pytest

from tallystick.codec.bundles import encode_bundle
from tallystick.errors import NodeError, PeerError, QueueFullError, RejectedError
from tallystick.machine import decode_transaction
from tallystick.machine.rejections import EXPIRED
from tallystick.ordering import InlineVerifier
from tallystick.ordering.cometbft import Distributed, EngineRpc, engine
from tallystick.ordering.cometbft.bundles import unpack
from tallystick.ordering.cometbft.generated import abci_pb2
from tallystick.ordering.fairness import Share
from tallystick.proofs.headers import decode_header
from tallystick.store import LedgerStore
from tests.support.toy import RULEBOOK
from tests.unit.ordering.cometbft.conftest import CHAIN, SYSTEM, VALIDATOR
from tests.unit.ordering.cometbft.simulated_engine import SimulatedEngine


def identifier(raw, bench):
    """Return a transaction's id."""
    return decode_transaction(raw, bench.toy.state.genesis_hash).id


class Validator:
    """A core's engine over a real store, and the simulated engine beside it."""

    def __init__(self, bench):
        self.bench = bench
        path = bench.folder / "ledger.db"
        LedgerStore.create(path, RULEBOOK, chain=CHAIN, genesis=bench.toy.genesis, records=bench.toy.records())
        self.store = LedgerStore(path, RULEBOOK)
        bench.stores.append(self.store)
        self.told = []
        abci, rpc = bench.folder / "abci.sock", bench.folder / "rpc.sock"
        self.orders = Distributed(
            self.store.load_state(),
            self.store,
            RULEBOOK,
            SYSTEM,
            InlineVerifier(),
            EngineRpc(rpc),
            organisation=VALIDATOR,
            socket=abci,
            clock_ms=lambda: bench.now,
            previous=self.store.last_header_hash,
            on_block=lambda result, header, signatures: self.told.append((result, header, signatures)),
        )
        self.engine = SimulatedEngine(rpc, abci)

    async def waits(self, count):
        """Let the event loop run until the bundles in the engine's mempool hold so many."""
        async with asyncio.timeout(20):
            while sum(len(bundle.transactions) for bundle in unpack(self.engine.mempool)) != count:
                await asyncio.sleep(0.005)


@pytest.fixture
async def validator(bench):
    """A validator whose engine runs."""
    made = Validator(bench)
    await made.orders.start()
    await made.engine.start()
    yield made
    await made.orders.stop()
    await made.engine.stop()


async def test_acknowledged_transaction_is_on_disk(validator, bench):
    """The future is done with its block, which another connection reads, and listeners have the header."""
    future = validator.orders.submit(bench.note(key="a", count=2))
    await validator.waits(1)
    assert not future.done()
    await validator.engine.decide(2_000)
    done = await future
    assert (1, 0, [0, 0]) == (done.height, done.first_leaf, [outcome.code for outcome in done.outcomes])
    store = LedgerStore(bench.folder / "ledger.db", RULEBOOK, read_only=True)
    assert (1, 0) == store.find_transaction(done.id)[:2]
    store.close()
    ((result, header, _),) = validator.told
    assert result.app_hash.hex() == decode_header(header).app_hash
    assert 0 == validator.orders.waiting


async def test_same_bytes_in_flight_share_one_answer_and_are_refused_later(validator, bench):
    """A transaction sent twice is recorded once; after its block it is known."""
    raw = bench.note(key="a")
    first, second = validator.orders.submit(raw), validator.orders.submit(raw)
    assert first is second
    await validator.waits(1)
    await validator.engine.decide(2_000)
    await first
    with pytest.raises(RejectedError) as caught:
        validator.orders.submit(raw)
    assert "repeated" == caught.value.name


async def test_refused_by_name_before_and_by_the_engine(validator, bench):
    """What the state refuses is refused at once; a forged signature when it was checked; the engine gets neither."""
    for raw, name in (
        (b"nonsense", "malformed"),
        (bench.note(key="a", expires=1), "expired"),
        (bench.note(key="b", seen=(0, b"x" * 32)), "wrong_history"),
        (bench.note(key="c", claim="clinic"), "unknown_key"),
    ):
        with pytest.raises(RejectedError) as caught:
            validator.orders.submit(raw)
        assert name == caught.value.name
    with pytest.raises(RejectedError) as caught:
        await validator.orders.submit(bench.forged(bench.note(key="d")))
    assert "bad_signature" == caught.value.name
    assert (0, []) == (validator.orders.waiting, validator.engine.mempool)


async def test_decided_and_refused(validator, bench):
    """What another validator's block took first is refused in this one, for the reason that the block gave."""
    raw = bench.note(key="a", expires=3_000)
    future = validator.orders.submit(raw)
    await validator.waits(1)
    await validator.engine.decide(4_000)
    with pytest.raises(RejectedError) as caught:
        await future
    assert (EXPIRED.code, "expired") == (caught.value.code, caught.value.name)


async def test_decided_by_way_of_another_validator(validator, bench):
    """It is settled by any block that holds it, also where this engine never got it."""
    raw = bench.note(key="a")
    validator.engine.refuse = "mempool is full"
    with pytest.raises(PeerError, match="mempool is full") as caught:
        await validator.orders.submit(raw)
    assert caught.value.remedy
    validator.engine.refuse = None
    await validator.engine.stop()
    future = validator.orders.submit(raw)
    await validator.engine.start()
    await validator.engine.decide(2_000, encode_bundle([raw]))
    assert 1 == (await future).height


async def test_full_queue(validator, bench):
    """Beyond what an organisation may have waiting here it is told when to come again; another is not."""
    validator.orders._intake._shares._share = Share(2, 1 << 20)
    first = [validator.orders.submit(bench.note(key=f"k{number}")) for number in range(2)]
    await validator.waits(2)
    with pytest.raises(QueueFullError, match="bank has as many") as caught:
        validator.orders.submit(bench.note(key="k2"))
    assert 1 == caught.value.retry_after_s
    other = validator.orders.submit(bench.note("clinic", key="x"))
    await validator.waits(3)
    await validator.engine.decide(2_000)
    assert [0, 1, 2] == sorted([(await each).first_leaf for each in (*first, other)])
    again = validator.orders.submit(bench.note(key="k2"))
    await validator.waits(1)
    await validator.engine.decide(3_000)
    assert 2 == (await again).height


async def test_share_of_the_mempool_holds_up_its_own_queue_only(validator, bench):
    """What the mempool has no share for waits for the next block, in its order; another organisation's goes on."""
    validator.orders._application._pool.admission._shares._share = Share(1, 1 << 20)
    futures = [validator.orders.submit(bench.note(key=f"m{number}")) for number in range(3)]
    await validator.waits(1)
    other = validator.orders.submit(bench.note("clinic", key="x"))
    await validator.waits(2)
    await validator.engine.decide(2_000)
    assert {1} == {(await each).height for each in (futures[0], other)}
    for height, future in enumerate(futures[1:], 2):
        await validator.waits(1)
        await validator.engine.decide(1_000 + 1_000 * height)
        assert height == (await future).height


async def test_paused_queue_goes_on_without_a_block(validator, bench, monkeypatch):
    """Where no block comes, an organisation that was told to wait is tried again after a while."""
    monkeypatch.setattr(engine, "PAUSE_SECONDS", 0.02)
    shares = validator.orders._application._pool.admission._shares
    shares._share = Share(0, 0)
    future = validator.orders.submit(bench.note(key="a"))
    async with asyncio.timeout(10):
        while not validator.orders._paused:
            await asyncio.sleep(0.005)
    shares._share = Share(5, 1 << 20)
    await validator.waits(1)
    await validator.engine.decide(2_000)
    assert 1 == (await future).height


async def test_what_comes_together_travels_together(validator, bench):
    """Many transactions of several organisations are one bundle or two, in their order, and each has its own answer."""
    names = ("bank", "clinic")
    futures = [validator.orders.submit(bench.note(names[number % 2], key=f"k{number}")) for number in range(20)]
    await validator.waits(20)
    assert len(validator.engine.mempool) <= 2
    await validator.engine.decide(2_000)
    assert list(range(20)) == sorted([(await each).first_leaf for each in futures])


async def test_bundle_ends_where_the_next_transaction_is_too_much(validator, bench, monkeypatch):
    """A bundle holds so many transactions and so many bytes, and one of any length."""
    large = bench.note(key="large", count=20)
    monkeypatch.setattr(engine, "BUNDLE_TRANSACTIONS", 3)
    monkeypatch.setattr(engine, "BUNDLE_BYTES", len(large) - 1)
    futures = [validator.orders.submit(raw) for raw in (large, *(bench.note(key=f"k{n}") for n in range(4)))]
    await validator.waits(5)
    assert [1, 3, 1] == [len(each.transactions) for each in unpack(validator.engine.mempool)]
    await validator.engine.decide(2_000)
    assert {1} == {(await each).height for each in futures}


async def test_what_another_brought_already_does_not_travel_again(validator, bench):
    """A transaction that came in another validator's bundle is settled by its block, and handed to no engine."""
    raw = bench.note(key="a")
    brought = encode_bundle([raw, bench.note("clinic", key="b")])
    assert 0 == (await validator.engine.ask(check_tx=abci_pb2.RequestCheckTx(tx=brought))).check_tx.code
    future = validator.orders.submit(raw)
    async with asyncio.timeout(10):
        while validator.orders._intake.queued or not validator.orders._intake.find(identifier(raw, bench)).checked:
            await asyncio.sleep(0.005)
    await validator.engine.decide(2_000, brought)
    assert 1 == (await future).height
    assert [] == validator.engine.mempool


async def test_engine_that_is_away_and_comes_back(validator, bench):
    """What is submitted while the engine is started again waits, and is offered to the new one."""
    await validator.engine.stop()
    future = validator.orders.submit(bench.note(key="a"))
    await asyncio.sleep(0.3)
    assert not future.done()
    await validator.engine.start()
    await validator.waits(1)
    await validator.engine.decide(2_000)
    assert 1 == (await future).height


async def test_engine_that_lost_its_mempool_is_offered_it_again(validator, bench):
    """What the engine had admitted before it died is offered to the one that is started in its place."""
    future = validator.orders.submit(bench.note(key="a"))
    await validator.waits(1)
    await validator.engine.stop()
    await validator.engine.start()
    await validator.waits(1)
    await validator.engine.decide(2_000)
    assert 1 == (await future).height


async def test_engine_that_stays_away(validator, bench, monkeypatch):
    """After some tries who waits is told that the engine does not answer."""
    monkeypatch.setattr(engine, "RETRIES", 2)
    monkeypatch.setattr(engine, "RETRY_SECONDS", 0.01)
    await validator.engine.stop()
    with pytest.raises(PeerError, match="does not answer"):
        await validator.orders.submit(bench.note(key="a"))
    await validator.engine.start()


async def test_given_up_after_its_expiry(validator, bench):
    """A transaction that no block took until well after its expiry can be in none any more, and its author is told."""
    future = validator.orders.submit(bench.note(key="a", expires=3_000))
    await validator.waits(1)
    validator.engine.mempool.clear()
    await validator.engine.decide(3_000 + engine.GRACE_MS)
    assert not future.done()
    await validator.engine.decide(3_001 + engine.GRACE_MS)
    with pytest.raises(PeerError, match="before it expired"):
        await future


async def test_held_engine_refuses_and_a_stopping_one_lets_nobody_wait(validator, bench):
    """While it is held its reason is the answer; what waits when it stops is told so."""
    reason = NodeError("not trusted", remedy="Ask.")
    validator.orders.hold(reason)
    with pytest.raises(NodeError, match="not trusted"):
        validator.orders.submit(bench.note(key="a"))
    validator.orders.hold(None)
    future = validator.orders.submit(bench.note(key="a"))
    await validator.orders.stop()
    with pytest.raises(PeerError, match="stopping"):
        await future
