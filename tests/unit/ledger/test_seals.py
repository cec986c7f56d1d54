"""Signatures of headers where four order together: taken in any order, from anybody, and only if they are good."""

import pytest

from tallystick.codec import encode_json
from tallystick.errors import StorageError
from tallystick.ledger import seals as seals_module
from tallystick.ledger.seals import Seals, SignedHeight
from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.proofs import decode_header, decode_signatures, sign_header
from tallystick.store import LedgerStore
from tests.support.ledgers import ORDERER, TOGETHER, LedgerHome
from tests.support.toy import RULEBOOK

CITY, CLINIC, PORT = "city", "clinic", "port"


class FullDisk:
    """A store whose disk takes no signatures while it is full."""

    def __init__(self, store):
        self._store = store
        self.full = False

    def __getattr__(self, name):
        return getattr(self._store, name)

    def put_signatures(self, rows):
        if self.full:
            raise StorageError("the disk is full", remedy="Make room.")
        self._store.put_signatures(rows)


class Node:
    """The bank's node in a zone of four: makes blocks, each with its own signature, as its engine does."""

    def __init__(self, folder, *, together=True):
        self.home = LedgerHome(folder, together=together)
        self.store = FullDisk(self.home.store)
        self.restart()

    def restart(self):
        """Take up what is on disk, as after a crash."""
        self.trust = TrustKeeper(
            self.home.trust, self.store, organisation=ORDERER, signer=None, on_change=lambda trust: None
        )
        self.seals = Seals(self.store, self.trust)

    def make(self, *signers):
        """Make the next block, by default signed by the bank alone; return its height."""
        self.home.rogue_block([], signers=signers or (ORDERER,))
        last = self.store.last_block()
        self.seals.made(last.height, last.header, last.signatures)
        return last.height

    def sign(self, height, organisation, key=None):
        """Return a member's signature of a block, or another key's in its name."""
        header = decode_header(self.store.head_at(height).header)
        return SignedHeight(
            height, organisation, sign_header(header, organisation, TOGETHER[key or organisation]).signature
        )

    def kept(self, height):
        """Return who has signed a block, by what is on disk."""
        return [each.organisation for each in decode_signatures(self.store.head_at(height).signatures)]


@pytest.fixture
def node(tmp_path):
    made = Node(tmp_path / "home")
    yield made
    made.home.close()


@pytest.fixture
def ahead(tmp_path):
    """Another node of the same zone that has made five blocks already."""
    made = Node(tmp_path / "ahead")
    for _ in range(5):
        made.make()
    yield made
    made.home.close()


def test_block_is_sealed_by_the_third_of_four(node):
    """Signatures that come after the block seal it once more than two thirds are on disk; the fourth is kept as well."""
    height = node.make()
    assert (0, height) == (node.seals.sealed, node.seals.lacking)
    assert node.seals.add(node.sign(height, CITY))
    node.seals.flush()
    assert (0, height) == (node.seals.sealed, node.seals.lacking)
    assert node.seals.add(node.sign(height, PORT))
    assert (0, height) == (node.seals.sealed, node.seals.lacking)
    node.seals.flush()
    assert (height, 0) == (node.seals.sealed, node.seals.lacking)
    assert node.seals.add(node.sign(height, CLINIC))
    assert node.seals.flush()
    assert list(TOGETHER) == node.kept(height)


def test_signatures_that_come_before_the_block_count_once_it_is_there(node, ahead):
    """Others may be faster than this node: what they signed waits for the block."""
    for name in (CITY, CLINIC):
        assert not node.seals.add(ahead.sign(1, name))
        assert not node.seals.add(ahead.sign(2, name))
    assert 0 == node.seals.sealed
    for height in (1, 2):
        assert height == node.make()
        node.seals.flush()
        assert height == node.seals.sealed
    assert [[ORDERER, CITY, CLINIC]] * 2 == [node.kept(1), node.kept(2)]


def test_signature_counts_once(node):
    """The same again, or the own one sent back, is nothing new."""
    height = node.make()
    assert node.seals.add(node.sign(height, CITY))
    assert not node.seals.add(node.sign(height, CITY))
    assert not node.seals.add(node.sign(height, ORDERER))
    assert 0 == node.seals.sealed
    node.seals.flush()
    assert [ORDERER, CITY] == node.kept(height)


