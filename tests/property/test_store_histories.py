"""The store against a dictionary, through commits, failures and restarts; the checker has the last word."""

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tallystick.errors import StorageError
from tallystick.machine import Block, decode_transaction, execute_block
from tallystick.merkle import leaf_hash, root_from_hashes
from tallystick.proofs import Header, encode_header, encode_signatures, sign_header, transactions_root
from tallystick.store import LedgerStore
from tests.support.blocks import PLANS, STEPS
from tests.support.ledgers import CHAIN, GENESIS, ORDERER, SYSTEM, LedgerHome, check
from tests.support.toy import RULEBOOK, Toy


class FailingConnection:
    """A connection whose n-th statement from now fails, before or after it was carried out."""

    def __init__(self, connection, after):
        self._connection = connection
        self._left = after

    @property
    def in_transaction(self):
        return self._connection.in_transaction

    def _count(self):
        self._left -= 1
        if self._left == 0:
            raise sqlite3.OperationalError("disk I/O error")

    def execute(self, statement, *parameters):
        if statement != "ROLLBACK":
            self._count()
        return self._connection.execute(statement, *parameters)

    def executemany(self, statement, rows):
        self._count()
        return self._connection.executemany(statement, rows)


class StoredHistory(RuleBasedStateMachine):
    """A ledger on disk, and the same in a dictionary."""

    @initialize()
    def begin(self):
        self.folder = tempfile.TemporaryDirectory()
        self.home = LedgerHome(Path(self.folder.name) / "home")
        self.home.write_trust()
        self.store = self.home.store
        self.state = self.store.load_state()
        self.toy = Toy(genesis=GENESIS)
        self.leaves = []
        self.blocks = []
        self.time = 1_000

    def teardown(self):
        if hasattr(self, "store"):
            report = check(self.home.folder)
            assert report.ok, report.findings
            assert len(self.blocks) == report.blocks
            self.store.close()
            self.folder.cleanup()

    def next_block(self, plans):
        raws = [plan.sign(self.toy, self.time) for plan in plans]
        block = Block(self.state.height + 1, self.time, tuple(raws))
        tried = execute_block(self.state, block, RULEBOOK)
        kept = tuple(raw for raw, done in zip(raws, tried.results, strict=True) if done.refused is None)
        seen = {decode_transaction(raw, self.state.genesis_hash).payload.seen.size for raw in kept}
        assert seen <= {0}
        result = execute_block(self.state, Block(self.state.height + 1, self.time, kept), RULEBOOK)
        header = Header(
            app_hash=result.app_hash.hex(),
            chain=CHAIN,
            height=result.block.height,
            previous=self.store.last_header_hash().hex(),
            time=self.time,
            transactions_root=transactions_root(kept).hex(),
        )
        return result, encode_header(header), encode_signatures([sign_header(header, ORDERER, SYSTEM[ORDERER])])

    def keep(self, result, header, signatures):
        self.store.commit_block(result, header, signatures)
        result.commit_to(self.state)
        for collection, key, value in result.writes:
            if value is None:
                del self.toy.reader.records[(collection, key)]
            else:
                self.toy.reader.records[(collection, key)] = value
        self.leaves += result.leaves
        self.blocks.append((header, signatures, result.block.transactions, result.size, result.history_root))

    @rule(step=STEPS, plans=st.lists(PLANS, max_size=3))
    def commit(self, step, plans):
        """Make a block."""
        self.time += step
        self.keep(*self.next_block(plans))

    @rule(step=STEPS, plans=st.lists(PLANS, max_size=3), after=st.integers(1, 9), again=st.booleans())
    def fail(self, step, plans, after, again):
        """A statement fails: nothing of the block is there, and it can be made again."""
        self.time += step
        made = self.next_block(plans)
        connection = self.store._connection
        self.store._connection = FailingConnection(connection, after)
        with pytest.raises(StorageError):
            self.store.commit_block(*made)
        self.store._connection = connection
        last = self.store.last_block()
        assert len(self.blocks) == (last.height if last else 0)
        if again:
            self.keep(*made)

    @rule()
    def reopen(self):
        """Close and open: the state is found again."""
        before = self.state
        self.store.close()
        self.store = self.home.store = LedgerStore(self.home.path, RULEBOOK)
        self.state = self.store.load_state()
        assert (before.height, before.accepted, before.tree.root) == (
            self.state.height,
            self.state.accepted,
            self.state.tree.root,
        )

    @rule(start=st.integers(0, 30), count=st.integers(0, 30))
    def read_leaves(self, start, count):
        """Any part of the history is read back."""
        assert self.leaves[start : start + count] == list(self.store.leaves(start, start + count))

    @rule(prefix=st.sampled_from(["", "a", "key ", "0000", "\U0001f4dd"]))
    def scan(self, prefix):
        """Scanning gives what a dictionary gives, in the same order."""
        for collection in ("notes", "usage", "accepted", "holders"):
            assert list(self.toy.reader.scan(collection, prefix)) == list(self.store.scan(collection, prefix))

    @invariant()
    def last_block_and_records_agree(self):
        if not hasattr(self, "store"):
            return
        assert self.toy.reader.records == {(name, key): value for name, key, value in self.store.all_records()}
        assert root_from_hashes([leaf_hash(leaf) for leaf in self.leaves]) == self.state.frontier.root()
        for block, kept in zip(self.store.blocks(1), self.blocks, strict=True):
            assert kept == (block.header, block.signatures, block.transactions, block.size, block.history_root)


TestStoredHistory = StoredHistory.TestCase
TestStoredHistory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
