"""execute_block: what reaches the history, what changes the state, and what leaves nothing behind."""

import pytest

from tallystick.codec import sha256
from tallystick.machine import Block, Parameters, execute_block, history_leaf
from tallystick.machine.execution import app_hash_of
from tallystick.machine.parameters import ACCEPTED, USAGE
from tallystick.merkle import leaf_hash, root_from_hashes
from tests.support.toy import HOLDERS, NOTES, RULEBOOK, Holder, PutNote, ReplaceNote, Toy


def note(key: str, text: str = "hello") -> PutNote:
    return PutNote(key=key, text=text)


def codes(result):
    return [[outcome.code for outcome in done.outcomes] for done in result.results]


def refusals(result):
    return [None if done.refused is None else done.refused.name for done in result.results]


def test_accepted_operation_is_recorded_with_leaf_event_and_roots():
    """One accepted operation leaves one leaf, one event, its record, and roots that recompute."""
    toy = Toy()
    raw = toy.sign("bank", note("a"))
    result = toy.run(raw)

    transaction = result.results[0].transaction
    assert transaction is not None
    leaf = history_leaf(1, 1_000, transaction.id.hex(), 0, transaction.operations[0], 0)
    assert [leaf] == result.leaves
    assert root_from_hashes([leaf_hash(leaf)]) == result.history_root
    assert app_hash_of(result.state_root, result.history_root, 1) == result.app_hash
    assert ["a"] == [emitted.event.key for emitted in result.events]
    assert "hello" == NOTES.decode(toy.reader.read("notes", "a")).text


def test_rejected_operation_is_recorded_and_changes_nothing_else():
    """A rejection has its leaf and number, and no record or event."""
    toy = Toy()
    toy.run(toy.sign("bank", note("a")))
    result = toy.run(toy.sign("clinic", note("a", "mine")))
    assert [[9001]] == codes(result)
    assert 1 == len(result.leaves)
    assert [] == result.events
    assert {"accepted"} == {collection for collection, _, _ in result.writes}


def test_atomic_transaction_is_all_or_nothing():
    """One bad operation of an atomic transaction aborts the others, each with its own leaf."""
    toy = Toy()
    result = toy.run(toy.sign("bank", note("a"), note("b", ""), note("c")))
    assert [[12, 9002, 12]] == codes(result)
    assert 3 == len(result.leaves)
    assert None is toy.reader.read("notes", "a")
    assert None is toy.reader.read("usage", "bank")


def test_batch_that_is_not_atomic_keeps_what_is_good():
    """In a batch each operation stands alone."""
    toy = Toy()
    result = toy.run(toy.sign("bank", note("a"), note("a"), note("c"), atomic=False))
    assert [[0, 9001, 0]] == codes(result)
    assert 2 == USAGE.decode(toy.reader.read("usage", "bank")).records


def test_role_is_needed():
    """A key without the role is refused by number, on the record."""
    toy = Toy()
    assert [[11]] == codes(toy.run(toy.sign("bank", ReplaceNote(key="a", text="x"))))


@pytest.mark.parametrize(
    "operation", [b"{}", b"[]", b'{"type":"unknown"}', b'{"type":"put_note","key":"a","text":"b"}', b"\xff"]
)
def test_malformed_operation_is_recorded_as_such(operation):
    """What is not the canonical form of an operation is rejected, never an exception."""
    toy = Toy()
    assert [[10]] == codes(toy.run(toy.sign("bank", operation)))


