"""`LedgerStore`: loading the state, and committing one block in one SQL transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tallystick.codec import encode_own, sha256
from tallystick.codec.bundles import Bundle, cut_bundles
from tallystick.errors import IntegrityError, StorageError
from tallystick.machine import Block, BlockResult, LedgerState, Rulebook
from tallystick.machine.parameters import ACCEPTED
from tallystick.merkle import Frontier, StateTree, TileBuilder, leaf_hash, state_key, state_leaf
from tallystick.merkle.state_hash import ENTRY_BYTES
from tallystick.store.bundles import are_cut, bundle_rows
from tallystick.store.faults import REPAIR, reading
from tallystick.store.history import History
from tallystick.store.kept import operation_type
from tallystick.store.opening import create_ledger
from tallystick.store.records import Records
from tallystick.store.signed import Signed
from tallystick.store.spill import EntryFile, SpooledParts


class LedgerStore(History, Records, Signed):
    """The ledger's file, opened for writing by the one process that may, or for reading by others."""

    create = staticmethod(create_ledger)

    def __init__(self, path: Path, rulebook: Rulebook, *, read_only: bool = False) -> None:
        """Open an existing file; one of an older format is converted, unless it is opened for reading only.

        Raises:
            StorageError: it is missing, damaged, of another format, or already open for writing elsewhere.
        """
        super().__init__(path, read_only=read_only)
        self.rulebook = rulebook
        with reading(path):
            self.look_again()

    def look_again(self) -> None:
        """Take note of what another connection of this process has written: the beginning, or older blocks."""
        base = self.base
        row = self._connection.execute("SELECT max(seq) FROM transactions").fetchone()
        self._last_transaction = max(row[0] or 0, base.transactions if base else 0)
        row = self._connection.execute("SELECT max(seq) FROM events").fetchone()
        self._last_event = max(row[0] or 0, base.events if base else 0)
        self._base_roots = None
        self._cache.clear()

    # --- state -------------------------------------------------------------------------------------------------------

    def load_state(self, frontier: Frontier | None = None, *, max_cached_bytes: int | None = None) -> LedgerState:
        """Return the state after the last block, its tree and frontier compared with that block's roots.

        Args:
            frontier: of the history, where somebody has it (its tiles do); it is rebuilt from all transactions if it is
                not that of the last block, or by default.
            max_cached_bytes: how much of the state tree may be in memory; the rest is in a file beside the ledger, which
                nobody else sees. None for all of it.

        Raises:
            IntegrityError: the file does not hold together.
            StorageError: it cannot be read.
        """
        with reading(self.path):
            return self._loaded(frontier, max_cached_bytes)

    def _loaded(self, frontier: Frontier | None, max_cached_bytes: int | None) -> LedgerState:
        entries = (
            (hashed := state_key(collection, key), state_leaf(hashed, sha256(value.encode())))
            for collection, key, value in self._connection.execute("SELECT collection, key, value FROM records")
        )
        tree = self._tree(entries, max_cached_bytes)
        last = self.last_block()
        height = time = 0
        if last is None:
            frontier = Frontier()
        else:
            height, time = last.height, last.time
            if frontier is None or frontier.size != last.size or frontier.root() != last.history_root:
                frontier = self._frontier(last.size)
            if frontier.root() != last.history_root or tree.root != last.state_root:
                raise IntegrityError(
                    f"{self.path} does not match its own last block ({last.height})",
                    remedy=REPAIR,
                )
        state = LedgerState(
            chain=self.chain,
            genesis_hash=self.genesis_hash,
            height=height,
            time=time,
            reader=self,
            tree=tree,
            frontier=frontier,
        )
        for key, value in self.scan(ACCEPTED.name):
            record = ACCEPTED.decode(value)
            ids = tuple(bytes.fromhex(item) for item in record.ids)
            state.accepted_blocks.append((int(key), record.expires, ids))
            state.accepted.update(ids)
        return state

    def _tree(self, entries: Iterable[tuple[bytes, bytes]], max_cached_bytes: int | None) -> StateTree:
        if max_cached_bytes is None:
            return StateTree.build(entries)
        kept = EntryFile(self.path.parent)
        most = self._connection.execute("SELECT max(id) FROM records").fetchone()[0] or 0
        try:
            parts = SpooledParts(self.path.parent) if most * ENTRY_BYTES > max_cached_bytes else None
            return StateTree.build(
                entries, loader=kept.load, saver=kept.save, max_cached_bytes=max_cached_bytes, parts=parts
            )
        except OSError as error:
            raise StorageError(
                f"cannot write beside {self.path}: {error.strerror}",
                remedy="Free disk space, or give the state more memory: state_cache_mib in [ledger] of tally.toml.",
            ) from None

    def _frontier(self, size: int) -> Frontier:
        frontier = self._base_frontier()
        batch: list[bytes] = []
        for leaf in self.leaves(frontier.size, size):
            batch.append(leaf_hash(leaf))
            if len(batch) == 4_096:
                frontier.extend(batch)
                batch.clear()
        frontier.extend(batch)
        return frontier

    def _base_frontier(self) -> Frontier:
        """Return the edge of the history before the first block that this file holds: an empty one, or a snapshot's."""
        edge = self.base_edge()
        return Frontier() if edge is None else TileBuilder.from_edge(edge).frontier()

    # --- committing --------------------------------------------------------------------------------------------------

    def commit_block(
        self,
        result: BlockResult,
        header: bytes,
        signatures: bytes,
        *,
        synced: bool = True,
        bundles: Sequence[Bundle] = (),
    ) -> None:
        """Write a block with everything that came of it, in one SQL transaction.

        Args:
            result: of `execute_block`, made against the last committed block.
            header: canonical bytes.
            signatures: of it, by those who order; canonical JSON.
            synced: False where the next block follows at once, and others have this one: see `_transaction`.
            bundles: those in which all of the block's transactions came, if they came in any; kept as they are where
                they are cut as this store does it.

        Raises:
            StorageError: nothing was written (a full disk, a failing write), or it is not certain that it was.
        """
        block = result.block
        transactions, operations = self._rows(result)
        sequence = self._last_transaction + len(transactions)
        event = self._last_event + len(result.events)
        events = [
            (number, emitted.leaf, encode_own(emitted.event).decode())
            for number, emitted in enumerate(result.events, self._last_event + 1)
        ]
        try:
            with self._transaction(synced=synced) as connection:
                connection.execute(
                    "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        block.height,
                        block.time,
                        header.decode(),
                        signatures.decode(),
                        result.state_root,
                        result.history_root,
                        result.size,
                        event,
                    ),
                )
                _put_transactions(connection, block, transactions, bundles)
                connection.executemany("INSERT INTO operations VALUES (?, ?, ?, ?)", operations)
                connection.executemany("INSERT INTO events VALUES (?, ?, ?)", events)
                _put_records(connection, result.writes)
        except StorageError:
            if not self._was_kept(block.height, header):
                raise
        self._last_transaction = sequence
        self._last_event = event
        for collection, key, _ in result.writes:
            self._cache.pop((collection, key), None)

    def _rows(self, result: BlockResult) -> tuple[list[tuple[Any, ...]], list[tuple[int, int, str, int]]]:
        """Return the rows of `transactions` and `operations` of a block."""
        block = result.block
        sequence = self._last_transaction
        transactions: list[tuple[Any, ...]] = []
        operations: list[tuple[int, int, str, int]] = []
        for position, (raw, done) in enumerate(zip(block.transactions, result.results, strict=True)):
            sequence += 1
            known = done.transaction
            identifier = known.id if known is not None else sha256(raw)
            organisation = known.payload.organisation if known is not None else ""
            first = done.first_leaf if done.refused is None else None
            transactions.append((sequence, block.height, identifier, organisation, first, position))
            if known is not None and done.refused is None:
                for index, outcome in enumerate(done.outcomes):
                    kind = operation_type(known.operations[index])
                    operations.append((done.first_leaf + index, sequence, kind, outcome.code))
        return transactions, operations

    def _was_kept(self, height: int, header: bytes) -> bool:
        """Tell whether a block is on disk for certain although its commit was answered by an error.

        A write that was said to have failed may stand in the write-ahead log all the same; then the next block could not be
        written in its place. Copying it to the file, which is synced, makes sure of it.
        """
        try:
            row = self._connection.execute("SELECT header FROM blocks WHERE height = ?", (height,)).fetchone()
            if row is None or row[0].encode() != header:
                return False
            (busy, _, _) = self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        except sqlite3.Error:
            return False
        return not busy


