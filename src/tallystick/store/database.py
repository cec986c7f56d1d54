"""`ledger.db`: opening, reading, and committing one block in one SQL transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tallystick.codec import encode_own, sha256, tagged_hash
from tallystick.errors import IntegrityError, NotHeldError, StorageError
from tallystick.machine import BlockResult, LedgerState, Rulebook, decode_transaction, history_leaf
from tallystick.machine.parameters import ACCEPTED
from tallystick.merkle import Edge, Frontier, StateTree, TileBuilder, leaf_hash, state_key, state_leaf
from tallystick.merkle.state_hash import ENTRY_BYTES
from tallystick.store.base import Base, find_base, merged_height, read_edge, read_heads
from tallystick.store.faults import REPAIR, broken, missing, read_meta, reading
from tallystick.store.schema import FORMAT_VERSION, create_statements
from tallystick.store.spill import EntryFile, SpooledParts

_CACHED_RECORDS = 20_000
_KEPT_CHECKPOINTS = 2_000


class _Typed(msgspec.Struct):
    """The one field of an operation that the history names it by; all others are passed over unparsed."""

    type: str = ""


_type_decoder = msgspec.json.Decoder(_Typed)


class StoredBlock(NamedTuple):
    """A block as it is kept."""

    height: int
    time: int
    header: bytes
    signatures: bytes
    state_root: bytes
    history_root: bytes
    size: int
    transactions: tuple[bytes, ...]


class StoredOperation(NamedTuple):
    """One operation of the history with its place."""

    leaf: int
    height: int
    time: int
    transaction_id: bytes
    transaction: bytes
    position: int
    outcome: int


def _block(row: tuple[Any, ...], transactions: tuple[bytes, ...] = ()) -> StoredBlock:
    height, time, header, signatures, state_root, history_root, size = row
    return StoredBlock(height, time, header.encode(), signatures.encode(), state_root, history_root, size, transactions)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open `ledger.db` for reading only; anybody may while the node runs.

    Raises:
        StorageError: there is none, or it is not a database.
    """
    if not path.is_file():
        raise missing(path)
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT 1 FROM meta").fetchone()
    except (sqlite3.Error, UnicodeError) as error:
        raise broken(path, error) from None
    return connection


