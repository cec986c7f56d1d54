"""The application: tells the truth about its disk, executes as the machine does, and never trips over content."""

import json
from types import SimpleNamespace

import pytest

from tallystick.codec.bundles import encode_bundle
from tallystick.errors import IntegrityError, StorageError
from tallystick.machine import Block, execute_block
from tallystick.ordering.cometbft import voting
from tallystick.ordering.cometbft.blocks import Misbehaviour
from tallystick.ordering.cometbft.bundles import unpack
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.oversight import Oversight
from tallystick.ordering.cometbft.validators import update
from tallystick.proofs.headers import (
    check_signatures,
    decode_header,
    decode_signatures,
    header_hash,
    transactions_root,
)
from tests.support.toy import NOTES, RULEBOOK
from tests.unit.ordering.cometbft.conftest import CHAIN, SYSTEM, VALIDATOR, bundles


async def test_info_tells_what_is_on_disk(bench):
    """Height 0 before the first block, then height and app hash of the last, also in a new process."""
    application = bench.application()
    answer = await application.info(abci.RequestInfo())
    assert (0, b"", 1) == (answer.last_block_height, answer.last_block_app_hash, answer.app_version)
    done = await bench.block(application, bench.note())
    for running in (application, bench.application()):
        answer = await running.info(abci.RequestInfo())
        assert (1, done.app_hash) == (answer.last_block_height, answer.last_block_app_hash)


async def test_chain_begins_with_the_genesis_state(bench):
    """InitChain answers with the app hash of the genesis, and refuses another chain, height or set of validators."""
    application = bench.application()
    given = [update(b"v" * 32, 10)]
    answer = await application.init_chain(
        abci.RequestInitChain(chain_id="toy-00000000", initial_height=1, validators=given)
    )
    assert application.app_hash == answer.app_hash
    assert given == list(answer.validators)
    for changes in ({"chain_id": "toy-11111111"}, {"initial_height": 5}):
        with pytest.raises(IntegrityError):
            await application.init_chain(abci.RequestInitChain(**({"chain_id": "toy-00000000"} | changes)))
    source = SimpleNamespace(collections=frozenset(), validators=lambda state, height: {b"w" * 32: 10})
    with pytest.raises(IntegrityError, match="validators"):
        await bench.application(validators=source).init_chain(
            abci.RequestInitChain(chain_id="toy-00000000", validators=given)
        )


async def test_chain_that_goes_on_from_another_engine_reports_zero_until_its_first_block(bench):
    """A ledger that had blocks before begins this engine's chain behind them."""
    first = bench.application()
    await bench.block(first, bench.note(key="a"))
    second = bench.application(initial_height=2)
    assert 0 == (await second.info(abci.RequestInfo())).last_block_height
    answer = await second.init_chain(abci.RequestInitChain(chain_id="toy-00000000", initial_height=2))
    assert first.app_hash == answer.app_hash
    await bench.block(second, bench.note(key="b"))
    assert 2 == (await second.info(abci.RequestInfo())).last_block_height


async def test_block_gives_one_result_a_transaction_whatever_is_in_it(bench):
    """Good, malformed, forged, expired, repeated and rejected ones: each has its own result, and none raises."""
    application = bench.application()
    good = bench.note(key="a", count=2)
    taken = bench.note("clinic", key="a", atomic=False)
    content = [
        good,
        b"\x00",
        b"\x82nonsense",
        bench.forged(bench.note(key="b")),
        bench.note(key="c", expires=1),
        good,
        taken,
    ]
    answer = await bench.block(application, *content)
    assert [0] * 7 == [result.code for result in answer.tx_results]
    assert ["", "malformed", "malformed", "bad_signature", "expired", "repeated", ""] == bench.refused()
    decided = bench.committed[-1].decided
    assert (0, [0, 0]) == (decided[0].first_leaf, [outcome.code for outcome in decided[0].outcomes])
    assert [9001] == [outcome.code for outcome in decided[6].outcomes]
    assert 3 == application.state.frontier.size


