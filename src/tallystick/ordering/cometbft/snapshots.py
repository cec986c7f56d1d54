"""Snapshots: the ledger at one height, in chunks, so that a newcomer need not execute all blocks from the first.

Format 1. A snapshot is a description (canonical JSON) and chunks of at most about a megabyte. Together the chunks hold
every record, sorted by collection and key, each as three byte strings (collection, key, value) behind their lengths
(4 bytes, big-endian). The description names each chunk's SHA-256. It carries the zone's header of the block, which the
next one names, and the edge of the history tree, from which its root and all later ones follow. Accepted ids and the
zone's parameters are records like others.

Rules:

- A snapshot is taken from the last block on disk, while later blocks go on: one SQL read sees one state.
- Nothing of a snapshot is believed because somebody sent it. Each chunk is compared with the description; with the last
  chunk, state tree and app hash are computed from the records, and must be the app hash that the validators signed.
- Only then is anything written, in one SQL transaction. A crash before it leaves an empty ledger, and none after it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import structlog

from tallystick.codec import MalformedError, StrictDecoder, encode_json, sha256
from tallystick.errors import NodeError
from tallystick.machine import LedgerState
from tallystick.machine.execution import app_hash_of
from tallystick.merkle import Frontier, StateTree, state_key, state_leaf
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.proofs.forms import Natural, Positive
from tallystick.proofs.headers import decode_header, encode_header
from tallystick.proofs.hexadecimal import HASH_BYTES, unhex

log = structlog.get_logger("engine")
FORMAT = 1
CHUNK_BYTES = 1 << 20
MAX_CHUNKS = 100_000
MAX_DESCRIPTION_BYTES = 8 << 20
KEPT = 2
_DESCRIPTION = "snapshot.json"
_LENGTH = 4

Record = tuple[str, str, bytes]
Applied = tuple[abci.ResponseApplySnapshotChunk, LedgerState | None]


class Description(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a snapshot holds.

    Attributes:
        chain: chain id.
        chunks: SHA-256 of each chunk, hex.
        frontier: roots of the perfect subtrees of the history, largest first, hex.
        genesis: SHA-256 of the genesis, hex.
        header: of that block, as its canonical text.
        height: of the block it was taken after.
        size: of the history.
    """

    chain: str
    chunks: tuple[str, ...]
    frontier: tuple[str, ...]
    genesis: str
    header: str
    height: Positive
    size: Natural

    def edge(self) -> Frontier:
        """Return the edge of the history."""
        return Frontier.from_hashes(self.size, [bytes.fromhex(part) for part in self.frontier])


_decoder: StrictDecoder[Description] = StrictDecoder(Description, max_bytes=MAX_DESCRIPTION_BYTES)


class SnapshotStore(Protocol):
    """Reads and writes a whole ledger. Declared here, given by the node."""

    def header(self, height: int) -> bytes:
        """Return the header of a block."""

    def read_all(self, height: int) -> Iterator[Record]:
        """Yield every record after a block, sorted; the block must be the last when this is called."""

    def install(
        self,
        header: bytes,
        height: int,
        time: int,
        state_root: bytes,
        frontier: Frontier,
        records: Iterable[Record],
    ) -> LedgerState:
        """Make an empty ledger the one after a block, in one SQL transaction, and return its state."""


class SnapshotExchange(Protocol):
    """What the application asks about snapshots."""

    def block_committed(self, state: LedgerState) -> None:
        """Take a snapshot if one is due."""

    def offers(self) -> list[abci.Snapshot]:
        """Return what this node can give."""

    def chunk(self, height: int, form: int, index: int) -> bytes | None:
        """Return one chunk, or None."""

    def offered(self, snapshot: abci.Snapshot, app_hash: bytes) -> abci.ResponseOfferSnapshot.Result:
        """Begin to restore what somebody else has, or not."""

    def apply(self, index: int, chunk: bytes, sender: str) -> Applied:
        """Take one chunk; return the answer and, after the last one, the restored state."""


class NoSnapshots:
    """Neither gives nor takes."""

    def block_committed(self, state: LedgerState) -> None:
        """Take none."""

    def offers(self) -> list[abci.Snapshot]:
        """Return none."""
        return []

    def chunk(self, height: int, form: int, index: int) -> bytes | None:
        """Return none."""
        return None

    def offered(self, snapshot: abci.Snapshot, app_hash: bytes) -> abci.ResponseOfferSnapshot.Result:
        """Take none."""
        return abci.ResponseOfferSnapshot.ABORT

    def apply(self, index: int, chunk: bytes, sender: str) -> Applied:
        """Take none."""
        return abci.ResponseApplySnapshotChunk(result=abci.ResponseApplySnapshotChunk.ABORT), None


