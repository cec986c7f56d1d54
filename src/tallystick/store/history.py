"""Blocks, transactions, operations and events: what was ordered, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tallystick.codec import sha256, tagged_hash
from tallystick.errors import NotHeldError
from tallystick.machine import decode_transaction, history_leaf
from tallystick.merkle import Frontier
from tallystick.store.base import merged_height, read_heads
from tallystick.store.bundles import BundleReader, read_bundles
from tallystick.store.faults import read_meta, reading
from tallystick.store.kept import StoredBlock, StoredOperation, stored_block
from tallystick.store.opening import OpenLedger


class History(OpenLedger):
    """Reads the history.

    Attributes:
        chain: its id.
        genesis: canonical bytes, and `genesis_hash` of them.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        super().__init__(path, read_only=read_only)
        with reading(path):
            meta = dict(self._connection.execute("SELECT name, value FROM meta"))
            self.chain, self.genesis = read_meta(path, meta)
            self.genesis_hash = sha256(self.genesis)
        self._base_roots: dict[int, bytes] | None = None
        self._bundles = BundleReader()

    def last_block(self) -> StoredBlock | None:
        """Return the last block without its transactions, or None before the first."""
        row = self._connection.execute(
            "SELECT height, time_ms, header, signatures, state_root, history_root, size FROM blocks "
            "ORDER BY height DESC LIMIT 1"
        ).fetchone()
        return None if row is None else stored_block(row)

    def last_height(self) -> int:
        """Return the height of the last block; 0 before the first."""
        row = self._connection.execute("SELECT max(height) FROM blocks").fetchone()
        return row[0] or 0

    def last_header_hash(self) -> bytes:
        """Return what the next header names as `previous`: the hash of the last header, or of the genesis."""
        last = self.last_block()
        return self.genesis_hash if last is None else tagged_hash(b"tallystick/header", last.header)

    def head_at(self, height: int) -> StoredBlock | None:
        """Return a block without its transactions, or None."""
        row = self._connection.execute(
            "SELECT height, time_ms, header, signatures, state_root, history_root, size FROM blocks WHERE height = ?",
            (height,),
        ).fetchone()
        return None if row is None else stored_block(row)

    def find_block(self, height: int) -> StoredBlock | None:
        """Return a block with its transactions, or None."""
        return next(self.blocks(height, height), None)

    def blocks(self, first: int, last: int | None = None) -> Iterator[StoredBlock]:
        """Yield blocks `first` to `last` (both included; to the end by default), with their transactions.

        Those up to the one that this copy began from are not among them.
        """
        base = self.base
        first = first if base is None else max(first, base.height + 1)
        rows = self._connection.execute(
            "SELECT height, time_ms, header, signatures, state_root, history_root, size FROM blocks "
            "WHERE height >= ? AND height <= ? ORDER BY height",
            (first, 2**62 if last is None else last),
        )
        for row in rows:
            with reading(self.path):
                transactions = tuple(read_bundles(self._connection, row[0]))
            yield stored_block(row, transactions)

    def signed_headers_down_from(self, height: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield (height, header, signatures) of blocks, from a height downwards."""
        for found, header, signatures in self._connection.execute(
            "SELECT height, header, signatures FROM blocks WHERE height <= ? ORDER BY height DESC", (height,)
        ):
            yield found, header.encode(), signatures.encode()

    def put_signatures(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Replace the signatures of headers by more: (height, canonical JSON), in one SQL transaction.

        Raises:
            StorageError: nothing was written.
        """
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE blocks SET signatures = ? WHERE height = ?",
                [(signatures.decode(), height) for height, signatures in rows],
            )

    def block_of_size(self, size: int) -> StoredBlock | None:
        """Return the first block after which the history had this size, without its transactions, or None."""
        row = self._connection.execute(
            "SELECT height, time_ms, header, signatures, state_root, history_root, size FROM blocks "
            "WHERE size = ? ORDER BY height LIMIT 1",
            (size,),
        ).fetchone()
        return None if row is None else stored_block(row)

    def history_root(self, size: int) -> bytes | None:
        """Return the root of the history at a size where a block ended (the empty history included), or None."""
        if size == 0:
            return Frontier().root()
        row = self._connection.execute("SELECT history_root FROM blocks WHERE size = ? LIMIT 1", (size,)).fetchone()
        return self._root_before(size) if row is None else row[0]

    def _root_before(self, size: int) -> bytes | None:
        """Return the root at a size that was reached before the block that this copy began from, if it is known."""
        base = self.base
        if base is None or size >= base.size:
            return None
        if self._base_roots is None:
            self._base_roots = {head.size: head.history_root for head in read_heads(self._connection)}
        return self._base_roots.get(size)

    def older_height(self) -> int:
        """Return the height up to which older blocks were put into a copy that began from a snapshot."""
        return merged_height(self._connection)

    def unknown_below(self) -> int:
        """Return the size under which this copy need not know the history's roots; 0 where it knows all."""
        base = self.base
        return 0 if base is None else base.size

    def check_held(self, leaf: int) -> None:
        """Refuse to speak of what is older than this copy.

        Raises:
            NotHeldError: the operation with this history index came before the block that this copy began from.
        """
        base = self.base
        if base is not None and leaf < base.size:
            raise NotHeldError(
                f"entry {leaf} of the history is older than this copy, which began with block {base.height} "
                f"(entry {base.size}) and is still fetching what was before",
                remedy="Ask another member's node, or wait: `tally node status` tells how far the older blocks have come.",
            )

    def find_transaction(self, identifier: bytes) -> tuple[int, int | None, bytes] | None:
        """Return (height, first leaf or None, bytes) of a transaction, or None."""
        row: tuple[int, int | None, int] | None = self._connection.execute(
            "SELECT height, first_leaf, position FROM transactions WHERE id = ?", (identifier,)
        ).fetchone()
        return None if row is None else (row[0], row[1], self._transaction_at(row[0], row[2]))

    def find_operation(self, leaf: int) -> StoredOperation | None:
        """Return one operation of the history, or None."""
        row = self._connection.execute(
            "SELECT o.leaf, t.height, b.time_ms, t.id, t.position, o.leaf - t.first_leaf, o.outcome FROM operations o "
            "JOIN transactions t ON t.seq = o.tx JOIN blocks b ON b.height = t.height WHERE o.leaf = ?",
            (leaf,),
        ).fetchone()
        if row is None:
            return None
        number, height, time, identifier, place, index, outcome = row
        return StoredOperation(number, height, time, identifier, self._transaction_at(height, place), index, outcome)

    def _transaction_at(self, height: int, position: int) -> bytes:
        """Return a transaction by its place.

        Raises:
            DamagedError: it is not there.
        """
        with reading(self.path):
            return self._bundles.transaction(self._connection, height, position)

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the data of history leaves `start` to `end` (not included), rebuilt from the transactions.

        Raises:
            NotHeldError: they begin before the block that this copy began from.
        """
        if start < end:
            self.check_held(start)
        rows = self._connection.execute(
            "SELECT t.height, b.time_ms, t.id, t.position, t.first_leaf, o.leaf, o.outcome FROM operations o "
            "JOIN transactions t ON t.seq = o.tx JOIN blocks b ON b.height = t.height "
            "WHERE o.leaf >= ? AND o.leaf < ? ORDER BY o.leaf",
            (start, end),
        )
        last: bytes | None = None
        operations: Sequence[bytes] = ()
        for height, time, identifier, position, first_leaf, leaf, outcome in rows:
            if identifier != last:
                raw = self._transaction_at(height, position)
                operations = decode_transaction(raw, self.genesis_hash).operations
                last = identifier
            index = leaf - first_leaf
            yield history_leaf(height, time, identifier.hex(), index, operations[index], outcome)

    def events_after(self, sequence: int, limit: int) -> list[tuple[int, int, str]]:
        """Return up to `limit` events (seq, leaf, JSON) behind a sequence number."""
        return self._connection.execute(
            "SELECT seq, leaf, body FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (sequence, limit)
        ).fetchall()

    def last_event_before(self, height: int) -> int:
        """Return the sequence number of the last event before a block."""
        row = self._connection.execute(
            "SELECT last_event FROM blocks WHERE height < ? ORDER BY height DESC LIMIT 1", (height,)
        ).fetchone()
        return 0 if row is None else int(row[0])
