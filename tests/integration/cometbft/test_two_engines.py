"""Law 1 under both engines: what a real engine decided, the embedded engine would have made of it, byte for byte.

Random courses of business run through a real engine of one validator. The blocks that it decided are then executed from
genesis in memory, and given to the embedded engine at the times of these blocks: results, records, headers and receipts
must be the same. Half of the courses run behind an application that lets everything into a block, which no honest one
does, so that execution meets whatever bytes a hostile majority could decide.
"""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import ClassVar, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tallystick.codec import sha256
from tallystick.errors import RejectedError
from tallystick.machine import Block, execute_block
from tallystick.merkle import path_in
from tallystick.modules import genesis_writes, rulebook
from tallystick.node.homes import first_trust
from tallystick.ordering import InlineVerifier, Solo
from tallystick.proofs import cosign, decode_header, verify_receipt
from tallystick.proofs.headers import decode_signatures
from tallystick.proofs.receipts import build_receipt
from tallystick.store import LedgerStore
from tests.integration.cometbft.application import system_key
from tests.integration.cometbft.network import CHAIN, EMPTY_SEEN, GENESIS, Network, first_state, now_ms, ready, until
from tests.support.trade import FAULTS, NEVER_ADMITTED, PARTIES, Moment, plans, sign_plan
from tests.support.zones import HOSPITAL

pytestmark = pytest.mark.timeout(3_600)
COURSES = int(os.environ.get("TALLY_FAULT_ROUNDS", "8"))
# Refusals by number that depend on nothing but the transaction and the block's time: the embedded engine gives the same.
SAME_ANYWHERE = ("bad_signature", "expired", "expires_too_late", "malformed", "repeated", "unknown_key")


class Decided(NamedTuple):
    """A block as the engine decided it, and what the engine keeps of its results."""

    height: int
    time: int
    transactions: tuple
    results: tuple


class Obedient(Solo):
    """The embedded engine, but for the turns that it gives to organisations: the order was decided elsewhere."""

    order: ClassVar = []

    def _take(self):
        return sorted(super()._take(), key=lambda item: self.order.index(item.transaction.raw))


class Course(NamedTuple):
    """What a real engine made of a course of business."""

    decided: list
    blocks: list
    records: dict
    sent: list
    refused: list


def waves(faults):
    """Return a strategy of transactions in the order in which they are sent, those of a wave at once."""
    return st.lists(st.lists(plans(faults), min_size=2, max_size=6), min_size=4, max_size=8)


# Not shrunk: each try runs an engine for a second or two.
@settings(max_examples=COURSES, phases=(Phase.explicit, Phase.generate))
@given(
    st.one_of(
        st.tuples(st.just(True), waves(sorted({*FAULTS} - {"elsewhere"}))), st.tuples(st.just(False), waves(FAULTS))
    )
)
def test_both_engines_make_the_same_of_the_same_blocks(script):
    """App hashes, outcomes, records, headers and receipts do not depend on who decided the order."""
    lenient, course = script
    with tempfile.TemporaryDirectory(prefix="two-") as folder:
        ran = asyncio.run(run_course(Path(folder) / "net", course, lenient))
        if not lenient:
            assert_only_good_ones_got_in(course, ran)
        results = replay(ran)
        path = Path(folder) / "solo.db"
        LedgerStore.create(path, rulebook(), chain=CHAIN, genesis=GENESIS, records=genesis_writes(GENESIS))
        store = LedgerStore(path, rulebook())
        asyncio.run(order_alone(store, results))
        alone = list(store.blocks(1))
        assert ran.blocks == alone
        assert ran.records == {(name, key): value for name, key, value in store.all_records()}
        store.close()
        receipts = receipts_over(ran.blocks, results)
        assert receipts == receipts_over(alone, results)
        assert_receipts_verify(receipts, results)


async def run_course(folder, course, lenient):
    """Send a course of business through a real engine; return what it decided and what the ledger then has."""
    network = Network(folder, lenient=lenient)
    (machine,) = network.machines
    sent, refused = [], []
    try:
        network.start()
        await ready(machine)
        async with machine.rpc() as rpc:
            for wave in course:
                store = machine.store()
                last = store.last_block()
                seen = EMPTY_SEEN if last is None else (last.size, last.history_root)
                moment = Moment(store, seen, now_ms(), sha256(GENESIS))
                raws = [sign_plan(plan, len(sent) + at, moment, sent) for at, plan in enumerate(wave)]
                store.close()
                answers = await rpc.send(raws)
                refused += [raw for raw, answer in zip(raws, answers, strict=True) if answer.code]
                sent += raws
                await until(lambda: _mempool_is_empty(rpc), f"a wave to be decided\n{machine.tail()}")
            height = machine.on_disk()[0]
            store = machine.store()
            blocks = list(store.blocks(1, height))
            records = {(name, key): value for name, key, value in store.all_records()}
            # The engine may make its empty block behind the last one at any time; records are those of `height`, or of
            # that one, which changes none.
            store.close()
            decided = [
                Decided(
                    block.height,
                    decode_header(block.header).time,
                    await rpc.transactions(block.height),
                    tuple((await rpc._one("block_results", height=str(block.height)))["txs_results"] or ()),
                )
                for block in blocks
            ]
    finally:
        network.stop()
    return Course(decided, blocks, records, sent, refused)