async def test_what_is_no_bundle_has_a_result_too(bench):
    """A block may hold what nobody would have voted for: it has one result, and the rest of the block goes on."""
    application = bench.application()
    good = bench.note()
    request = bench.finalize(application, good)
    request.txs.insert(0, b"no bundle")
    answer = await application.finalize_block(request)
    assert [1, 0] == [result.code for result in answer.tx_results]
    await application.commit(abci.RequestCommit())
    assert 1 == application.state.frontier.size
    assert [(encode_bundle([good]),)] == bench.stores[0].query("SELECT bytes FROM bundles")


async def test_what_was_voted_on_is_not_taken_apart_again(bench, monkeypatch):
    """A block is decoded for the vote, and executed from memory; another block of that height is looked at anew."""
    application = bench.application()
    proposed, decided = bench.note(key="a"), bench.note(key="b")
    for voted, taken in ((proposed, 1), (decided, 2)):
        opened = []
        monkeypatch.setattr(voting, "unpack", lambda txs, opened=opened: opened.append(txs) or unpack(txs))
        vote = abci.RequestProcessProposal(txs=bundles(voted), height=application.state.height + 1)
        await application.process_proposal(vote)
        await bench.block(application, decided if voted is decided else bench.note(key="c"))
        assert taken == 2 - len(opened)


async def test_empty_block_leaves_the_app_hash(bench):
    """Neither a block without transactions nor one whose transactions are all refused changes it."""
    application = bench.application()
    before = (await bench.block(application, bench.note())).app_hash
    assert before == (await bench.block(application, time=3_000)).app_hash
    assert before == (await bench.block(application, b"nonsense", time=4_000)).app_hash
    assert 3 == application.state.height


async def test_app_hash_is_the_machines(bench):
    """The same blocks given to the machine alone give the same app hashes; refused transactions are not stored."""
    application = bench.application()
    good, bad = bench.note(key="a"), bench.forged(bench.note(key="b"))
    answer = await bench.block(application, bad, good)
    alone = bench.toy.state
    assert answer.app_hash == execute_block(alone, Block(1, 2_000, (bad, good)), RULEBOOK).app_hash
    stored = bench.stores[0].find_block(1)
    assert (good,) == stored.transactions
    assert answer.app_hash == execute_block(alone, Block(1, 2_000, stored.transactions), RULEBOOK).app_hash
    header = decode_header(stored.header)
    assert (CHAIN, 1, answer.app_hash.hex(), 2_000) == (header.chain, header.height, header.app_hash, header.time)
    assert (bench.toy.state.genesis_hash.hex(), transactions_root([good]).hex()) == (
        header.previous,
        header.transactions_root,
    )
    signers = check_signatures(header, decode_signatures(stored.signatures), {VALIDATOR: SYSTEM.public_key})
    assert (VALIDATOR,) == signers


async def test_each_header_names_the_one_before(bench):
    """The chain of headers goes on in a new process, and over a block that was executed and not committed."""
    application = bench.application()
    await bench.block(application, bench.note(key="a"))
    await application.finalize_block(bench.finalize(application, bench.note(key="b")))
    again = bench.application()
    for number in (2, 3):
        await bench.block(again, bench.note(key=f"k{number}"))
    headers = [decode_header(bench.stores[-1].find_block(number).header) for number in (1, 2, 3)]
    assert [header_hash(each).hex() for each in headers[:2]] == [each.previous for each in headers[1:]]


async def test_transaction_refused_once_may_be_recorded_later(bench):
    """What a block refused leaves no trace that would be in the way of the same bytes in a later one."""
    application = bench.application()
    early = bench.note(key="a", expires=4_000_000)
    for time, why in ((2_000, "expires_too_late"), (2_000_000, "")):
        await bench.block(application, early, time=time)
        assert [why] == bench.refused()
    state = bench.stores[0].load_state()
    assert 1 == state.frontier.size


async def test_block_executed_and_not_committed_is_gone(bench):
    """A new process begins at the last block on disk, and the same block again gives the same."""
    application = bench.application()
    raw = bench.note()
    first = await application.finalize_block(bench.finalize(application, raw))
    again = bench.application()
    assert 0 == again.state.height
    assert first == await bench.block(again, raw)
    with pytest.raises(IntegrityError, match="was not executed"):
        await again.commit(abci.RequestCommit())


async def test_block_out_of_turn_stops_the_engine(bench):
    """Another height or an earlier time raises: going on would fork."""
    application = bench.application()
    await bench.block(application, bench.note())
    for height, time in ((1, 3_000), (3, 3_000), (2, 1_999)):
        request = bench.finalize(application, time=time)
        request.height = height
        with pytest.raises(IntegrityError, match="does not follow"):
            await application.finalize_block(request)


