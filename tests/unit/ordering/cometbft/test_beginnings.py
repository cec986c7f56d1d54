"""An engine begins in the middle, behind a ledger that is there: what is offered, and what is taken."""

import pytest

from tallystick.errors import IntegrityError
from tallystick.ordering.cometbft.beginnings import FORMAT, MOST_ON_OFFER, ON_OFFER_SECONDS, Beginnings
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.replay import EngineHeight, KeptBlock

OFFER, APPLY = abci.ResponseOfferSnapshot, abci.ResponseApplySnapshotChunk


class Blocks:
    """A ledger that has the blocks from `first` to `last`."""

    def __init__(self, first=1, last=10, mark=b"h"):
        self.first, self.last, self.mark = first, last, mark

    def kept_block(self, height):
        if not self.first <= height <= self.last:
            raise IntegrityError("not held here", remedy="Wait.")
        return KeptBlock(self.mark * 31 + bytes((height,)), height * 1_000, [])


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def giver(tmp_path):
    """A validator's beginnings, and its clock."""
    clock = Clock()
    return Beginnings(Blocks(), EngineHeight(tmp_path / "giver"), clock), clock


@pytest.fixture
def make_taker(tmp_path):
    """Return a function that makes the beginnings of a node whose engine is behind its ledger."""

    def make(blocks=None, height=0):
        engine = EngineHeight(tmp_path / "behind")
        engine.set(height)
        return Beginnings(blocks or Blocks(), engine), engine

    return make


def offer(giver, height=8):
    """Return what a validator offers that was asked for a height."""
    giver.want("bank", height)
    (offered,) = giver.offers()
    return offered


def test_engine_is_as_far_as_the_height_that_was_offered(giver, make_taker, tmp_path):
    """Offered, taken and applied, it is behind the ledger by what follows; a new process knows it too."""
    taker, engine = make_taker()
    offered = offer(giver[0])
    assert (8, FORMAT, 1) == (offered.height, offered.format, offered.chunks)

    assert OFFER.ACCEPT == taker.offered(offered, Blocks().kept_block(8).app_hash, 10)
    assert 0 == engine.height
    assert APPLY.ACCEPT == taker.apply(giver[0].chunk(8), "peer").result

    assert (8, 8) == (engine.height, EngineHeight(tmp_path / "behind").height)
    assert APPLY.ABORT == taker.apply(giver[0].chunk(8), "peer").result


def test_height_is_offered_while_somebody_asks_for_it(giver):
    """One for each member, the latest that it asked for, for some minutes, and not more than the engine tells of."""
    beginnings, clock = giver
    assert [] == beginnings.offers()
    beginnings.want("bank", 5)
    beginnings.want("bank", 6)
    beginnings.want("clinic", 7)
    assert [6, 7] == [each.height for each in beginnings.offers()]
    clock.now = ON_OFFER_SECONDS - 1
    beginnings.want("clinic", 7)
    clock.now = ON_OFFER_SECONDS
    assert [7] == [each.height for each in beginnings.offers()]
    for number in range(20):
        beginnings.want(f"member-{number}", number % 10 + 1)
    assert MOST_ON_OFFER == len(beginnings.offers())


def test_block_that_is_not_there_is_not_offered(giver):
    """Neither beyond the ledger nor before what it has; its chunk is nothing."""
    with pytest.raises(IntegrityError):
        giver[0].want("bank", 11)
    assert (giver[0].offers(), giver[0].chunk(11)) == ([], None)


