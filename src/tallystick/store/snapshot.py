"""Reading a whole ledger as of one block, and making an empty one from such a reading.

A ledger made this way has no blocks, transactions or events from before; its history continues from the edge that it
was given. Its first row of `blocks` stands for all of them: it has that block's height, size, roots, header and
signatures, and no transactions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from tallystick.errors import NodeError, StorageError
from tallystick.machine import Beginning, Head, LedgerState, Reader
from tallystick.merkle import Edge, TileBuilder, TileSource, leaf_hash
from tallystick.store.base import base_rows, read_heads
from tallystick.store.database import LedgerStore
from tallystick.store.faults import broken
from tallystick.store.kept import StoredBlock

HEADS = 4_096
Record = tuple[str, str, bytes]
TrustRow = tuple[int, bytes, list[tuple[str, bytes]]]
"""(version, entry without signatures, [(organisation, signature)])."""


class Reading(NamedTuple):
    """A ledger as of its last block: where another may begin, and its records, sorted by collection and key."""

    beginning: Beginning
    records: Iterator[Record]


class LedgerSnapshots:
    """The ledger's side of snapshots."""

    def __init__(self, store: LedgerStore, tiles: TileSource | None = None) -> None:
        """Prepare.

        Args:
            store: the ledger.
            tiles: reads files of its `log/`; without them the edge of the history is worked out from all transactions.
        """
        self._store = store
        self._tiles = tiles

    @contextmanager
    def reading(self, height: int | None = None) -> Iterator[Reading]:
        """Open the ledger as it is now, however many blocks are committed while the records are read.

        Args:
            height: what the last block must be; by default whatever it is.

        Raises:
            StorageError: it is another, or there is none.
        """
        with closing(LedgerStore(self._store.path, self._store.rulebook, read_only=True)) as view:
            view._connection.execute("BEGIN")
            last = view.last_block()
            if last is None or height not in (None, last.height):
                raise StorageError(
                    f"block {height or 1} is not the last in {self._store.path}", remedy="Try the next one."
                )
            yield Reading(self._beginning(view, last), _records(view))

    def _beginning(self, view: LedgerStore, last: StoredBlock) -> Beginning:
        base = view.base
        (transactions,) = view.query("SELECT max(seq) FROM transactions WHERE height <= ?", (last.height,))[0]
        (events,) = view.query("SELECT last_event FROM blocks WHERE height = ?", (last.height,))[0]
        heads = [
            Head(header.encode(), state_root, history_root, size)
            for header, state_root, history_root, size in view.query(
                "SELECT header, state_root, history_root, size FROM blocks WHERE height >= ? "
                "ORDER BY height DESC LIMIT ?",
                (0 if base is None else base.height, HEADS),
            )
        ]
        if base is not None:
            heads += read_heads(view._connection)
        return Beginning(
            height=last.height,
            time=last.time,
            head=heads[0],
            signatures=last.signatures,
            edge=self._edge(view, last),
            transactions=max(transactions or 0, base.transactions if base else 0),
            events=events,
            before=tuple(heads[1:HEADS]),
        )

    def _edge(self, view: LedgerStore, last: StoredBlock) -> Edge:
        """Return the edge of the history: from the tiles where they lead to the block's root, else from the leaves."""
        if self._tiles is not None:
            try:
                builder = TileBuilder.resume(last.size - last.size % 256, self._tiles)
                _extend(builder, view, last.size)
                if builder.frontier().root() == last.history_root:
                    return builder.edge()
            except NodeError:
                pass
        begin = view.base_edge()
        builder = TileBuilder() if begin is None else TileBuilder.from_edge(begin)
        _extend(builder, view, last.size)
        return builder.edge()

    def install(
        self,
        beginning: Beginning,
        records: Iterable[Record],
        trust: Iterable[TrustRow] = (),
        accept: Callable[[Reader], None] | None = None,
    ) -> LedgerState:
        """Make an empty ledger the one after a block, in one SQL transaction, and return its state.

        See `write`.
        """
        self.write(beginning, records, trust, accept)
        return self._store.load_state()

    def write(
        self,
        beginning: Beginning,
        records: Iterable[Record],
        trust: Iterable[TrustRow] = (),
        accept: Callable[[Reader], None] | None = None,
    ) -> None:
        """Make an empty ledger the one after a block, in one SQL transaction.

        Args:
            beginning: the block, verified by the caller.
            records: all records after it, sorted, verified by the caller; they take the place of the genesis's.
            trust: versions of the trust file up to that block.
            accept: looks at the records before they count; what it raises undoes everything.

        Raises:
            StorageError: it has blocks already, or the disk refuses; nothing was written.
        """
        store, head = self._store, beginning.head
        (index,) = store.query("SELECT sql FROM sqlite_master WHERE name = 'records_key'")[0]
        with store._transaction() as connection:
            if store.last_block() is not None:
                raise StorageError(f"{store.path} has blocks already", remedy="Restore into the home of a new node.")
            connection.executemany("INSERT INTO meta VALUES (?, ?)", base_rows(beginning))
            row = (
                beginning.height,
                beginning.time,
                head.header.decode(),
                beginning.signatures.decode(),
                head.state_root,
                head.history_root,
                head.size,
                beginning.events,
            )
            connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            connection.execute("DELETE FROM records")
            # The index is made once, when all rows are there: in half the time.
            connection.execute("DROP INDEX records_key")
            connection.executemany(
                "INSERT INTO records(collection, key, value) VALUES (?, ?, ?)",
                ((collection, key, value.decode()) for collection, key, value in records),
            )
            connection.execute(index)
            for version, entry, signatures in trust:
                connection.execute("INSERT OR IGNORE INTO trust VALUES (?, ?)", (version, entry.decode()))
                connection.executemany(
                    "INSERT OR IGNORE INTO trust_signatures VALUES (?, ?, ?)",
                    [(version, organisation, signature) for organisation, signature in signatures],
                )
            store._cache.clear()
            if accept is not None:
                accept(store)
        store.look_again()


def _records(view: LedgerStore) -> Iterator[Record]:
    try:
        yield from view.all_records()
    except sqlite3.Error as error:
        raise broken(view.path, error) from None


def _extend(builder: TileBuilder, view: LedgerStore, size: int) -> None:
    for number, leaf in enumerate(view.leaves(builder.size, size)):
        builder.append(leaf, leaf_hash(leaf))
        if not number % 65_536:
            # Only the edge is wanted; what is finished on the way is let go.
            builder.flush()
