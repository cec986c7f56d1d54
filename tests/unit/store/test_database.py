"""ledger.db: what is committed comes back, whole or not at all."""

import sqlite3
import zlib

import pytest

from tallystick.codec import encode_json
from tallystick.codec.bundles import Bundle, cut_bundles
from tallystick.errors import IntegrityError, StorageError
from tallystick.machine import Block, decode_transaction, execute_block
from tallystick.merkle import leaf_hash, root_from_hashes
from tallystick.store import DamagedError, LedgerStore, open_reader
from tallystick.store.bundles import place_of
from tests.support.toy import RULEBOOK, PutNote, Toy

ROWS = "SELECT bytes FROM bundles ORDER BY place"


@pytest.fixture
def toy():
    return Toy()


@pytest.fixture
def store(toy, tmp_path):
    path = tmp_path / "ledger.db"
    LedgerStore.create(path, RULEBOOK, chain="toy-00000000", genesis=toy.genesis, records=toy.records())
    opened = LedgerStore(path, RULEBOOK)
    yield opened
    opened.close()


def commit(store, state, toy, *keys, time=1_000):
    transactions = tuple(toy.sign("bank", PutNote(key=key, text="hello")) for key in keys)
    result = execute_block(state, Block(state.height + 1, time, transactions), RULEBOOK)
    store.commit_block(result, encode_json({"height": state.height + 1}), b"s" * 64)
    result.commit_to(state)
    return result


def test_state_after_reopening_is_the_state_before(store, toy):
    """Roots, height, time and accepted ids survive closing and opening."""
    state = store.load_state()
    commit(store, state, toy, "a", "b")
    last = commit(store, state, toy, "c", time=2_000)
    again = LedgerStore(store.path, RULEBOOK, read_only=True)
    loaded = again.load_state()
    assert (2, 2_000) == (loaded.height, loaded.time)
    assert last.state_root == loaded.tree.root
    assert last.history_root == loaded.frontier.root()
    assert state.accepted == loaded.accepted
    again.close()


def test_leaves_are_rebuilt_from_transactions(store, toy):
    """The history's leaves need not be kept: they follow from transactions and outcomes."""
    state = store.load_state()
    result = commit(store, state, toy, "a", "b", "a")
    assert result.leaves == list(store.leaves(0, 3))
    assert result.history_root == root_from_hashes([leaf_hash(leaf) for leaf in store.leaves(0, 3)])
    assert result.history_root == store.history_root(3)
    assert None is store.history_root(2)


def test_views_read_well(store, toy):
    """Each collection is a view with readable times; `history` shows who did what when."""
    state = store.load_state()
    commit(store, state, toy, "a")
    connection = open_reader(store.path)
    assert [("a", "hello", "bank", "1970-01-01T00:00:01.000Z")] == connection.execute("SELECT * FROM notes").fetchall()
    row = connection.execute('SELECT leaf, height, time, organisation, type, outcome, "index" FROM history').fetchone()
    assert (0, 1, "1970-01-01T00:00:01.000Z", "bank", "put_note", 0, 0) == row
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM records")
    connection.close()


def test_failed_commit_leaves_everything_as_it_was(store, toy):
    """A write that fails half way is undone as a whole, and the same block can be tried again."""
    state = store.load_state()
    commit(store, state, toy, "a")
    transactions = (toy.sign("bank", PutNote(key="b", text="hello")),)
    result = execute_block(state, Block(2, 1_500, transactions), RULEBOOK)
    store._connection.execute(
        "CREATE TEMP TRIGGER full BEFORE INSERT ON main.events BEGIN SELECT RAISE(FAIL, 'disk is full'); END"
    )
    with pytest.raises(StorageError, match="disk is full"):
        store.commit_block(result, b"{}", b"s" * 64)
    store._connection.execute("DROP TRIGGER full")
    assert 1 == store.last_block().height
    assert None is store.read("notes", "b")
    store.commit_block(result, b"{}", b"s" * 64)
    assert 2 == store.last_block().height


def test_altered_record_is_noticed_at_start(store, toy):
    """A record changed behind the program's back does not load."""
    state = store.load_state()
    commit(store, state, toy, "a")
    store._connection.execute("UPDATE records SET value = replace(value, 'hello', 'jello') WHERE collection = 'notes'")
    with pytest.raises(IntegrityError, match="does not match its own last block"):
        store.load_state()