def _put_records(connection: sqlite3.Connection, writes: Sequence[tuple[str, str, bytes | None]]) -> None:
    """Write what the records of a block are from now on."""
    connection.executemany(
        "INSERT INTO records(collection, key, value) VALUES (?, ?, ?) "
        "ON CONFLICT(collection, key) DO UPDATE SET value = excluded.value",
        [(collection, key, value.decode()) for collection, key, value in writes if value is not None],
    )
    connection.executemany(
        "DELETE FROM records WHERE collection = ? AND key = ?",
        [(collection, key) for collection, key, value in writes if value is None],
    )


def _put_transactions(
    connection: sqlite3.Connection, block: Block, rows: list[tuple[Any, ...]], bundles: Sequence[Bundle]
) -> None:
    """Write a block's transactions; one that is kept already, of a block before, is not kept twice."""
    kept = list(block.transactions)
    added = connection.executemany("INSERT OR IGNORE INTO transactions VALUES (?, ?, ?, ?, ?, ?)", rows).rowcount
    if rows and added != len(rows):
        bundles = ()
        found = connection.execute("SELECT seq FROM transactions WHERE height = ? ORDER BY seq", (block.height,))
        sequences = [sequence for (sequence,) in found]
        kept = [kept[sequence - rows[0][0]] for sequence in sequences]
        connection.executemany("UPDATE transactions SET position = ? WHERE seq = ?", enumerate(sequences))
    whole = bundles if bundles and are_cut(bundles) else cut_bundles(kept)
    connection.executemany("INSERT INTO bundles VALUES (?, ?)", bundle_rows(block.height, whole))
