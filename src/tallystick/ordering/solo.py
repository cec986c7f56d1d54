"""The embedded engine: one organisation's node orders for the zone, and every other copy checks it.

Order of steps, and what a crash between them leaves:

1. admit: form, time, repetition, the history its author saw, signature. A crash loses what nobody was told is safe.
2. execute against the last block on disk, in memory. A crash leaves that block as the last.
3. sign the header. A signature that was never sent proves nothing to anybody.
4. commit block, records and events in one SQL transaction, synced. From here the block exists.
5. acknowledge. A client that was not answered asks again by transaction id, or repeats the same bytes: accepted once.
6. tiles under `log/`, derived; missing ones are written at the next start.

While a block is being made, what arrives waits and becomes the next block: no timer, so a lone client is not delayed
and many clients share a sync to disk. Each organisation has a bounded queue, and they take turns (`intake`).
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

from tallystick.codec import MalformedError
from tallystick.codec.bundles import Bundle
from tallystick.errors import NodeError, PeerError, StorageError
from tallystick.keys import Signer
from tallystick.machine import (
    Block,
    BlockResult,
    KnownRights,
    LedgerState,
    Rulebook,
    State,
    Transaction,
    TransactionResult,
    decode_transaction,
    execute_block,
)
from tallystick.machine.parameters import PARAMETERS, PARAMETERS_KEY, Parameters
from tallystick.machine.rejections import BLOCK_CAP, EXPIRED, EXPIRES_TOO_LATE, MALFORMED, REPEATED, WRONG_HISTORY
from tallystick.ordering.fairness import BlockRoom, Share
from tallystick.ordering.intake import SHARE, Intake, Submitted, Waiting
from tallystick.ordering.meter import Meter, NoMeter
from tallystick.ordering.verifier import SignatureVerifier
from tallystick.proofs.headers import (
    Header,
    encode_header,
    encode_signatures,
    header_hash,
    sign_header,
    transactions_root,
)

HEARTBEAT_MS = 600_000
_TURNS_BETWEEN_BLOCKS = 6
# Until the next try where a heartbeat could not be written; transactions are tried at once.
_RETRY_SECONDS = 1.0


class BlockSink(Protocol):
    """Where blocks go; the store and whoever wants to hear of them. Declared here, given by the node."""

    def commit_block(
        self,
        result: BlockResult,
        header: bytes,
        signatures: bytes,
        *,
        synced: bool = True,
        bundles: Sequence[Bundle] = (),
    ) -> None:
        """Write a block in one SQL transaction.

        Args:
            result: of its execution.
            header: canonical bytes.
            signatures: of it.
            synced: False where the next one waits for the disk.
            bundles: those in which all of its transactions came, if they came in any.
        """

    def history_root(self, size: int) -> bytes | None:
        """Return the root of the history at a size where a block ended, or None."""


class Solo:
    """Orders transactions into blocks."""

    def __init__(
        self,
        state: LedgerState,
        sink: BlockSink,
        rulebook: Rulebook,
        signer: Signer,
        verifier: SignatureVerifier,
        *,
        organisation: str,
        clock_ms: Callable[[], int],
        previous: bytes,
        on_block: Callable[[BlockResult, bytes, bytes], None] | None = None,
        heartbeat_ms: int = HEARTBEAT_MS,
        meter: Meter | None = None,
        share: Share = SHARE,
    ) -> None:
        """Prepare an engine.

        Args:
            state: after the last block on disk.
            sink: keeps blocks.
            rulebook: the operations.
            signer: the orderer's `system` key.
            verifier: checks signatures.
            organisation: that orders.
            clock_ms: UTC time, milliseconds.
            previous: hash of the last header, or of the genesis.
            on_block: told of each block after it is on disk.
            heartbeat_ms: an empty block is made after so long without one, so that deadlines pass.
            meter: takes measurements.
            share: what one organisation may have waiting here.
        """
        self.state = state
        self._sink = sink
        self._rulebook = rulebook
        self._signer = signer
        self._organisation = organisation
        self._verifier = verifier
        self._clock_ms = clock_ms
        self._previous = previous
        self._on_block = on_block
        self._heartbeat_ms = heartbeat_ms
        self._meter: Meter = meter or NoMeter()
        self._intake = Intake(verifier.check, share=share)
        self._roots: dict[int, str] = {}
        self._rights = self._read_rights()
        self._hold: NodeError | None = None
        self._parameters = (-1, Parameters())  # height that they were read at
        self._tasks: list[asyncio.Task[None]] = []

    # --- submitting --------------------------------------------------------------------------------------------------

    def submit(self, raw: bytes, source: str = "") -> asyncio.Future[Submitted]:
        """Admit a transaction; the future is done when it is on disk.

        The same bytes submitted twice while they wait share one future.

        Args:
            raw: its bytes.
            source: the member whose node handed it in; by default this one.

        Raises:
            RejectedError: it cannot be accepted as it is.
            QueueFullError: its organisation has its share waiting.
            NodeError: the engine is held (see `hold`).
        """
        if self._hold is not None:
            raise self._hold
        try:
            transaction = decode_transaction(raw, self.state.genesis_hash)
        except MalformedError as error:
            raise MALFORMED(reason=error.reason) from None
        known = self._intake.find(transaction.id)
        if known is not None:
            return known.done
        self._admit(transaction)
        return self._intake.put(
            transaction, organisation=self._holder(transaction.key), source=source or self._organisation
        )

    def _holder(self, key: bytes) -> str:
        """Return the organisation that holds a key, or nothing: all strangers together have one share.

        What a transaction calls itself does not count before its key is known to be that organisation's.
        """
        rights = self._rights.of(key)
        return "" if rights is None else rights.organisation

    def _read_rights(self) -> KnownRights:
        """Return the rights of keys as of the last block."""
        return KnownRights(self._rulebook.authority, State(self.state.reader, self.state.tree))

    def _admit(self, transaction: Transaction) -> None:
        payload = transaction.payload
        parameters = self.parameters()
        now = max(self._clock_ms(), self.state.time)
        if payload.expires < now:
            raise EXPIRED()
        limit = parameters.max_expires_ahead_ms
        if payload.expires > now + limit:
            raise EXPIRES_TOO_LATE(limit_ms=limit)
        if transaction.id in self.state.accepted:
            raise REPEATED()
        most = parameters.block_operations_per_organisation
        if len(transaction.operations) > most:
            raise BLOCK_CAP(organisation=payload.organisation, limit=most)
        seen = payload.seen
        if self._root_at(seen.size) != seen.root:
            raise WRONG_HISTORY(size=seen.size)

    def _root_at(self, size: int) -> str | None:
        """Return the root that the history had at a size, as hex, or None where no block ended there."""
        known = self._roots.get(size)
        if known is not None:
            return known
        root = self._sink.history_root(size) if size <= self.state.frontier.size else None
        if root is None:
            return None
        if len(self._roots) > 4_096:
            self._roots.clear()
        self._roots[size] = root.hex()
        return self._roots[size]

    def parameters(self) -> Parameters:
        """Return what the zone agrees on, as of the last block."""
        height, parameters = self._parameters
        if height != self.state.height:
            value = self.state.reader.read(PARAMETERS.name, PARAMETERS_KEY)
            parameters = Parameters() if value is None else PARAMETERS.decode(value)
            self._parameters = (self.state.height, parameters)
        return parameters

    def hold(self, reason: NodeError | None) -> None:
        """Sign no block and refuse all submissions for a reason, or go on (None).

        A restored copy may be behind its witnesses: whatever it signed, a heartbeat too, could be a second history.
        """
        self._hold = reason
        self._intake.ready.set()

    def continue_from(self, previous: bytes) -> None:
        """Go on behind a block that was taken back while held; the state is already after it.

        Args:
            previous: hash of that block's header.
        """
        self._previous = previous
        self._roots.clear()
        self._rights = self._read_rights()

    @property
    def waiting(self) -> int:
        """Transactions admitted and not yet on disk."""
        return self._intake.waiting

    def queues(self) -> dict[str, int]:
        """Return how many transactions of each organisation wait here."""
        return self._intake.queues()

    # --- running -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the loops in the running event loop."""
        self._tasks = [*self._intake.start(), asyncio.create_task(self._make_blocks())]

    async def run(self) -> None:
        """Return when the loops have ended; they do not end by themselves, so this raises what ended one."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Stop; what waits is refused with a clear error."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._intake.fail_all(
            PeerError("the orderer is stopping", remedy="Send the same transaction again when it is back.")
        )
        await self._verifier.close()

    async def _make_blocks(self) -> None:
        """Make a block of whatever is ready, again and again; an empty one when the heartbeat is due."""
        while True:
            try:
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the event.
                async with asyncio.timeout(self._seconds_to_heartbeat()):
                    await self._intake.ready.wait()
            except TimeoutError:
                if not self._make_block([]):
                    await asyncio.sleep(_RETRY_SECONDS)
                continue
            self._intake.ready.clear()
            while self._intake.queued:
                if self._hold is not None:
                    self._intake.fail_queued(self._hold)
                    continue
                self._make_block(self._take())
                # Let answers go out, new transactions come in, and what was checked meanwhile join the next block. A
                # connection brings a few hundred transactions a turn.
                for _ in range(_TURNS_BETWEEN_BLOCKS):
                    await asyncio.sleep(0)

    def _seconds_to_heartbeat(self) -> float | None:
        """Return when an empty block is due, or None before the first block and while held."""
        if not self.state.height or self._hold is not None:
            return None
        return max(0, self.state.time + self._heartbeat_ms - self._clock_ms()) / 1000 + 0.001

    def _take(self) -> list[Waiting]:
        """Take turns up to the zone's size of a block, each organisation up to its cap."""
        room = BlockRoom(self.parameters())
        return self._intake.take(lambda item: room.take(item.organisation, len(item.transaction.operations)))

    def _make_block(self, items: Sequence[Waiting]) -> bool:
        """Execute, sign, commit, acknowledge: one block; return whether it could be written."""
        state = self.state
        time = max(self._clock_ms(), state.time)
        block = Block(state.height + 1, time, tuple(item.transaction.raw for item in items))
        # Signatures were checked on arrival.
        began = perf_counter()
        result = execute_block(
            state, block, self._rulebook, decoded=[item.transaction for item in items], verified=lambda _: True
        )
        self._meter.observe("apply_seconds", perf_counter() - began)
        kept = [(item, done) for item, done in zip(items, result.results, strict=True) if done.refused is None]
        if items and not kept:
            self._acknowledge(items, result.results, block.height)
            return True
        if len(kept) < len(items):
            # What is refused leaves nothing behind, so the block without it has the very same result.
            block = Block(block.height, time, tuple(item.transaction.raw for item, _ in kept))
            result, refused = (
                dataclasses.replace(result, block=block, results=[done for _, done in kept]),
                [(item, done) for item, done in zip(items, result.results, strict=True) if done.refused is not None],
            )
            self._acknowledge([item for item, _ in refused], [done for _, done in refused], block.height)
        header = Header(
            app_hash=result.app_hash.hex(),
            chain=state.chain,
            height=block.height,
            previous=self._previous.hex(),
            time=time,
            transactions_root=transactions_root(block.transactions).hex(),
        )
        signatures = encode_signatures([sign_header(header, self._organisation, self._signer)])
        encoded = encode_header(header)
        try:
            self._sink.commit_block(result, encoded, signatures)
        except StorageError as error:
            # Nothing was written and the state is as before: say so, and try afresh with what comes next.
            for item, _ in kept:
                self._intake.fail(item, error)
            return False
        result.commit_to(state)
        self._rights = self._read_rights()
        self._previous = header_hash(header)
        self._acknowledge([item for item, _ in kept], result.results, block.height)
        if self._on_block is not None:
            self._on_block(result, encoded, signatures)
        return True

    def _acknowledge(self, items: Sequence[Waiting], results: Sequence[TransactionResult], height: int) -> None:
        for item, done in zip(items, results, strict=True):
            if done.refused is not None:
                self._intake.fail(item, done.refused)
                continue
            self._intake.settle(item, Submitted(item.transaction.id, height, done.first_leaf, done.outcomes))