def test_forged_signature_counts_for_nothing_and_does_not_keep_out_the_good_one(node):
    """Another key's, another block's and one that is no hex are refused; the member's own is taken afterwards."""
    first, second = node.make(), node.make()
    other = node.sign(first, CITY).signature
    for forged in (
        node.sign(second, CITY, key=PORT),
        SignedHeight(second, CITY, other),
        SignedHeight(second, CITY, "g"),
    ):
        assert not node.seals.add(forged)
    assert not node.seals.flush()
    assert node.seals.add(node.sign(second, CITY))
    assert node.seals.add(node.sign(second, PORT))
    node.seals.flush()
    assert second == node.seals.sealed


def test_forged_signature_that_comes_early_is_found_out(node, ahead):
    """What was kept unseen is judged when the block is there."""
    for name in (CITY, CLINIC, PORT):
        node.seals.add(ahead.sign(1, name, key=ORDERER))
    node.make()
    assert (0, 1) == (node.seals.sealed, node.seals.lacking)
    assert not node.seals.flush()
    assert node.seals.add(node.sign(1, CITY))


def test_who_brings_its_own_signature_of_another_header_contradicts(node, ahead):
    """Of what an organisation itself brings, before or after the block, this copy knows that it signed another header."""
    node.seals.add(ahead.sign(1, CITY, key=ORDERER), first_hand=True)
    node.seals.add(ahead.sign(1, CLINIC, key=ORDERER))
    node.make()
    assert node.seals.add(node.sign(1, PORT), first_hand=True)
    assert not node.seals.add(node.sign(1, PORT), first_hand=True)
    assert {CITY: 1} == node.seals.contradictions
    node.make()
    assert not node.seals.add(node.sign(2, PORT, key=CITY))
    assert {CITY: 1} == node.seals.contradictions
    assert not node.seals.add(SignedHeight(1, PORT, node.sign(2, PORT).signature), first_hand=True)
    assert not node.seals.add(node.sign(2, PORT, key=CITY), first_hand=True)
    assert {CITY: 1, PORT: 1} == node.seals.contradictions
    assert node.seals.add(node.sign(1, CITY))


def test_strangers_signature_counts_for_nothing(node, ahead):
    """Who does not order signs in vain, early or late, with however good a key."""
    node.seals.add(ahead.sign(1, CITY))
    node.seals.add(ahead.sign(1, "stranger", key=PORT))
    height = node.make()
    assert not node.seals.add(node.sign(height, "stranger", key=PORT))
    assert 0 == node.seals.sealed
    node.seals.flush()
    assert [ORDERER, CITY] == node.kept(height)


def test_quorum_speaks_for_all_blocks_before(node):
    """Each header names the one before, so the history is sealed up to the newest block with a quorum."""
    heights = [node.make() for _ in range(3)]
    node.seals.add(node.sign(heights[1], CITY))
    node.seals.add(node.sign(heights[1], CLINIC))
    node.seals.flush()
    assert (heights[1], heights[0]) == (node.seals.sealed, node.seals.lacking)
    node.seals.add(node.sign(heights[0], CITY))
    node.seals.add(node.sign(heights[0], CLINIC))
    node.seals.flush()
    assert heights[1] == node.seals.sealed


def test_signatures_are_written_when_flushed_and_only_what_is_new(node):
    """What came in is on disk after a flush, sorted; a flush with nothing new writes nothing."""
    height = node.make()
    node.seals.add(node.sign(height, PORT))
    node.seals.add(node.sign(height, CITY))
    assert [ORDERER] == node.kept(height)
    assert node.seals.flush()
    assert [ORDERER, CITY, PORT] == node.kept(height)
    assert not node.seals.flush()


def test_flush_that_fails_is_tried_again(node):
    """A full disk loses no signature, and seals nothing that a crash would undo: the next flush does."""
    height = node.make()
    for name in (CITY, CLINIC):
        node.seals.add(node.sign(height, name))
    node.store.full = True
    with pytest.raises(StorageError):
        node.seals.flush()
    assert ([ORDERER], 0) == (node.kept(height), node.seals.sealed)
    node.store.full = False
    assert node.seals.flush()
    assert ([ORDERER, CITY, CLINIC], height) == (node.kept(height), node.seals.sealed)


def test_node_that_restarts_goes_on_from_what_is_stored(node):
    """After a crash the stored signatures count, what was not flushed is lost, and it can be given again."""
    for _ in range(3):
        node.make()
    for name in (CITY, CLINIC):
        node.seals.add(node.sign(1, name))
    node.seals.add(node.sign(3, CITY))
    node.seals.flush()
    node.seals.add(node.sign(3, CLINIC))
    node.restart()
    assert (1, 2) == (node.seals.sealed, node.seals.lacking)
    assert not node.seals.add(node.sign(3, CITY))
    assert node.seals.add(node.sign(3, CLINIC))
    node.seals.flush()
    # The second block is spoken for, and its own signatures are sought all the same: receipts are about a block.
    assert (3, 2) == (node.seals.sealed, node.seals.lacking)
    for name in (CITY, CLINIC):
        node.seals.add(node.sign(2, name))
    node.seals.flush()
    assert (3, 0) == (node.seals.sealed, node.seals.lacking)
    assert [[ORDERER, CITY, CLINIC]] * 2 == [node.kept(2), node.kept(3)]