def test_other_app_hash_than_the_ledger_s_is_not_taken(giver, make_taker):
    """Neither where the engine found another signed, nor where the offer names another, nor for more than one chunk."""
    good = Blocks().kept_block(8).app_hash
    taker, engine = make_taker()
    assert OFFER.REJECT == taker.offered(offer(giver[0]), b"x" * 32, 10)
    other = Beginnings(Blocks(mark=b"x"), engine)
    assert OFFER.REJECT == taker.offered(offer(other), good, 10)
    longer = offer(giver[0])
    longer.chunks = 2
    assert OFFER.REJECT == taker.offered(longer, good, 10)
    assert OFFER.REJECT == make_taker(Blocks(mark=b"x"))[0].offered(offer(giver[0]), good, 10)
    assert APPLY.ABORT == taker.apply(good, "peer").result
    assert 0 == engine.height


@pytest.mark.parametrize(("blocks", "last"), [(Blocks(last=7), 7), (Blocks(last=8), 8), (Blocks(first=9), 10)])
def test_height_that_the_ledger_lacks_is_not_taken(giver, make_taker, blocks, last):
    """Nor its last one: the engine must bring a block before it counts as having begun."""
    taker, engine = make_taker(blocks)
    assert OFFER.REJECT == taker.offered(offer(giver[0]), Blocks().kept_block(8).app_hash, last)
    assert 0 == engine.height


def test_engine_that_is_as_far_as_its_ledger_takes_nothing(giver, make_taker):
    """It has blocks already, and they are not given up."""
    taker, engine = make_taker(height=None)
    assert OFFER.ABORT == taker.offered(offer(giver[0]), Blocks().kept_block(8).app_hash, 10)
    assert engine.height is None


def test_another_chunk_is_asked_for_again_elsewhere(giver, make_taker):
    """Who sent it is left out; the right one is taken then."""
    taker, engine = make_taker()
    taker.offered(offer(giver[0]), Blocks().kept_block(8).app_hash, 10)
    answer = taker.apply(b"another", "liar")
    assert (APPLY.RETRY, [0], ["liar"]) == (answer.result, list(answer.refetch_chunks), list(answer.reject_senders))
    assert APPLY.ACCEPT == taker.apply(giver[0].chunk(8), "peer").result
    assert 8 == engine.height


async def test_application_takes_an_empty_snapshot_where_its_ledger_is_longer(bench, tmp_path):
    """Through the engine's own questions: offered by one, taken by another's, and told by `info` from then on."""
    engine = EngineHeight(tmp_path / "engine" / "behind")
    application = bench.application()
    for _ in range(4):
        await bench.block(application)
    app_hash = application.app_hash

    class History:
        def kept_block(self, height):
            if not 1 <= height <= 4:
                raise IntegrityError("not held here", remedy="Wait.")
            return KeptBlock(app_hash, 0, [])

    giver = Beginnings(History(), EngineHeight(tmp_path / "other"))
    giver.want("bank", 2)
    engine.begin()
    taken = bench.application(history=History(), engine=engine, beginnings=Beginnings(History(), engine))
    given = bench.application(beginnings=giver)
    (offered,) = (await given.list_snapshots(abci.RequestListSnapshots())).snapshots
    request = abci.RequestLoadSnapshotChunk(height=offered.height, format=offered.format, chunk=0)
    chunk = (await given.load_snapshot_chunk(request)).chunk

    unknown = abci.RequestOfferSnapshot(snapshot=abci.Snapshot(height=2, format=1), app_hash=app_hash)
    assert OFFER.REJECT_FORMAT == (await taken.offer_snapshot(unknown)).result
    offer_it = abci.RequestOfferSnapshot(snapshot=offered, app_hash=app_hash)
    assert OFFER.ACCEPT == (await taken.offer_snapshot(offer_it)).result
    answer = await taken.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(index=0, chunk=chunk, sender="peer"))
    assert APPLY.ACCEPT == answer.result

    told = await taken.info(abci.RequestInfo())
    assert (2, app_hash, 1) == (told.last_block_height, told.last_block_app_hash, told.app_version)
    assert (2, 4) == (taken.reached, given.reached)
    assert OFFER.ABORT == (await given.offer_snapshot(offer_it)).result
    assert 4 == taken.state.height
