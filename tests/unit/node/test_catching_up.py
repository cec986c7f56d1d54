"""A copy that is behind leaves the wait for the disk to the last block of those at hand, and is the same copy."""

import pytest

from tallystick.keys import ED25519
from tallystick.ordering import InlineVerifier, Replica
from tallystick.proofs import decode_header, encode_signatures, sign_header
from tallystick.store import LedgerStore
from tests.support.ledgers import CHAIN, GENESIS, ORDERER, SYSTEM, LedgerHome, note
from tests.support.toy import RULEBOOK, Toy

FULL = 2


@pytest.fixture
def source(tmp_path):
    made = LedgerHome(tmp_path / "source")
    made.run([[("bank", [note(f"key-{number}")], True)] for number in range(6)])
    yield made
    made.close()


@pytest.fixture
def copy(tmp_path):
    path = tmp_path / "copy.db"
    LedgerStore.create(path, RULEBOOK, chain=CHAIN, genesis=GENESIS, records=Toy(genesis=GENESIS).records())
    store = LedgerStore(path, RULEBOOK)
    yield store
    store.close()


def follow(store, now):
    return Replica(
        store.load_state(),
        store,
        RULEBOOK,
        InlineVerifier(),
        validators=lambda: {ORDERER: SYSTEM[ORDERER].public_key},
        clock_ms=lambda: now,
        previous=store.last_header_hash(),
    )


def synchronous(store):
    return store.query("PRAGMA synchronous")[0][0]


async def test_every_commit_but_those_with_more_behind_them_waits_for_the_disk(source, copy):
    """The last block of a batch, and all that is signed, is written as safely as ever; readers see every block."""
    replica = follow(copy, source.now)
    blocks = list(source.store.blocks(1))
    reader = LedgerStore(copy.path, RULEBOOK, read_only=True)
    for number, block in enumerate(blocks, start=1):
        await replica.apply(block.header, block.signatures, block.transactions, synced=number == len(blocks))
        assert FULL == synchronous(copy)
        assert number == reader.last_block().height
    reader.close()
    assert source.store.last_block().history_root == copy.load_state().frontier.root()


async def test_refused_block_in_a_batch_leaves_the_setting_and_the_blocks_before(source, copy):
    """A bad block among good ones costs itself alone."""
    replica = follow(copy, source.now)
    first, second, *_ = source.store.blocks(1)
    await replica.apply(first.header, first.signatures, first.transactions, synced=False)
    stranger = ED25519.from_private(b"x" * 32)
    forged = encode_signatures([sign_header(decode_header(second.header), ORDERER, stranger)])
    with pytest.raises(Exception, match=f"not signed by {ORDERER}"):
        await replica.apply(second.header, forged, second.transactions, synced=False)
    assert (FULL, 1) == (synchronous(copy), copy.last_block().height)
    await replica.apply(second.header, second.signatures, second.transactions)
    assert 2 == copy.last_block().height
