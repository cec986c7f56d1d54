"""An engine behind its ledger: answered as it was the first time, until it has caught up, and nothing happens twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec.bundles import decode_bundle, encode_bundle
from tallystick.errors import IntegrityError
from tallystick.machine import State
from tallystick.machine.execution import app_hash_of
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.replay import EngineHeight, KeptBlock, answer_again, is_kept
from tallystick.ordering.cometbft.results import REFUSED
from tallystick.ordering.cometbft.validators import update
from tallystick.proofs.headers import decode_header
from tests.support.toy import NOTES
from tests.unit.ordering.cometbft.conftest import CHAIN, bundles

FIRST = {b"v" * 32: 10}
ACCEPT, REJECT = abci.ResponseProcessProposal.ACCEPT, abci.ResponseProcessProposal.REJECT


class Source:
    """Every note is a validator from its block on; blocks are a second apart, so that its time tells its height."""

    collections = frozenset({"notes"})

    def validators(self, state, height):
        found = dict(FIRST)
        for key, note in state.scan(NOTES):
            if note.recorded <= height * 1_000:
                found[key.encode().ljust(32, b".")] = 5
        return found


class History:
    """A toy ledger's blocks."""

    def __init__(self, store, toy):
        self.store, self.toy = store, toy

    def kept_block(self, height):
        if height == 0:
            begun = self.toy.state
            return KeptBlock(app_hash_of(begun.tree.root, begun.frontier.root(), begun.frontier.size), 0, [])
        block = self.store.find_block(height)
        return KeptBlock(bytes.fromhex(decode_header(block.header).app_hash), block.time, block.transactions)


class Rebuilt:
    """A ledger of three blocks, and an engine that lost its own.

    Attributes:
        blocks: the transactions of each.
        told: what the engine was answered the first time.
    """

    def __init__(self, bench):
        self.bench = bench
        self.path = bench.folder / "engine" / "behind"
        taken = bench.note("clinic", key="a", count=2, atomic=False)
        self.blocks = [
            [bench.note(key="a"), b"nonsense", taken],
            [],
            [bench.note(key="c", expires=1), bench.note(key="d"), bench.forged(bench.note(key="e"))],
        ]
        self.told = []

    async def run(self, **options):
        application = self.bench.application(validators=Source(), **options)
        for number, block in enumerate(self.blocks, start=1):
            self.told.append(await self.bench.block(application, *block, time=number * 1_000))
        self.header = self.bench.stores[0].last_block().header

    def application(self, *, lost=False, **options):
        """Return the application of a new process; where the engine is lost, it is said to begin anew."""
        engine = EngineHeight(self.path)
        if lost:
            engine.begin()
        history = History(self.bench.stores[0], self.bench.toy)
        options = {"validators": Source(), "history": history, "engine": engine} | options
        return self.bench.application(**options)

    def request(self, height, transactions=None):
        content = self.blocks[height - 1] if transactions is None else transactions
        request = abci.RequestFinalizeBlock(txs=bundles(*content), height=height)
        request.time.FromMilliseconds(height * 1_000)
        return request

    async def again(self, application, height):
        answer = await application.finalize_block(self.request(height))
        assert 0 == (await application.commit(abci.RequestCommit())).retain_height
        return answer


@pytest.fixture
async def rebuilt(bench):
    made = Rebuilt(bench)
    await made.run()
    return made


def essence(answer):
    """Return what of an answer is in the engine's hashes: all but the logs."""
    results = [(result.code, result.data) for result in answer.tx_results]
    updates = [(item.pub_key.ed25519, item.power) for item in answer.validator_updates]
    return answer.app_hash, results, updates


async def told(application):
    answer = await application.info(abci.RequestInfo())
    return answer.last_block_height, answer.last_block_app_hash


async def begin(application, height=1, **changes):
    fields = {"chain_id": CHAIN, "initial_height": height} | changes
    return await application.init_chain(abci.RequestInitChain(**fields))


