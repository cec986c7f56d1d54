"""Proposals: what is chosen is what others vote for, and nothing that was admitted waits for ever."""

import secrets
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec.bundles import (
    STREAM_BYTES,
    Bundle,
    bundled_bytes,
    cut_bundles,
    decode_bundle,
    encode_bundle,
)
from tallystick.machine import Parameters, decode_transaction
from tallystick.ordering.cometbft.checking import Checked
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.proposals import choose, find_fault, room_in_block
from tests.support.toy import PutNote, Toy
from tests.unit.ordering.cometbft.conftest import bundles

ACCEPT, REJECT = abci.ResponseProcessProposal.ACCEPT, abci.ResponseProcessProposal.REJECT
TOY = Toy()
LARGE = 4 << 20


async def proposed(application, *transactions, max_bytes=LARGE):
    """Return what an application proposes where these and nothing else wait."""
    application._pool.engine_began()
    await application.check_transactions([abci.RequestCheckTx(tx=bundle) for bundle in bundles(*transactions)])
    answer = await application.prepare_proposal(abci.RequestPrepareProposal(max_tx_bytes=max_bytes))
    assert answer.ByteSize() <= max_bytes
    return [raw for bundle in answer.txs for raw in decode_bundle(bundle)]


async def vote(application, *transactions):
    """Return an application's vote, which is the same whatever bundles they come in."""
    ways = [bundles(*transactions), [encode_bundle(transactions)] if transactions else []]
    found = {(await application.process_proposal(abci.RequestProcessProposal(txs=way))).status for way in ways}
    assert 1 == len(found)
    return found.pop()


async def test_caps_hold_and_others_follow(make_bench):
    """Each organisation up to its cap, in its order; what waits is proposed next."""
    bench = make_bench(parameters=Parameters(block_operations_per_organisation=3))
    application = bench.application()
    first, second, third = (bench.note(key=key, count=2) for key in "abc")
    small, other = bench.note(key="d"), bench.note("clinic", key="x", count=3)
    pool = [first, second, third, small, other]
    assert [first, other] == await proposed(application, *pool)
    assert ACCEPT == await vote(application, first, other)
    assert REJECT == await vote(application, first, second)
    pool = [raw for raw in pool if raw not in (first, other)]
    assert [second] == await proposed(application, *pool)
    assert [third, small] == await proposed(application, third, small)


async def test_what_became_void_is_proposed_all_the_same(bench):
    """Who waits for what has expired learns of it from a block: it is included and refused there."""
    application = bench.application()
    expired = bench.note(key="b", expires=1_500)
    assert [expired] == await proposed(application, expired)
    await bench.block(application, time=2_000)
    answer = await application.prepare_proposal(abci.RequestPrepareProposal(max_tx_bytes=LARGE))
    assert [[expired]] == [decode_bundle(bundle) for bundle in answer.txs]
    assert ACCEPT == await vote(application, expired)
    await bench.block(application, expired)
    assert ["expired"] == bench.refused()


async def test_what_is_no_bundle_is_voted_against(bench):
    """A proposal of anything else than bundles is refused."""
    application = bench.application()
    for content in (b"", b"nonsense", bench.note(), encode_bundle([])):
        answer = await application.process_proposal(abci.RequestProcessProposal(txs=[content]))
        assert REJECT == answer.status


async def test_what_was_never_admitted_is_left_out_and_voted_against(bench):
    """A malformed or forged transaction is never proposed; a proposal that holds one, or one twice, is refused."""
    application = bench.application()
    good, forged = bench.note(key="a"), bench.forged(bench.note(key="b"))
    assert [good] == await proposed(application, b"nonsense", forged, good)
    assert ACCEPT == await vote(application)
    assert REJECT == await vote(application, good, b"nonsense")
    assert REJECT == await vote(application, good, forged)
    assert REJECT == await vote(application, good, good)


async def test_author_of_another_history_is_voted_against(bench):
    """A proposal whose author saw a root that this history never had is refused; earlier roots of it are fine."""
    application = bench.application()
    before = (0, application.state.frontier.root())
    await bench.block(application, bench.note(key="a"))
    now = (1, application.state.frontier.root())
    for number, seen in enumerate((before, now)):
        assert ACCEPT == await vote(application, bench.note(key=f"good{number}", seen=seen))
    for number, seen in enumerate(((1, b"x" * 32), (0, now[1]), (2, now[1]))):
        assert REJECT == await vote(application, bench.note(key="b"), bench.note(key=f"bad{number}", seen=seen))