async def test_full_disk_writes_nothing_and_is_survived(bench):
    """A failing write raises with a remedy; the next process executes the block again."""
    application = bench.application()
    connection = bench.stores[0]._connection
    connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.operations BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
    )
    raw = bench.note()
    with pytest.raises(StorageError, match="disk is full"):
        await bench.block(application, raw)
    connection.execute("DROP TRIGGER full")
    again = bench.application()
    assert 0 == again.state.height
    await bench.block(again, raw)
    assert 1 == again.state.frontier.size


async def test_listeners_hear_of_blocks_and_misbehaviour(bench):
    """Each block on disk is told with all its transactions, and with what it says of validators."""
    found_out = []
    oversight = Oversight(
        misbehaved=lambda found, height, time: found_out.append((found, height, time)),
        retain=lambda height, time: height - time // 2_000 + 1,
    )
    application = bench.application(oversight=oversight)
    request = bench.finalize(application, b"nonsense", bench.note())
    found = request.misbehavior.add(type=abci.DUPLICATE_VOTE, height=7, total_voting_power=40)
    found.validator.address, found.validator.power = b"v" * 20, 10
    await application.finalize_block(request)
    assert 1 == (await application.commit(abci.RequestCommit())).retain_height
    assert [((Misbehaviour("duplicate_vote", (b"v" * 20).hex(), 7, 10),), 1, 2_000)] == found_out
    (told,) = bench.committed
    assert (2, 1) == (len(told.decided), len(told.result.results))


async def test_validators_follow_the_state(bench):
    """The difference of two sets is told in order of keys, and only where the block touched what it depends on."""

    class Source:
        collections = frozenset({"notes"})

        def validators(self, state, height):
            del height
            found = {b"v" * 32: 10}
            for key, _ in state.scan(NOTES):
                found[key.encode().ljust(32, b".")] = 5
            return found

    application = bench.application(validators=Source())
    answer = await bench.block(application, bench.note(key="z"), bench.note(key="y"))
    keys = [(item.pub_key.ed25519[:2], item.power) for item in answer.validator_updates]
    assert [(b"y0", 5), (b"z0", 5)] == keys
    assert not (await bench.block(application, b"nonsense")).validator_updates


async def test_query_reads_what_is_on_disk(bench):
    """Records and roots of the history are answered; anything else is not there."""
    application = bench.application()
    await bench.block(application, bench.note(key="a"))
    record = await application.query(abci.RequestQuery(path="/records/notes/a0"))
    assert (0, 1, "hello") == (record.code, record.height, json.loads(record.value)["text"])
    root = await application.query(abci.RequestQuery(path="/history/1"))
    assert application.state.frontier.root() == root.value
    for path in ("", "/", "/records/notes/b", "/records/nothing/a", "/history/x", "/history/7"):
        assert 1 == (await application.query(abci.RequestQuery(path=path))).code


async def test_only_engines_that_the_ledger_names_may_connect(bench):
    """The engine asks who may connect: by node id those that are known; addresses, and any where nobody is asked."""
    known = bench.application(knows_engine=lambda node: node == "ab" * 20)
    for path, code in (
        ("/p2p/filter/id/" + "ab" * 20, 0),
        ("/p2p/filter/id/" + "cd" * 20, 1),
        ("/p2p/filter/id/", 1),
        ("/p2p/filter/addr/192.0.2.1:26656", 0),
    ):
        answer = await known.query(abci.RequestQuery(path=path))
        assert (code, "node" if code else "") == (answer.code, answer.codespace)
    answer = await bench.application().query(abci.RequestQuery(path="/p2p/filter/id/" + "cd" * 20))
    assert 0 == answer.code


async def test_votes_carry_nothing_more(bench):
    """Nothing is added to a vote, and what another adds is refused."""
    application = bench.application()
    assert b"" == (await application.extend_vote(abci.RequestExtendVote())).vote_extension
    for extension, verdict in ((b"", 1), (b"x", 2)):
        request = abci.RequestVerifyVoteExtension(vote_extension=extension)
        assert verdict == (await application.verify_vote_extension(request)).status