def test_existing_ledger_is_never_overwritten(store, toy):
    """Creating where a ledger is refuses."""
    with pytest.raises(StorageError, match="exists already"):
        LedgerStore.create(store.path, RULEBOOK, chain="x", genesis=b"{}", records=[])


def test_what_is_not_a_ledger_is_refused_with_a_remedy(tmp_path):
    """No file, and a file of something else, give a clear error."""
    with pytest.raises(StorageError, match="no ledger"):
        open_reader(tmp_path / "ledger.db")
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StorageError) as caught:
        open_reader(tmp_path / "ledger.db")
    assert "tally ledger check" in caught.value.remedy


def test_transaction_that_is_kept_already_is_not_kept_twice(store, toy):
    """A block with one of a block before, and one twice, keeps the others, in their order."""
    state = store.load_state()
    first, second, third = (toy.sign("bank", PutNote(key=key, text="hello")) for key in "abc")
    for transactions in ((first,), (second, first, third, second)):
        result = execute_block(state, Block(state.height + 1, 1_000, transactions), RULEBOOK)
        store.commit_block(result, encode_json({"height": state.height + 1}), b"s" * 64)
        result.commit_to(state)
    assert [(first,), (second, third)] == [block.transactions for block in store.blocks(1)]
    found = [
        store.find_transaction(decode_transaction(raw, toy.state.genesis_hash).id) for raw in (first, second, third)
    ]
    assert [(1, 0, first), (2, 1, second), (2, 2, third)] == found
    assert result.leaves == list(store.leaves(1, 3))


@pytest.mark.parametrize(
    "recut",
    [
        lambda raws: [Bundle(raws, zlib.compress(b"", 0))],
        lambda raws: [Bundle(raws[:1], b"short"), Bundle(raws[1:], b"rest")],
        lambda raws: [Bundle(raws[:1], b"first"), *cut_bundles(raws[1:])],
    ],
)
def test_bundles_that_are_cut_otherwise_are_made_anew(store, toy, recut):
    """One long bundle for all, or many short ones, are not kept: the block's rows are this store's own."""
    state = store.load_state()
    raws = tuple(toy.sign("bank", PutNote(key=f"key {number}", text="hello")) for number in range(400))
    result = execute_block(state, Block(1, 1_000, raws), RULEBOOK)
    store.commit_block(result, encode_json({"height": 1}), b"s" * 64, bundles=recut(raws))
    assert [bundle.encoded for bundle in cut_bundles(raws)] == [row[0] for row in store.query(ROWS)]
    assert raws == store.find_block(1).transactions


def test_bundles_that_travelled_are_kept_as_they_came(store, toy):
    """Another's compression of the same transactions, cut alike, becomes the block's rows."""
    state = store.load_state()
    raws = tuple(toy.sign("bank", PutNote(key=f"key {number}", text="hello")) for number in range(400))
    result = execute_block(state, Block(1, 1_000, raws), RULEBOOK)
    came = [
        Bundle(bundle.transactions, zlib.compress(zlib.decompress(bundle.encoded), 9)) for bundle in cut_bundles(raws)
    ]
    assert len(came) > 1
    store.commit_block(result, encode_json({"height": 1}), b"s" * 64, bundles=came)
    assert [bundle.encoded for bundle in came] == [row[0] for row in store.query(ROWS)]
    assert raws == store.find_block(1).transactions
    assert raws[399] == store.find_operation(399).transaction


def test_large_blocks_are_read_whole_and_one_by_one(store, toy):
    """A block of more than a bundle comes back in order; a transaction of it takes none but its own bundle apart."""
    state = store.load_state()
    result = commit(store, state, toy, *(f"key {number}" for number in range(400)))
    assert result.block.transactions == store.find_block(1).transactions
    bundles = store.query("SELECT place - (1 << 32) FROM bundles ORDER BY place")
    assert 2 < len(bundles) < 20
    ((later,),) = bundles[1:2]
    store._connection.execute("UPDATE bundles SET bytes = x'00' WHERE place = ?", (place_of(1, 0),))
    again = LedgerStore(store.path, RULEBOOK, read_only=True)
    assert result.block.transactions[later] == again.find_operation(later).transaction
    with pytest.raises(DamagedError, match="not a bundle") as caught:
        again.find_operation(later - 1)
    assert "tally node repair" in caught.value.remedy
    with pytest.raises(DamagedError, match="not a bundle"):
        again.find_block(1)
    again.close()