def encode_chunks(records: Iterable[Record], chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield records as chunks; a chunk ends with the record that fills it."""
    chunk = bytearray()
    for collection, key, value in records:
        for part in (collection.encode(), key.encode(), value):
            chunk += len(part).to_bytes(_LENGTH, "big")
            chunk += part
        if len(chunk) >= chunk_bytes:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)


def decode_chunk(chunk: bytes) -> Iterator[Record]:
    """Yield the records of a chunk.

    Raises:
        MalformedError: it is not one.
    """
    offset = 0
    while offset < len(chunk):
        parts: list[bytes] = []
        for _ in range(3):
            start = offset + _LENGTH
            offset = start + int.from_bytes(chunk[offset:start], "big")
            if start > len(chunk) or offset > len(chunk):
                raise MalformedError("a record is cut short")
            parts.append(chunk[start:offset])
        try:
            yield parts[0].decode(), parts[1].decode(), parts[2]
        except UnicodeDecodeError:
            raise MalformedError("a key is not text") from None


def decode_description(data: bytes) -> Description:
    """Read a description from exactly its canonical bytes.

    Raises:
        MalformedError: anything else.
    """
    description = _decoder.decode(data)
    if not 1 <= len(description.chunks) <= MAX_CHUNKS:
        raise MalformedError("not 1 to 100,000 chunks")
    for text in (*description.chunks, *description.frontier, description.genesis):
        unhex(text, HASH_BYTES)
    if len(description.frontier) != description.size.bit_count():
        raise MalformedError("the edge of the history does not fit its size")
    header = decode_header(description.header.encode())
    if (header.chain, header.height) != (description.chain, description.height):
        raise MalformedError("the header is of another block")
    return description


class _Restoring(NamedTuple):
    """A snapshot on its way: where chunks are collected, and what must come of them."""

    description: Description
    app_hash: bytes
    missing: set[int]


class SnapshotFolder:
    """Snapshots as files under one folder, a folder each; also where the chunks of one that comes in are collected."""

    def __init__(self, folder: Path, store: SnapshotStore, *, chain: str, genesis_hash: bytes, every: int = 0) -> None:
        """Prepare.

        Args:
            folder: for snapshots alone.
            store: the ledger's.
            chain: chain id.
            genesis_hash: SHA-256 of the genesis.
            every: take one after each so many blocks; 0 takes none.
        """
        self._folder = folder
        self._store = store
        self._chain = chain
        self._genesis = genesis_hash.hex()
        self._every = every
        self._restoring: _Restoring | None = None
        self._taking: asyncio.Task[None] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    # --- giving ------------------------------------------------------------------------------------------------------

    def block_committed(self, state: LedgerState) -> None:
        """Take a snapshot if one is due and none is being taken; it is written beside the blocks that follow."""
        due = self._every and state.height % self._every == 0
        if not due or (self._taking is not None and not self._taking.done()):
            return
        try:
            # The read begins now, before another block can be committed; the frontier is of the same block.
            records = self._store.read_all(state.height)
            header = self._store.header(state.height)
        except NodeError as error:
            log.error("snapshot_failed", height=state.height, reason=error.message)
            return
        taking = self._take(header, state.height, state.frontier.copy(), records)
        self._taking = asyncio.get_running_loop().create_task(taking)

    async def _take(self, header: bytes, height: int, frontier: Frontier, records: Iterable[Record]) -> None:
        try:
            await asyncio.to_thread(self.write, header, height, frontier, records)
        except (NodeError, OSError) as error:
            # A snapshot is for others: without it this node loses nothing.
            log.error("snapshot_failed", height=height, reason=str(error))

    async def settled(self) -> None:
        """Wait until a snapshot that is being taken is written."""
        if self._taking is not None:
            await asyncio.wait([self._taking])

    def write(self, header: bytes, height: int, frontier: Frontier, records: Iterable[Record]) -> None:
        """Write a snapshot whole, then show it; forget the oldest."""
        fresh = self._folder / f"{height}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        hashes: list[str] = []
        for index, chunk in enumerate(encode_chunks(records)):
            (fresh / str(index)).write_bytes(chunk)
            hashes.append(sha256(chunk).hex())
        description = Description(
            chain=self._chain,
            chunks=tuple(hashes),
            frontier=tuple(part.hex() for part in frontier.hashes),
            genesis=self._genesis,
            header=header.decode(),
            height=height,
            size=frontier.size,
        )
        (fresh / _DESCRIPTION).write_bytes(encode_json(description))
        target = self._folder / str(height)
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
        for old in self._heights()[:-KEPT]:
            shutil.rmtree(self._folder / str(old), ignore_errors=True)
        log.info("snapshot_taken", height=height, chunks=len(hashes))

    def offers(self) -> list[abci.Snapshot]:
        """Return what this node can give."""
        found = []
        for height in self._heights():
            try:
                data = (self._folder / str(height) / _DESCRIPTION).read_bytes()
            except OSError:
                continue
            chunks = len(decode_description(data).chunks)
            found.append(abci.Snapshot(height=height, format=FORMAT, chunks=chunks, hash=sha256(data), metadata=data))
        return found

    def chunk(self, height: int, form: int, index: int) -> bytes | None:
        """Return one chunk, or None."""
        if form != FORMAT:
            return None
        try:
            return (self._folder / str(height) / str(index)).read_bytes()
        except OSError:
            return None

    def _heights(self) -> list[int]:
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    # --- taking ------------------------------------------------------------------------------------------------------

    def offered(self, snapshot: abci.Snapshot, app_hash: bytes) -> abci.ResponseOfferSnapshot.Result:
        """Begin to restore, if this is a snapshot of this zone in a format that we read."""
        if snapshot.format != FORMAT:
            return abci.ResponseOfferSnapshot.REJECT_FORMAT
        try:
            description = decode_description(snapshot.metadata)
        except MalformedError:
            return abci.ResponseOfferSnapshot.REJECT
        same_zone = (description.chain, description.genesis) == (self._chain, self._genesis)
        fits = description.height == snapshot.height and len(description.chunks) == snapshot.chunks
        if not same_zone or not fits or sha256(snapshot.metadata) != snapshot.hash:
            return abci.ResponseOfferSnapshot.REJECT
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir()
        self._restoring = _Restoring(description, app_hash, set(range(len(description.chunks))))
        return abci.ResponseOfferSnapshot.ACCEPT

    def apply(self, index: int, chunk: bytes, sender: str) -> Applied:
        """Take one chunk; return the answer and, after the last one, the restored state.

        Raises:
            StorageError: the records are right but cannot be written.
        """
        result = abci.ResponseApplySnapshotChunk
        restoring = self._restoring
        if restoring is None or index not in range(len(restoring.description.chunks)):
            return result(result=result.ABORT), None
        if sha256(chunk).hex() != restoring.description.chunks[index]:
            senders = [sender] if sender else []
            return result(result=result.RETRY, refetch_chunks=[index], reject_senders=senders), None
        (self._incoming / str(index)).write_bytes(chunk)
        restoring.missing.discard(index)
        if restoring.missing:
            return result(result=result.ACCEPT), None
        self._restoring = None
        description = restoring.description
        try:
            root = self._state_root(restoring)
            if root is None:
                return result(result=result.REJECT_SNAPSHOT), None
            header = decode_header(description.header.encode())
            restored = self._store.install(
                encode_header(header),
                header.height,
                header.time,
                root,
                description.edge(),
                self._collected(restoring),
            )
            return result(result=result.ACCEPT), restored
        finally:
            shutil.rmtree(self._incoming, ignore_errors=True)

    def _state_root(self, restoring: _Restoring) -> bytes | None:
        """Return the root over the records, or None where the app hash is not the one that was signed."""
        description = restoring.description
        frontier = description.edge()
        before: tuple[bytes, bytes] | None = None

        def entries() -> Iterator[tuple[bytes, bytes]]:
            nonlocal before
            for collection, key, value in self._collected(restoring):
                place = (collection.encode(), key.encode())
                if before is not None and place <= before:
                    raise MalformedError("records are not sorted, or one is repeated")
                before = place
                hashed = state_key(collection, key)
                yield hashed, state_leaf(hashed, sha256(value))

        try:
            root = StateTree.build(entries()).root
        except MalformedError as error:
            log.error("snapshot_refused", height=description.height, reason=error.reason)
            return None
        app_hash = app_hash_of(root, frontier.root(), frontier.size)
        if app_hash != restoring.app_hash or app_hash.hex() != decode_header(description.header.encode()).app_hash:
            log.error("snapshot_refused", height=description.height, reason="its app hash is not the signed one")
            return None
        return root

    @property
    def _incoming(self) -> Path:
        return self._folder / "incoming"

    def _collected(self, restoring: _Restoring) -> Iterator[Record]:
        for index in range(len(restoring.description.chunks)):
            yield from decode_chunk((self._incoming / str(index)).read_bytes())
