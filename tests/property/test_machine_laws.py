"""Laws 1, 4 and 5 over the toy rulebook: replay is exact, history only grows, a rejection changes nothing else."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.codec import decode_json, encode_json, sha256
from tallystick.machine import Block, Parameters, decode_transaction, execute_block
from tallystick.machine.execution import app_hash_of
from tallystick.merkle import (
    Frontier,
    StateTree,
    consistency_path,
    leaf_hash,
    root_from_hashes,
    state_key,
    state_leaf,
    verify_consistency,
)
from tallystick.store import LedgerStore
from tests.support.blocks import GOOD_PLANS, HISTORIES, STEPS
from tests.support.toy import HOLDERS, RULEBOOK, Holder, Toy

PARAMETERS = st.sampled_from(
    [
        Parameters(),
        Parameters(block_operations_per_organisation=3),
        Parameters(records_per_organisation=2),
        Parameters(max_operations=2, max_transaction_bytes=700),
    ]
)


def blocks_of(toy, history):
    """Return the blocks of a planned history: (time, transactions), each also repeating an earlier transaction."""
    time, blocks = 1_000, []
    for step, plans in history:
        time += step
        transactions = [plan.sign(toy, time) for plan in plans]
        if blocks and blocks[-1][1] and len(plans) > 2:
            transactions.append(blocks[-1][1][0])
        blocks.append((time, transactions))
    return blocks


def run(toy, blocks):
    """Execute blocks on a dictionary; return the results."""
    return [toy.run(*transactions, time=time) for time, transactions in blocks]


def facts(result):
    """Return what two executions must agree on."""
    codes = [
        (done.refused.name if done.refused else "", [outcome.code for outcome in done.outcomes], done.first_leaf)
        for done in result.results
    ]
    return (result.app_hash, result.state_root, result.history_root, result.size, result.leaves, result.writes, codes)


@given(HISTORIES, PARAMETERS)
def test_two_machines_agree_at_every_height(history, parameters):
    """Law 1: the same blocks give the same roots, leaves, writes and outcomes."""
    first, second = Toy(parameters), Toy(parameters)
    blocks = blocks_of(first, history)
    assert [facts(result) for result in run(first, blocks)] == [facts(result) for result in run(second, blocks)]
    assert first.reader.records == second.reader.records


@settings(max_examples=25)
@given(HISTORIES, PARAMETERS, st.sets(st.integers(0, 7)))
def test_a_store_agrees_with_a_dictionary_also_when_reopened_at_any_height(history, parameters, reopened):
    """Law 1: on disk, closed and opened again between blocks, everything is as it is in memory."""
    toy = Toy(parameters)
    blocks = blocks_of(toy, history)
    # A store keeps each id once, and orderers put no refused transaction into a block.
    expected = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        LedgerStore.create(path, RULEBOOK, chain=toy.state.chain, genesis=toy.genesis, records=toy.records())
        store = LedgerStore(path, RULEBOOK)
        state = store.load_state()
        for number, (time, transactions) in enumerate(blocks):
            probe = toy.execute(*transactions, time=time)
            kept = tuple(raw for raw, done in zip(transactions, probe.results, strict=True) if done.refused is None)
            expected.append(facts(toy.run(*kept, time=time)))
            if number in reopened:
                store.close()
                store = LedgerStore(path, RULEBOOK)
                state = store.load_state()
            result = execute_block(state, Block(state.height + 1, time, kept), RULEBOOK)
            assert expected[-1] == facts(result)
            store.commit_block(result, encode_json({"height": state.height + 1}), b"s" * 64)
            result.commit_to(state)
        assert toy.reader.records == {(name, key): value for name, key, value in store.all_records()}
        leaves = [leaf for fact in expected for leaf in fact[4]]
        assert leaves == list(store.leaves(0, len(leaves)))
        store.close()
        store = LedgerStore(path, RULEBOOK, read_only=True)
        again = store.load_state()
        assert (state.height, state.time, state.accepted, state.accepted_blocks) == (
            again.height,
            again.time,
            again.accepted,
            again.accepted_blocks,
        )
        assert (state.tree.root, state.frontier) == (again.tree.root, again.frontier)
        store.close()


@given(HISTORIES)
def test_transactions_decoded_and_verified_beforehand_make_no_difference(history):
    """Law 1: whoever checked signatures and when, the outcome is the same."""
    first, second = Toy(), Toy()
    for time, transactions in blocks_of(first, history):
        plain = first.execute(*transactions, time=time)
        decoded = []
        for raw in transactions:
            try:
                decoded.append(decode_transaction(raw, second.state.genesis_hash))
            except ValueError as error:
                decoded.append(error)
        block = Block(second.state.height + 1, time, tuple(transactions))
        assert facts(plain) == facts(execute_block(second.state, block, RULEBOOK, decoded=decoded))
        first.run(*transactions, time=time)
        second.run(*transactions, time=time)


@given(HISTORIES)
def test_refused_transactions_leave_no_trace(history):
    """What does not reach the history changes neither roots nor records: the block without it has the same outcome."""
    full, bare = Toy(), Toy()
    for time, transactions in blocks_of(full, history):
        result = full.run(*transactions, time=time)
        kept = [raw for raw, done in zip(transactions, result.results, strict=True) if done.refused is None]
        assert result.app_hash == bare.run(*kept, time=time).app_hash
    assert full.reader.records == bare.reader.records


@given(HISTORIES)
def test_roots_are_those_of_the_records_and_leaves(history):
    """State root and history root follow from all records and all leaves, computed at once."""
    toy = Toy()
    leaves = []
    for time, transactions in blocks_of(toy, history):
        result = toy.run(*transactions, time=time)
        leaves += [leaf_hash(leaf) for leaf in result.leaves]
        entries = []
        for (collection, key), value in toy.reader.records.items():
            place = state_key(collection, key)
            entries.append((place, state_leaf(place, sha256(value))))
        assert StateTree.build(entries).root == result.state_root
        assert root_from_hashes(leaves) == result.history_root
        assert app_hash_of(result.state_root, result.history_root, len(leaves)) == result.app_hash


@given(HISTORIES)
def test_history_only_grows(history):
    """Law 4: every earlier history is the beginning of every later one, and only bookkeeping is ever removed."""
    toy = Toy()
    heads = [(0, Frontier().root())]
    leaves = []
    for time, transactions in blocks_of(toy, history):
        before = dict(toy.reader.records)
        result = toy.run(*transactions, time=time)
        leaves += result.leaves
        heads.append((result.size, result.history_root))
        assert {where[0] for where in before if where not in toy.reader.records} <= {"accepted"}
    assert len(leaves) == heads[-1][0]

    def node(level, index):
        return root_from_hashes([leaf_hash(leaf) for leaf in leaves[index << level : (index + 1) << level]])

    for at, (size, root) in enumerate(heads):
        for later, later_root in heads[at:]:
            assert verify_consistency(size, root, later, later_root, consistency_path(size, later, node))
    indexes = [(decode_json(leaf)["height"], decode_json(leaf)["index"]) for leaf in leaves]
    assert sorted(height for height, _ in indexes) == [height for height, _ in indexes]


@given(st.lists(st.tuples(STEPS, st.lists(GOOD_PLANS, max_size=4)), max_size=6), PARAMETERS, st.booleans())
def test_rejected_operation_changes_nothing_but_its_outcome(history, parameters, secure):
    """Law 5: leave the rejected operations out, and all records and events are the same; only leaves are missing."""
    full, bare = Toy(parameters), Toy(parameters)
    for toy in (full, bare):
        if secure:
            grant_security(toy)
    for time, transactions in blocks_of(full, history):
        result = full.execute(*transactions, time=time)
        kept = []
        for raw, done in zip(transactions, result.results, strict=True):
            accepted = [
                operation
                for operation, outcome in zip(
                    decode_transaction(raw, full.state.genesis_hash).operations, done.outcomes, strict=False
                )
                if outcome.code == 0
            ]
            if accepted:
                payload = done.transaction.payload
                kept.append(bare.sign(payload.organisation, *accepted, atomic=payload.atomic, expires=payload.expires))
        full.run(*transactions, time=time)
        without = bare.run(*kept, time=time)
        assert all(outcome.code == 0 for done in without.results for outcome in done.outcomes)
        assert [emitted.event for emitted in result.events] == [emitted.event for emitted in without.events]
        assert recorded(full) == recorded(bare)


@given(st.lists(GOOD_PLANS, min_size=1, max_size=4))
def test_executing_changes_nothing_until_it_is_committed(plans):
    """Executing is pure: a block tried and dropped leaves the state as it was, accepted ids included."""
    toy = Toy()
    toy.run(*(plan.sign(toy, 1_000) for plan in plans[:1]))
    before = (toy.state.tree.root, toy.state.frontier.copy(), set(toy.state.accepted), dict(toy.reader.records))
    transactions = [plan.sign(toy, 2_000) for plan in plans]
    first = facts(toy.execute(*transactions, time=2_000))
    assert before == (toy.state.tree.root, toy.state.frontier, toy.state.accepted, toy.reader.records)
    assert first == facts(toy.execute(*transactions, time=2_000))


@given(st.lists(GOOD_PLANS, min_size=1, max_size=4))
def test_a_transaction_is_accepted_once(plans):
    """However often and in whichever block it comes, it has one place in the history."""
    toy = Toy()
    transactions = list(dict.fromkeys(plan.sign(toy, 1_000) for plan in plans))
    first = toy.run(*transactions, *transactions)
    again = toy.run(*transactions, time=5_999)
    assert len(first.leaves) == sum(len(done.outcomes) for done in first.results[: len(transactions)])
    refused = {done.refused.name for done in (*first.results[len(transactions) :], *again.results)}
    assert {"repeated"} == refused
    assert {"expired"} == {done.refused.name for done in toy.run(*transactions, time=6_001).results}


def grant_security(toy):
    """Give the bank's key the role that replacing needs, as if by its genesis."""
    key = toy.keys["bank"].verify_key.encode().hex()
    value = HOLDERS.encode(Holder(organisation="bank", roles=["security", "service"]))
    toy.reader.records[("holders", key)] = value
    place = state_key("holders", key)
    toy.state.tree.apply(toy.state.tree.preview({place: state_leaf(place, sha256(value))}))


def recorded(toy):
    """Return all records but the machine's ids of accepted transactions."""
    return {where: value for where, value in toy.reader.records.items() if where[0] != "accepted"}