async def test_engine_that_lost_its_blocks_is_answered_as_the_first_time(rebuilt):
    """App hashes, results and changes of validators are the same; the ledger stays, and then goes on."""
    application = rebuilt.application(lost=True)
    assert (0, b"") == await told(application)
    genesis = History(rebuilt.bench.stores[0], rebuilt.bench.toy).kept_block(0)
    answer = await begin(application, validators=[update(b"v" * 32, 10)])
    assert (genesis.app_hash, [update(b"v" * 32, 10)]) == (answer.app_hash, list(answer.validators))
    for height in (1, 2, 3):
        assert essence(rebuilt.told[height - 1]) == essence(await rebuilt.again(application, height))
        assert (height, rebuilt.told[height - 1].app_hash) == await told(application)
    assert [2, 0, 1] == [len(each.validator_updates) for each in rebuilt.told]
    assert not rebuilt.path.exists()
    assert (3, rebuilt.header) == (application.state.height, rebuilt.bench.stores[0].last_block().header)
    assert 3 == len(rebuilt.bench.committed)

    await rebuilt.bench.block(application, rebuilt.bench.note(key="z"), time=4_000)
    assert 4 == rebuilt.bench.stores[0].last_block().height
    assert (4, application.app_hash) == await told(rebuilt.application())


async def test_new_process_goes_on_where_the_engine_is(rebuilt):
    """How far the engine has come outlives the core; a block that was answered and not committed comes again."""
    first = rebuilt.application(lost=True)
    await begin(first)
    await rebuilt.again(first, 1)
    await first.finalize_block(rebuilt.request(2))

    second = rebuilt.application()

    assert (1, rebuilt.told[0].app_hash) == await told(second)
    for height in (2, 3):
        assert essence(rebuilt.told[height - 1]) == essence(await rebuilt.again(second, height))
    assert (3, rebuilt.told[2].app_hash) == await told(rebuilt.application())


async def test_blocks_that_an_engine_sends_again_are_answered_again(rebuilt):
    """A file that is older than the engine does no harm."""
    application = rebuilt.application(lost=True)
    await begin(application)
    for height in (1, 2, 1, 2, 3):
        assert essence(rebuilt.told[height - 1]) == essence(await rebuilt.again(application, height))
    assert (3, rebuilt.told[2].app_hash) == await told(application)


async def test_block_of_another_history_stops_the_engine(rebuilt):
    """Where something that the ledger holds is missing or in another place, nothing is answered, and nothing kept."""
    application = rebuilt.application(lost=True)
    await begin(application)
    good, nonsense, taken = rebuilt.blocks[0]
    for transactions in ([], [good], [taken, good], [nonsense, taken]):
        with pytest.raises(IntegrityError, match="block 1 is not the one that this ledger holds"):
            await application.finalize_block(rebuilt.request(1, transactions))
        with pytest.raises(IntegrityError, match="was not executed"):
            await application.commit(abci.RequestCommit())
    assert (0, b"") == await told(application)
    assert essence(rebuilt.told[0]) == essence(await rebuilt.again(application, 1))


async def test_block_that_the_engine_leaves_out_stops_it(rebuilt):
    """After the ledger's last block comes the next, whatever the engine says it has."""
    application = rebuilt.application(lost=True)
    await begin(application)
    with pytest.raises(IntegrityError, match="does not follow"):
        await application.finalize_block(rebuilt.request(5, []))


async def test_proposals_of_heights_that_are_decided(rebuilt):
    """Only what the ledger holds is voted for, none is made; from the ledger's next block on all is as ever."""
    application = rebuilt.application(lost=True)
    good, nonsense, taken = rebuilt.blocks[0]
    for transactions, verdict in (
        ([good, nonsense, taken], ACCEPT),
        ([good, taken], ACCEPT),
        ([good], REJECT),
        ([taken, good], REJECT),
    ):
        request = abci.RequestProcessProposal(height=1, txs=[encode_bundle(transactions)])
        assert verdict == (await application.process_proposal(request)).status
    waiting = rebuilt.bench.note(key="n")
    assert [0] == await rebuilt.bench.check(application, waiting)
    for height, proposed in ((1, []), (3, []), (4, [[waiting]])):
        request = abci.RequestPrepareProposal(height=height, max_tx_bytes=1 << 20)
        assert proposed == [decode_bundle(raw) for raw in (await application.prepare_proposal(request)).txs]


