"""The state that replay builds: records in a temporary database of their own, whatever the file under test says.

Rows get the same numbers as in `ledger.db`, because the same statements run in the same order. Memory is bounded: what
does not fit into SQLite's cache is in the temporary file, and so are the entries of the state tree beyond a limit.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tallystick.codec import sha256
from tallystick.merkle import EMPTY_ROOT, StateTree, prefix_range, state_key, state_leaf

_CACHED_RECORDS = 20_000
_CACHED_ROOTS = 4_096
_CACHE_KIB = 64 * 1024
TREE_BYTES = 256 << 20


class Moment(NamedTuple):
    """The history at a size where a block ended: its root, and the first block with that size."""

    root: bytes
    height: int


class Replayed:
    """Records (`machine.Reader`) and roots of the history, as replay finds them."""

    def __init__(self, records: Iterable[tuple[str, str, bytes]], *, tree_bytes: int = TREE_BYTES) -> None:
        """Begin with the records of a genesis.

        Args:
            records: in the order in which a new ledger is given them.
            tree_bytes: how much of the state tree's entries may be in memory.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="tally-check-")
        self._connection = sqlite3.connect(Path(self._folder.name) / "replay.db", isolation_level=None)
        self._places = False
        self._cache: dict[tuple[str, str], bytes | None] = {}
        self._moments: dict[int, Moment | None] = {}
        run = self._connection.execute
        # Nothing here outlives the check: no journal, no sync, one transaction that is never committed.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            run(f"PRAGMA {pragma}")
        run("BEGIN")
        run("CREATE TABLE records(id INTEGER PRIMARY KEY, collection TEXT, key TEXT, value TEXT)")
        run("CREATE UNIQUE INDEX records_key ON records(collection, key)")
        run("CREATE TABLE moments(size INTEGER PRIMARY KEY, root BLOB, height INTEGER)")
        entries = []
        for collection, key, value in records:
            run("INSERT INTO records(collection, key, value) VALUES (?, ?, ?)", (collection, key, value.decode()))
            place = state_key(collection, key)
            entries.append((place, state_leaf(place, sha256(value))))
        self.tree = StateTree.build(entries, loader=self._load, max_cached_bytes=tree_bytes)

    def close(self) -> None:
        """Remove everything."""
        self._connection.close()
        self._folder.cleanup()

    # --- records -----------------------------------------------------------------------------------------------------

    def read(self, collection: str, key: str) -> bytes | None:
        """Return the canonical bytes of a record, or None."""
        where = (collection, key)
        if where in self._cache:
            return self._cache[where]
        row = self._connection.execute("SELECT value FROM records WHERE collection = ? AND key = ?", where).fetchone()
        value = None if row is None else row[0].encode()
        self._remember(where, value)
        return value

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield (key, bytes) of the keys that start with `prefix`, in order of their UTF-8 bytes."""
        rows = self._connection.execute(
            "SELECT key, value FROM records WHERE collection = ? AND key >= ? ORDER BY key", (collection, prefix)
        )
        for key, value in rows:
            if not key.startswith(prefix):
                return
            yield key, value.encode()

    def write(self, writes: Iterable[tuple[str, str, bytes | None]]) -> None:
        """Take over what a block wrote, in the order in which the store does: records first, then removals."""
        upserts, removals = [], []
        for collection, key, value in writes:
            self._remember((collection, key), value)
            if value is None:
                removals.append((collection, key))
            else:
                upserts.append((collection, key, value.decode()))
        self._connection.executemany(
            "INSERT INTO records(collection, key, value) VALUES (?, ?, ?) "
            "ON CONFLICT(collection, key) DO UPDATE SET value = excluded.value",
            upserts,
        )
        self._connection.executemany("DELETE FROM records WHERE collection = ? AND key = ?", removals)
        if self._places:
            self._place(upserts)
            gone = [(state_key(collection, key),) for collection, key in removals]
            self._connection.executemany("DELETE FROM places WHERE place = ?", gone)

    def rows(self) -> Iterator[tuple[int, str, str, str]]:
        """Yield (row number, collection, key, value) of all records, by row number."""
        yield from self._connection.execute("SELECT id, collection, key, value FROM records ORDER BY id")

    def sorted_rows(self) -> Iterator[tuple[str, str, str]]:
        """Yield (collection, key, value) of all records, by collection and key."""
        yield from self._connection.execute("SELECT collection, key, value FROM records ORDER BY collection, key")

    def __len__(self) -> int:
        return len(self.tree)

    def _remember(self, where: tuple[str, str], value: bytes | None) -> None:
        if len(self._cache) >= _CACHED_RECORDS:
            self._cache.clear()
        self._cache[where] = value

    # --- history -----------------------------------------------------------------------------------------------------

    def add_moment(self, size: int, root: bytes, height: int) -> None:
        """Remember the root of the history after a block."""
        self._moments[size] = Moment(root, height)
        self._connection.execute("INSERT OR IGNORE INTO moments VALUES (?, ?, ?)", (size, root, height))

    def find_moment(self, size: int) -> Moment | None:
        """Return the history at a size where a block ended, or None where none did."""
        if size in self._moments:
            return self._moments[size]
        row = None
        if -(2**63) <= size < 2**63:
            row = self._connection.execute("SELECT root, height FROM moments WHERE size = ?", (size,)).fetchone()
        found = Moment(EMPTY_ROOT, 0) if row is None and size == 0 else None if row is None else Moment(*row)
        if len(self._moments) >= _CACHED_ROOTS:
            self._moments.clear()
        if found is not None:
            self._moments[size] = found
        return found

    # --- entries of the tree that are not in memory ------------------------------------------------------------------

    def _load(self, prefix: int, bits: int) -> bytes:
        """Return the packed entries under a prefix (`merkle.BucketLoader`)."""
        if not self._places:
            # Wanted only by ledgers beyond the limit of memory; the others are spared the second index.
            self._connection.execute("CREATE TABLE places(place BLOB PRIMARY KEY, leaf BLOB) WITHOUT ROWID")
            self._places = True
            last = -1
            statement = "SELECT id, collection, key, value FROM records WHERE id > ? ORDER BY id LIMIT 10000"
            while batch := self._connection.execute(statement, (last,)).fetchall():
                self._place([row[1:] for row in batch])
                last = batch[-1][0]
        rows = self._connection.execute(
            "SELECT place, leaf FROM places WHERE place >= ? AND place <= ? ORDER BY place", prefix_range(prefix, bits)
        )
        return b"".join(place + leaf for place, leaf in rows)

    def _place(self, records: Iterable[tuple[str, str, str]]) -> None:
        entries = []
        for collection, key, value in records:
            place = state_key(collection, key)
            entries.append((place, state_leaf(place, sha256(value.encode()))))
        self._connection.executemany("INSERT OR REPLACE INTO places VALUES (?, ?)", entries)