async def _mempool_is_empty(rpc):
    return (await rpc._one("num_unconfirmed_txs"))["n_txs"] == "0"


def assert_only_good_ones_got_in(course, ran):
    """An honest validator lets nothing into a block that is known to be bad, and refuses nothing else."""
    inside = {raw for block in ran.decided for raw in block.transactions}
    faults = [plan.fault for wave in course for plan in wave]
    bad = {raw for raw, fault in zip(ran.sent, faults, strict=True) if fault in NEVER_ADMITTED}
    assert not inside & bad
    assert bad <= set(ran.refused)
    good = {raw for raw, fault in zip(ran.sent, faults, strict=True) if fault in ("", "role")}
    assert good <= inside


def replay(ran):
    """Execute the decided blocks from genesis in memory; return (block, result) of each, compared with what was kept."""
    state, results = first_state(), []
    for decided, kept in zip(ran.decided, ran.blocks, strict=True):
        result = execute_block(state, Block(decided.height, decided.time, decided.transactions), rulebook())
        state.reader.write(result.writes)
        result.commit_to(state)
        assert decode_header(kept.header).app_hash == result.app_hash.hex()
        assert len(decided.transactions) == len(result.results)
        assert all((told["code"], told["data"]) == (0, None) for told in decided.results)
        reached = _reached(decided, result)
        assert (reached, result.size, result.history_root, result.state_root) == (
            kept.transactions,
            kept.size,
            kept.history_root,
            kept.state_root,
        )
        results.append((decided, result))
    assert state.reader.records == ran.records
    return results


def _reached(decided, result):
    """Return the transactions of a block that reached the history."""
    both = zip(decided.transactions, result.results, strict=True)
    return tuple(raw for raw, done in both if done.refused is None)


async def order_alone(store, results):
    """Give the decided blocks to the embedded engine: what was recorded before the block is due, what was refused after."""
    clock = results[0][0].time
    engine = Obedient(
        store.load_state(),
        store,
        rulebook(),
        system_key(HOSPITAL),
        InlineVerifier(),
        organisation=HOSPITAL,
        clock_ms=lambda: clock,
        previous=store.last_header_hash(),
    )
    engine.start()
    for decided, result in results:
        clock = decided.time
        engine.order[:] = decided.transactions
        pending = [engine.submit(raw) for raw in _reached(decided, result)]
        if pending:
            recorded = [done for done in result.results if done.refused is None]
            for done, told in zip(recorded, await asyncio.gather(*pending), strict=True):
                assert (done.transaction.id, decided.height, done.first_leaf) == told[:3]
                assert [outcome.code for outcome in done.outcomes] == [outcome.code for outcome in told.outcomes]
        else:
            engine._make_block([])
        for raw, done in zip(decided.transactions, result.results, strict=True):
            if done.refused is not None and done.refused.name in SAME_ANYWHERE:
                with pytest.raises(RejectedError) as caught:
                    await engine.submit(raw)
                assert done.refused.code == caught.value.code
    await engine.stop()


def receipts_over(blocks, results):
    """Return the receipt of each operation that is one, over the block that has it, by its place in the history."""
    leaves = [leaf for _, result in results for leaf in result.leaves]
    return {
        done.first_leaf + index: _receipt(kept, done, index, leaves)
        for kept, (_, result) in zip(blocks, results, strict=True)
        for done in result.results
        for index in range(len(done.outcomes))
        if done.transaction.operations[index][:1] == b"{"
    }


def assert_receipts_verify(receipts, results):
    """Every receipt verifies against the zone's trust file, and says what execution said."""
    trust = first_trust(GENESIS, {HOSPITAL: system_key(HOSPITAL)})
    outcomes = [outcome.code for _, result in results for done in result.results for outcome in done.outcomes]
    for leaf, data in receipts.items():
        found = verify_receipt(data, trust)
        assert (leaf, outcomes[leaf]) == (found.leaf_index, found.outcome)


def _receipt(kept, done, index, leaves):
    leaf = done.first_leaf + index
    header = decode_header(kept.header)
    return build_receipt(
        transaction=done.transaction.raw,
        index=index,
        outcome=done.outcomes[index].code,
        height=kept.height,
        time=header.time,
        leaf_index=leaf,
        size=kept.size,
        path=path_in(leaves[: kept.size], leaf),
        state_root=kept.state_root,
        header=header,
        header_signatures=decode_signatures(kept.signatures),
        cosignatures=[
            cosign(
                CHAIN,
                kept.size,
                kept.history_root,
                organisation=name,
                signer=system_key(name),
                time_s=header.time // 1_000,
            )
            for name in PARTIES
            if name != HOSPITAL
        ],
    )