def test_what_leaves_nothing_on_the_history():
    """Malformed, unsigned, expired, far-off, repeated and unregistered transactions have no leaf."""
    toy = Toy()
    good = toy.sign("bank", note("a"))
    flipped = good[:-40] + bytes((good[-40] ^ 1,)) + good[-39:]
    unsigned = bytearray(good)
    position = good.index(b"\x58\x40") + 10
    unsigned[position] ^= 1
    result = toy.run(
        b"",
        flipped,
        bytes(unsigned),
        toy.sign("bank", note("b"), expires=999),
        toy.sign("bank", note("b"), expires=1_000 + 3_600_001),
        good,
        good,
        toy.sign("bank", note("b"), claim="clinic"),
    )
    expected = [
        "malformed",
        "malformed",
        "bad_signature",
        "expired",
        "expires_too_late",
        None,
        "repeated",
        "unknown_key",
    ]
    assert expected == refusals(result)
    assert 1 == len(result.leaves)
    assert ["repeated"] == refusals(toy.run(good, time=2_000))


def test_suspended_organisation_leaves_nothing():
    """A suspended organisation's transactions are refused."""
    toy = Toy()
    key = toy.keys["bank"].verify_key.encode().hex()
    toy.reader.records[("holders", key)] = HOLDERS.encode(
        Holder(organisation="bank", roles=["service"], suspended=True)
    )
    assert ["organisation_suspended"] == refusals(toy.run(toy.sign("bank", note("a"))))


def test_cap_of_an_organisation_in_a_block_spares_the_others():
    """Beyond its cap an organisation waits; the others do not."""
    toy = Toy(Parameters(block_operations_per_organisation=2))
    result = toy.run(toy.sign("bank", note("a"), note("b")), toy.sign("bank", note("c")), toy.sign("clinic", note("d")))
    assert [None, "block_cap", None] == refusals(result)


def test_quota_of_records_is_kept():
    """An organisation cannot create more records than its quota, over blocks and within one."""
    toy = Toy(Parameters(records_per_organisation=3))
    toy.run(toy.sign("bank", note("a"), note("b")))
    result = toy.run(toy.sign("bank", note("c"), note("d"), atomic=False), toy.sign("bank", note("e")))
    assert [[0, 13], [13]] == codes(result)


def test_empty_block_leaves_the_app_hash_alone():
    """An empty block, or one with nothing that counts, does not change the app hash."""
    toy = Toy()
    before = toy.run(toy.sign("bank", note("a")))
    assert before.app_hash == toy.run(time=9_000_000).app_hash
    assert before.app_hash == toy.run(b"garbage", time=9_000_000).app_hash


def test_accepted_ids_are_forgotten_after_they_expire_and_then_refused_as_expired():
    """Ids are records until they expire; afterwards the same bytes are refused as expired."""
    toy = Toy()
    raw = toy.sign("bank", note("a"), expires=5_000)
    toy.run(raw)
    assert 1 == len(list(toy.reader.scan(ACCEPTED.name)))
    toy.run(toy.sign("bank", note("b"), expires=90_000), time=6_000)
    assert ["000000000002"] == [key for key, _ in toy.reader.scan(ACCEPTED.name)]
    assert ["expired"] == refusals(toy.run(raw, time=6_000))
    assert 1 == len(toy.state.accepted)


def test_execution_does_not_change_the_state_before_commit():
    """execute_block is pure: twice the same block, twice the same result, and the state untouched."""
    toy = Toy()
    raw = toy.sign("bank", note("a"))
    root = toy.state.tree.root
    assert toy.execute(raw).app_hash == toy.execute(raw).app_hash
    assert root == toy.state.tree.root
    assert 0 == toy.state.frontier.size


def test_block_must_follow_the_state():
    """A block of another height or an earlier time is the caller's fault."""
    toy = Toy()
    toy.run(toy.sign("bank", note("a")), time=2_000)
    for block in (Block(1, 3_000, ()), Block(3, 3_000, ()), Block(2, 1_999, ())):
        with pytest.raises(ValueError, match="does not follow"):
            execute_block(toy.state, block, RULEBOOK)


def test_leaf_is_at_most_512_bytes():
    """The largest leaf fits the limit of the format."""
    leaf = history_leaf(2**53, 2**53, sha256(b"").hex(), 999, b"", 99_999)
    assert 512 >= len(leaf)