class LedgerStore:
    """The ledger's file, opened for writing by the one process that may, or for reading by others."""

    def __init__(self, path: Path, rulebook: Rulebook, *, read_only: bool = False) -> None:
        """Open an existing file.

        Raises:
            StorageError: it is missing, damaged, of another format, or already open for writing elsewhere.
        """
        self.path = path
        self.rulebook = rulebook
        self._cache: dict[tuple[str, str], bytes | None] = {}
        self._connection = open_reader(path) if read_only else self._open_writer(path)
        self._caching = not read_only
        self._base_roots: dict[int, bytes] | None = None
        with reading(path):
            meta = dict(self._connection.execute("SELECT name, value FROM meta"))
            self.chain, self.genesis = read_meta(path, meta)
            self.genesis_hash = sha256(self.genesis)
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

    @property
    def base(self) -> Base | None:
        """The block that this copy began from, as long as it lacks what was before; None where it has everything."""
        return find_base(self._connection)

    def base_edge(self) -> Edge | None:
        """Return the edge of the history after the block that this copy began from; None where it has everything."""
        return None if self.base is None else read_edge(self._connection)

    @staticmethod
    def create(
        path: Path, rulebook: Rulebook, *, chain: str, genesis: bytes, records: Iterable[tuple[str, str, bytes]]
    ) -> None:
        """Make the file of a new copy: genesis and its records, no block yet. Appears whole or not at all.

        Raises:
            StorageError: it exists already or cannot be written.
        """
        if path.exists():
            raise StorageError(f"{path} exists already", remedy="Choose another folder; a ledger is never overwritten.")
        fresh = path.with_name(path.name + ".new")
        fresh.unlink(missing_ok=True)
        try:
            connection = sqlite3.connect(fresh, isolation_level=None)
            connection.execute("PRAGMA page_size = 4096")
            connection.execute("BEGIN")
            for statement in create_statements(rulebook.collections.values()):
                connection.execute(statement)
            meta = (("format", str(FORMAT_VERSION)), ("chain", chain), ("genesis", genesis.decode()))
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
            connection.executemany(
                "INSERT INTO records(collection, key, value) VALUES (?, ?, ?)",
                ((collection, key, value.decode()) for collection, key, value in records),
            )
            connection.execute("COMMIT")
            connection.close()
            with fresh.open("rb") as file:
                os.fsync(file.fileno())
            fresh.rename(path)
        except sqlite3.Error as error:
            raise broken(path, error) from None
        finally:
            fresh.unlink(missing_ok=True)

    @staticmethod
    def _open_writer(path: Path) -> sqlite3.Connection:
        open_reader(path).close()
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 20000")
            connection.execute("PRAGMA cache_size = -65536")
        except (sqlite3.Error, UnicodeError) as error:
            raise broken(path, error) from None
        return connection

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    # --- records -----------------------------------------------------------------------------------------------------

    def read(self, collection: str, key: str) -> bytes | None:
        """Return the canonical bytes of a record, or None (`machine.Reader`)."""
        where = (collection, key)
        if self._caching and where in self._cache:
            return self._cache[where]
        row = self._connection.execute("SELECT value FROM records WHERE collection = ? AND key = ?", where).fetchone()
        value = None if row is None else row[0].encode()
        if self._caching and value is not None:
            if len(self._cache) >= _CACHED_RECORDS:
                self._cache.clear()
            self._cache[where] = value
        return value

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield (key, bytes) of the keys that start with `prefix`, in order of their UTF-8 bytes (`machine.Reader`)."""
        # SQLite's BINARY collation compares UTF-8 bytes; U+10FFFF ends every key with the prefix.
        rows = self._connection.execute(
            "SELECT key, value FROM records WHERE collection = ? AND key >= ? AND key < ? ORDER BY key",
            (collection, prefix, prefix + "\U0010ffff"),
        )
        for key, value in rows:
            yield key, value.encode()

    def all_records(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield every record as (collection, key, bytes), in order of collection and key."""
        for collection, key, value in self._connection.execute(
            "SELECT collection, key, value FROM records ORDER BY collection, key"
        ):
            yield collection, key, value.encode()

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

    @contextmanager
    def _transaction(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """One SQL transaction: all of it is on disk when this ends, or none.

        Args:
            synced: False leaves it to the next one to wait for the disk. A crash of this process loses nothing; one of
                the machine may lose this and what came after, never something before.
        """
        connection = self._connection
        if not synced:
            connection.execute("PRAGMA synchronous = NORMAL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise broken(self.path, error) from None
            raise
        finally:
            if not synced:
                connection.execute("PRAGMA synchronous = FULL")

    def commit_block(self, result: BlockResult, header: bytes, signatures: bytes, *, synced: bool = True) -> None:
        """Write a block with everything that came of it, in one SQL transaction.

        Args:
            result: of `execute_block`, made against the last committed block.
            header: canonical bytes.
            signatures: of it, by those who order; canonical JSON.
            synced: False where the next block follows at once, and others have this one: see `_transaction`.

        Raises:
            StorageError: nothing was written (a full disk, a failing write), or it is not certain that it was.
        """
        block = result.block
        sequence = self._last_transaction
        event = self._last_event
        transactions: list[tuple[Any, ...]] = []
        operations: list[tuple[int, int, str, int]] = []
        for raw, done in zip(block.transactions, result.results, strict=True):
            sequence += 1
            known = done.transaction
            identifier = known.id if known is not None else sha256(raw)
            organisation = known.payload.organisation if known is not None else ""
            first = done.first_leaf if done.refused is None else None
            transactions.append((sequence, block.height, identifier, organisation, first, raw))
            if known is not None and done.refused is None:
                for index, outcome in enumerate(done.outcomes):
                    kind = operation_type(known.operations[index])
                    operations.append((done.first_leaf + index, sequence, kind, outcome.code))
        events = []
        for emitted in result.events:
            event += 1
            events.append((event, emitted.leaf, encode_own(emitted.event).decode()))
        upserts = [(c, k, v.decode()) for c, k, v in result.writes if v is not None]
        removals = [(c, k) for c, k, v in result.writes if v is None]
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
                connection.executemany("INSERT OR IGNORE INTO transactions VALUES (?, ?, ?, ?, ?, ?)", transactions)
                connection.executemany("INSERT INTO operations VALUES (?, ?, ?, ?)", operations)
                connection.executemany("INSERT INTO events VALUES (?, ?, ?)", events)
                connection.executemany(
                    "INSERT INTO records(collection, key, value) VALUES (?, ?, ?) "
                    "ON CONFLICT(collection, key) DO UPDATE SET value = excluded.value",
                    upserts,
                )
                connection.executemany("DELETE FROM records WHERE collection = ? AND key = ?", removals)
        except StorageError:
            if not self._was_kept(block.height, header):
                raise
        self._last_transaction = sequence
        self._last_event = event
        for collection, key, _ in result.writes:
            self._cache.pop((collection, key), None)

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

    # --- blocks and history ------------------------------------------------------------------------------------------

    def last_block(self) -> StoredBlock | None:
        """Return the last block without its transactions, or None before the first."""
        row = self._connection.execute(
            "SELECT height, time_ms, header, signatures, state_root, history_root, size FROM blocks "
            "ORDER BY height DESC LIMIT 1"
        ).fetchone()
        return None if row is None else _block(row)

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
        return None if row is None else _block(row)

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
            raw = self._connection.execute(
                "SELECT bytes FROM transactions WHERE height = ? ORDER BY seq", (row[0],)
            ).fetchall()
            yield _block(row, tuple(item[0] for item in raw))

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
        return None if row is None else _block(row)

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
        row: tuple[int, int | None, bytes] | None = self._connection.execute(
            "SELECT height, first_leaf, bytes FROM transactions WHERE id = ?", (identifier,)
        ).fetchone()
        return row

    def find_operation(self, leaf: int) -> StoredOperation | None:
        """Return one operation of the history, or None."""
        row = self._connection.execute(
            "SELECT o.leaf, t.height, b.time_ms, t.id, t.bytes, o.leaf - t.first_leaf, o.outcome FROM operations o "
            "JOIN transactions t ON t.seq = o.tx JOIN blocks b ON b.height = t.height WHERE o.leaf = ?",
            (leaf,),
        ).fetchone()
        return None if row is None else StoredOperation(*row)

    def leaves(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the data of history leaves `start` to `end` (not included), rebuilt from the transactions.

        Raises:
            NotHeldError: they begin before the block that this copy began from.
        """
        if start < end:
            self.check_held(start)
        rows = self._connection.execute(
            "SELECT t.height, b.time_ms, t.id, t.bytes, t.first_leaf, o.leaf, o.outcome FROM operations o "
            "JOIN transactions t ON t.seq = o.tx JOIN blocks b ON b.height = t.height "
            "WHERE o.leaf >= ? AND o.leaf < ? ORDER BY o.leaf",
            (start, end),
        )
        last_raw: bytes | None = None
        operations: Sequence[bytes] = ()
        for height, time, identifier, raw, first_leaf, leaf, outcome in rows:
            if raw is not last_raw and raw != last_raw:
                operations = decode_transaction(raw, self.genesis_hash).operations
                last_raw = raw
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

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a SELECT of this program's own and return its rows."""
        return self._connection.execute(statement, parameters).fetchall()

    # --- what others signed ------------------------------------------------------------------------------------------

    def add_checkpoint(self, size: int, root: bytes, height: int, note: str) -> None:
        """Keep a signed checkpoint; forget the oldest beyond a few thousand, which newer ones extend."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?, ?)", (size, root, height, note))
            oldest = connection.execute(
                "SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?", (_KEPT_CHECKPOINTS,)
            ).fetchone()
            if oldest is not None:
                connection.execute("DELETE FROM checkpoints WHERE size <= ?", oldest)
                connection.execute("DELETE FROM cosignatures WHERE size <= ?", oldest)

    def add_cosignature(self, size: int, organisation: str, time_s: int, signature: bytes) -> None:
        """Keep a verified cosignature of a checkpoint."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO cosignatures VALUES (?, ?, ?, ?)", (size, organisation, time_s, signature)
            )

    def checkpoints_from(self, size: int) -> Iterator[tuple[int, bytes, int, str]]:
        """Yield (size, root, height, note) of checkpoints of at least a size, smallest first."""
        yield from self._connection.execute(
            "SELECT size, root, height, note FROM checkpoints WHERE size >= ? ORDER BY size", (size,)
        )

    def latest_checkpoint(self) -> tuple[int, bytes, int, str] | None:
        """Return (size, root, height, note) of the largest checkpoint, or None."""
        row: tuple[int, bytes, int, str] | None = self._connection.execute(
            "SELECT size, root, height, note FROM checkpoints ORDER BY size DESC LIMIT 1"
        ).fetchone()
        return row

    def cosignatures(self, size: int) -> list[tuple[str, int, bytes]]:
        """Return (organisation, time in seconds, signature) of a checkpoint's cosignatures, by organisation."""
        return self._connection.execute(
            "SELECT organisation, time_s, signature FROM cosignatures WHERE size = ? ORDER BY organisation", (size,)
        ).fetchall()

    def trust_entries(self) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
        """Return (entry without signatures, [(organisation, signature)]) of every version of the trust file."""
        versions = self._connection.execute("SELECT version, entry FROM trust ORDER BY version").fetchall()
        return [
            (
                entry.encode(),
                self._connection.execute(
                    "SELECT organisation, signature FROM trust_signatures WHERE version = ? ORDER BY organisation",
                    (version,),
                ).fetchall(),
            )
            for version, entry in versions
        ]

    def add_trust(self, version: int, entry: bytes) -> None:
        """Keep a version of the trust file, without signatures."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO trust VALUES (?, ?)", (version, entry.decode()))

    def add_trust_signature(self, version: int, organisation: str, signature: bytes) -> None:
        """Keep a verified signature under a version of the trust file."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO trust_signatures VALUES (?, ?, ?)", (version, organisation, signature)
            )

    def add_fork(self, proof: bytes) -> None:
        """Keep a fork proof."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO forks(proof) VALUES (?)", (proof.decode(),))

    def forks(self) -> list[bytes]:
        """Return the fork proofs, oldest first."""
        rows = self._connection.execute("SELECT proof FROM forks ORDER BY id").fetchall()
        return [row[0].encode() for row in rows]


def operation_type(operation: bytes) -> str:
    """Return the `type` of an operation's bytes, or "" where it has none (a malformed one on the history)."""
    try:
        kind = _type_decoder.decode(operation).type
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    return kind if len(kind) <= 64 else ""