async def test_block_size_is_kept(bench):
    """The engine's limit counts each transaction with its frame; what does not fit waits."""
    application = bench.application()
    first, second = bench.note(key="a"), bench.note("clinic", key="b")
    both = bundled_bytes(first) + bundled_bytes(second)
    both += both - room_in_block(both)
    assert [first, second] == await proposed(application, first, second, max_bytes=both)
    assert [first] == await proposed(application, first, second, max_bytes=both - 1)


async def test_backlog_of_one_leaves_room_for_others(make_bench):
    """Where not all fits, organisations take turns by cost, and the block keeps the order of arrival."""
    bench = make_bench(parameters=Parameters(block_operations=6, block_operations_per_organisation=6))
    application = bench.application()
    flood = [bench.note(key=f"f{number}") for number in range(20)]
    others = [bench.note("clinic", key=f"o{number}") for number in range(2)]
    assert [*flood[:4], *others] == await proposed(application, *flood, *others)
    assert [*flood[:6]] == await proposed(application, *flood)


@pytest.mark.parametrize("size", [120, 129, 130, 131, 16_386, 16_387, 16_388, 1 << 20])
def test_frame_is_counted_as_protobuf_writes_it(size):
    """What is left for the bundle is the block's size without a tag and a length."""
    content = b"x" * (room_in_block(size) + STREAM_BYTES)
    assert abci.ResponsePrepareProposal(txs=[content]).ByteSize() <= size


def signed(name, count, number):
    notes = [PutNote(key=f"{number}/{index}", text="x") for index in range(count)]
    raw = TOY.sign(name, *notes, nonce=f"{number:032x}")
    return decode_transaction(raw, TOY.state.genesis_hash)


@pytest.mark.parametrize("room", range(400_000, 400_032))
def test_frames_of_several_bundles_are_counted(room):
    """However little room there is, a block that cannot be compressed is not longer than the engine lets it be."""
    texts = [secrets.token_hex(1_500) for _ in range(200)]
    raws = [TOY.sign("bank", PutNote(key=f"k{number}", text=text)) for number, text in enumerate(texts)]
    waiting = [decode_transaction(raw, TOY.state.genesis_hash) for raw in raws]
    chosen = choose(waiting, Parameters(), room_in_block(room))
    stored = [Bundle(each.transactions, _stored(each.transactions)) for each in cut_bundles(chosen)]
    assert len(stored) > 4
    assert abci.ResponsePrepareProposal(txs=[each.encoded for each in stored]).ByteSize() <= room
    assert len(chosen) < len(raws)


def _stored(transactions):
    """Return a bundle as it is where nothing in it can be compressed."""
    return zlib.compress(b"".join(len(raw).to_bytes(4, "big") + raw for raw in transactions), 0)


@given(
    pool=st.lists(st.tuples(st.sampled_from(["bank", "clinic"]), st.integers(1, 4)), min_size=1, max_size=14),
    cap=st.integers(4, 8),
    block=st.integers(1, 12),
    max_bytes=st.integers(1_600, 8_000),
)
def test_every_choice_is_voted_for_and_the_mempool_empties(pool, cap, block, max_bytes):
    """Whatever waits, each block holds some of it, all vote for it, and after some blocks none is left."""
    parameters = Parameters(block_operations_per_organisation=cap, block_operations=block)
    waiting = [signed(name, count, number) for number, (name, count) in enumerate(pool)]
    order = {item.raw: number for number, item in enumerate(waiting)}
    while waiting:
        chosen = choose(waiting, parameters, max_bytes)
        assert chosen
        assert sum(map(bundled_bytes, chosen)) <= max_bytes
        assert len(encode_bundle(chosen)) <= max_bytes
        answer = abci.ResponsePrepareProposal(txs=[bundle.encoded for bundle in cut_bundles(chosen)])
        assert room_in_block(answer.ByteSize()) <= max_bytes
        assert sorted(chosen, key=order.__getitem__) == chosen
        by_raw = {item.raw: Checked(item, True) for item in waiting}
        assert find_fault([by_raw[raw] for raw in chosen], parameters) is None
        waiting = [item for item in waiting if item.raw not in chosen]