def test_known_signatures_are_given_to_others(node):
    """Another node gets what this one has of some heights, written or not, and can seal its blocks with it."""
    for _ in range(4):
        node.make()
    node.seals.add(node.sign(2, CITY))
    node.seals.flush()
    node.seals.add(node.sign(3, PORT))
    known = node.seals.known(2, 3)
    assert {(2, ORDERER), (2, CITY), (3, ORDERER), (3, PORT)} == {(each.height, each.organisation) for each in known}
    for each in known:
        assert each == node.sign(each.height, each.organisation)
    assert [] == node.seals.known(5, 9)


def test_far_or_foreign_signatures_take_no_room(node, ahead, monkeypatch):
    """Early signatures beyond what is kept, in names of strangers, or of blocks long there, are dropped."""
    monkeypatch.setattr(seals_module, "MOST_EARLY", 8)
    for name in (CITY, CLINIC, "stranger"):
        for height in (1, 2, 3, 4, 10**9):
            node.seals.add(SignedHeight(height, name, ahead.sign(min(height, 5), name, key=CITY).signature))
    assert {(height, name) for height in (1, 2) for name in (CITY, CLINIC)} == set(node.seals._early)
    node.make()
    node.make()
    assert {} == node.seals._early
    assert node.seals.add(node.sign(2, CLINIC))


def test_block_sealed_long_ago_takes_no_further_signatures(node):
    """What a late signature could add to an old block is not worth keeping it at hand; a recent one still takes it."""
    for _ in range(40):
        height = node.make(ORDERER, CITY, CLINIC)
    assert height == node.seals.sealed
    assert not node.seals.add(node.sign(1, PORT))
    assert node.seals.add(node.sign(height, PORT))
    node.seals.flush()
    assert (3, 4) == (len(node.kept(1)), len(node.kept(height)))


def test_where_one_orders_every_block_is_sealed_as_made(tmp_path):
    """In a zone on the embedded engine nothing is awaited, and nobody's signature is kept for later."""
    alone = Node(tmp_path / "alone", together=False)
    assert not alone.seals.add(SignedHeight(1, ORDERER, "00" * 64))
    assert {} == alone.seals._early
    height = alone.make()
    assert (height, 0) == (alone.seals.sealed, alone.seals.lacking)
    assert not alone.seals.add(alone.sign(height, CITY))
    alone.restart()
    assert (height, 0) == (alone.seals.sealed, alone.seals.lacking)
    alone.home.close()


def test_those_who_order_change_with_the_block_after(node):
    """The block that changes who orders is signed by those before; the next one needs two thirds of the new ones."""
    keys = {name: signer.public_key for name, signer in TOGETHER.items()}
    entry = node.home.trust.next_entry(keys, validators=(CITY, CLINIC, PORT), height=2, since=1)
    node.store.add_trust(2, encode_json(entry))
    node.restart()
    assert [4, 4, 3] == [len(node.seals.validators_at(height)) for height in (1, 2, 3)]
    node.make(*TOGETHER)
    node.make(*TOGETHER)
    assert 2 == node.seals.sealed
    node.make(CITY)
    assert not node.seals.add(node.sign(3, ORDERER))
    assert node.seals.add(node.sign(3, CLINIC))
    node.seals.flush()
    assert 2 == node.seals.sealed
    assert node.seals.add(node.sign(3, PORT))
    node.seals.flush()
    assert 3 == node.seals.sealed


def test_empty_copy_has_nothing_sealed(node):
    """Before the first block nothing is sealed, and nothing lacks."""
    assert (0, 0) == (node.seals.sealed, node.seals.lacking)
    assert [] == node.seals.known(1, 9)
    assert not node.seals.flush()


def test_readers_see_flushed_signatures(node):
    """Another process that reads the file sees the signatures with the block."""
    height = node.make()
    for name in (CITY, CLINIC):
        node.seals.add(node.sign(height, name))
    node.seals.flush()
    reader = LedgerStore(node.home.path, RULEBOOK, read_only=True)
    assert [ORDERER, CITY, CLINIC] == [each.organisation for each in decode_signatures(reader.last_block().signatures)]
    reader.close()