async def test_engine_that_is_not_said_to_be_behind_is_not_answered_again(rebuilt):
    """Without that, an old block is one out of turn: going on would fork."""
    application = rebuilt.application()
    assert (3, rebuilt.told[2].app_hash) == await told(application)
    with pytest.raises(IntegrityError, match="begins at block 1"):
        await begin(application)
    with pytest.raises(IntegrityError, match="does not follow"):
        await application.finalize_block(rebuilt.request(1))


async def test_chain_that_began_behind_another_engine_is_fetched_from_there(rebuilt):
    """Engines that begin at block 2 are told the state after block 1, and who validated then."""
    application = rebuilt.application(lost=True, initial_height=2)
    assert (0, b"") == await told(application)
    then, now = (Source().validators(State(rebuilt.bench.stores[0]), height) for height in (1, 3))
    assert then != now
    with pytest.raises(IntegrityError, match="validators of the engine's genesis"):
        await begin(application, 2, validators=[update(key, now[key]) for key in sorted(now)])
    for height in (1, 3):
        with pytest.raises(IntegrityError, match=f"begins at block {height}"):
            await begin(application, height)

    given = [update(key, then[key]) for key in sorted(then)]
    answer = await begin(application, 2, validators=given)

    assert (rebuilt.told[0].app_hash, given) == (answer.app_hash, list(answer.validators))
    for height in (2, 3):
        assert essence(rebuilt.told[height - 1]) == essence(await rebuilt.again(application, height))
    assert (3, rebuilt.told[2].app_hash) == await told(rebuilt.application(initial_height=2))


async def test_ledger_that_is_itself_behind_the_engines_first_block_is_no_beginning(rebuilt):
    """A copy that has not come to the handover cannot begin the engines' chain."""
    with pytest.raises(IntegrityError, match="begins at block 9, behind this ledger's 3"):
        await begin(rebuilt.application(lost=True, initial_height=9), 9)


def test_height_of_the_engine_outlives_the_process(tmp_path):
    """Behind, further on, caught up; an empty file says that the engine is behind, and not that it is not."""
    path = tmp_path / "engine" / "behind"
    assert EngineHeight(path).height is None
    engine = EngineHeight(path)
    engine.begin()
    assert (0, 0) == (engine.height, EngineHeight(path).height)
    engine.set(7)
    assert 7 == EngineHeight(path).height
    path.write_text("")
    assert 0 == EngineHeight(path).height
    engine.set(None)
    assert EngineHeight(path).height is None
    assert [] == list(path.parent.iterdir())


@given(st.lists(st.lists(st.booleans(), max_size=3), max_size=5))
def test_every_bundle_has_its_own_result(block):
    """Whatever of a bundle is kept, it is one; what is none is refused; what the ledger holds must be there, in order."""
    numbers = iter(range(100))
    named = [[(f"transaction {next(numbers)}".encode(), good) for good in bundle] for bundle in block]
    sent = [encode_bundle([raw for raw, _ in bundle]) if bundle else b"none" for bundle in named]
    every = [raw for bundle in named for raw, _ in bundle]
    kept = KeptBlock(b"h" * 32, 1_000, [raw for bundle in named for raw, good in bundle if good])

    results = answer_again(1, sent, kept)

    assert [0 if bundle else REFUSED for bundle in block] == [result.code for result in results]
    assert all(result.data == b"" for result in results)
    assert is_kept(every, kept)
    if kept.transactions:
        missing = [raw for raw in every if raw != kept.transactions[-1]]
        assert not is_kept(missing, kept)
        with pytest.raises(IntegrityError):
            answer_again(1, bundles(*missing), kept)
