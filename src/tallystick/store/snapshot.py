"""Reading a whole ledger as of one block, and making an empty one from such a reading.

A ledger made this way has no blocks, transactions or events from before; its history continues from the edge that it
was given. Its first row of `blocks` stands for all of them: it has that block's height, size, roots and header, and no
signatures.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from tallystick.errors import StorageError
from tallystick.machine import LedgerState
from tallystick.merkle import Frontier
from tallystick.store.database import LedgerStore, _broken, open_reader


class LedgerSnapshots:
    """The ledger's side of snapshots."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store

    def header(self, height: int) -> bytes:
        """Return the header of a block.

        Raises:
            StorageError: there is no such block.
        """
        block = self._store.head_at(height)
        if block is None:
            raise StorageError(f"{self._store.path} has no block {height}", remedy="Type: tally ledger check")
        return block.header

    def read_all(self, height: int) -> Iterator[tuple[str, str, bytes]]:
        """Yield every record after block `height`, sorted by collection and key.

        The read begins with this call, on a connection of its own: it sees the ledger as it is now, however many blocks
        are committed while it goes on.

        Raises:
            StorageError: `height` is not the last block.
        """
        connection = open_reader(self._store.path)
        connection.isolation_level = None
        connection.execute("BEGIN")
        last = connection.execute("SELECT max(height) FROM blocks").fetchone()[0]
        if last != height:
            connection.close()
            raise StorageError(f"block {height} is not the last in {self._store.path}", remedy="Try the next one.")

        def records() -> Iterator[tuple[str, str, bytes]]:
            try:
                for collection, key, value in connection.execute(
                    "SELECT collection, key, value FROM records ORDER BY collection, key"
                ):
                    yield collection, key, value.encode()
            except sqlite3.Error as error:
                raise _broken(self._store.path, error) from None
            finally:
                connection.close()

        return records()

    def install(
        self,
        header: bytes,
        height: int,
        time: int,
        state_root: bytes,
        frontier: Frontier,
        records: Iterable[tuple[str, str, bytes]],
    ) -> LedgerState:
        """Make an empty ledger the one after a block, in one SQL transaction, and return its state.

        Args:
            header: of the block; the next one names it.
            height: of the block.
            time: of the block, ms.
            state_root: of all records.
            frontier: edge of the history after it.
            records: all of them, verified by the caller; they take the place of the genesis's.

        Raises:
            StorageError: it has blocks already, or the disk refuses; nothing was written.
        """
        store = self._store
        if store.last_block() is not None:
            raise StorageError(f"{store.path} has blocks already", remedy="Restore into the home of a new node.")
        edge = " ".join([str(frontier.size), *(part.hex() for part in frontier.hashes)])
        with store._transaction() as connection:
            connection.execute("INSERT INTO meta VALUES ('frontier', ?)", (edge,))
            connection.execute(
                "INSERT INTO blocks VALUES (?, ?, ?, '[]', ?, ?, ?, 0)",
                (height, time, header.decode(), state_root, frontier.root(), frontier.size),
            )
            connection.execute("DELETE FROM records")
            connection.executemany(
                "INSERT INTO records(collection, key, value) VALUES (?, ?, ?)",
                ((collection, key, value.decode()) for collection, key, value in records),
            )
        store._cache.clear()
        return store.load_state()
