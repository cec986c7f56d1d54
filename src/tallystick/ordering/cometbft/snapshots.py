"""Snapshots for the engine's own exchange between validators: the format of `ordering.snapshots`, told in its messages.

A snapshot is taken from the last block on disk, while later blocks go on: one SQL read sees one state. What comes in is
compared with the app hash that the engine's light client found signed, and with the zone's header of that block.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from tallystick.codec import MalformedError, sha256
from tallystick.errors import NodeError
from tallystick.machine import Beginning, LedgerState
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.snapshots import (
    FORMAT,
    Description,
    Record,
    decode_description,
    read_chunk,
    read_description,
    records_of,
    snapshot_heights,
    verify_snapshot,
    write_snapshot,
)
from tallystick.proofs.headers import decode_header

log = structlog.get_logger("engine")
Applied = tuple[abci.ResponseApplySnapshotChunk, LedgerState | None]


class SnapshotReading(Protocol):
    """A ledger as of its last block."""

    @property
    def beginning(self) -> Beginning:
        """Where another may begin."""

    @property
    def records(self) -> Iterator[Record]:
        """All records, sorted by collection and key."""


class SnapshotStore(Protocol):
    """Reads and writes a whole ledger. Declared here, given by the node."""

    def reading(self, height: int | None = None) -> AbstractContextManager[SnapshotReading]:
        """Open the ledger as it is now; `height` must be that of the last block."""

    def install(self, beginning: Beginning, records: Iterable[Record]) -> LedgerState:
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


class _Restoring(NamedTuple):
    """A snapshot on its way: what must come of it, and which chunks are missing."""

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
        with ExitStack() as opened:
            try:
                # The read begins now, before another block can be committed.
                reading = opened.enter_context(self._store.reading(state.height))
            except NodeError as error:
                log.error("snapshot_failed", height=state.height, reason=error.message)
                return
            self._taking = asyncio.get_running_loop().create_task(self._take(reading, opened.pop_all()))

    async def _take(self, reading: SnapshotReading, opened: ExitStack) -> None:
        with opened:
            try:
                await asyncio.to_thread(self._write, reading)
            except (NodeError, OSError) as error:
                # A snapshot is for others: without it this node loses nothing.
                log.error("snapshot_failed", height=reading.beginning.height, reason=str(error))

    async def settled(self) -> None:
        """Wait until a snapshot that is being taken is written."""
        if self._taking is not None:
            await asyncio.wait([self._taking])

    def _write(self, reading: SnapshotReading) -> None:
        """Write a snapshot whole, then show it; forget the oldest."""
        begins = reading.beginning
        made = write_snapshot(self._folder, reading.records, lambda: begins, chain=self._chain, genesis=self._genesis)
        log.info("snapshot_taken", height=made.height, chunks=len(made.chunks))

    def offers(self) -> list[abci.Snapshot]:
        """Return what this node can give."""
        found = []
        for height in snapshot_heights(self._folder):
            data = read_description(self._folder, height)
            if data is not None:
                chunks = len(decode_description(data).chunks)
                found.append(
                    abci.Snapshot(height=height, format=FORMAT, chunks=chunks, hash=sha256(data), metadata=data)
                )
        return found

    def chunk(self, height: int, form: int, index: int) -> bytes | None:
        """Return one chunk, or None."""
        return None if form != FORMAT else read_chunk(self._folder, height, index)

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
        try:
            beginning = self._verified(restoring)
            if beginning is None:
                return result(result=result.REJECT_SNAPSHOT), None
            restored = self._store.install(beginning, records_of(restoring.description, self._collected))
            return result(result=result.ACCEPT), restored
        finally:
            shutil.rmtree(self._incoming, ignore_errors=True)

    def _verified(self, restoring: _Restoring) -> Beginning | None:
        """Return where the ledger begins, or None where the chunks do not lead to the app hash that was signed."""
        description = restoring.description
        try:
            if decode_header(description.header.encode()).app_hash != restoring.app_hash.hex():
                raise MalformedError("its app hash is not the signed one")
            return verify_snapshot(description, self._collected)
        except MalformedError as error:
            log.error("snapshot_refused", height=description.height, reason=error.reason)
            return None

    @property
    def _incoming(self) -> Path:
        return self._folder / "incoming"

    def _collected(self, index: int) -> bytes:
        return (self._incoming / str(index)).read_bytes()
