"""Ordering together: this node's side of the distributed engine, as the core knows it.

A transaction goes this way, and a crash leaves this:

1. judged here, against the last block on disk; then it waits in a queue. A crash loses what nobody was told is safe.
2. handed to the engine, whose mempool spreads it to the other validators. A crash here may leave it there: who asks
   again with the same bytes is told what became of it, for it is accepted once. An engine that crashes forgets its
   mempool: whatever waits is handed to the one that is started in its place.
3. decided in a block, by more than two thirds of the validators; executed; the header signed with this organisation's
   `system` key; committed in one SQL transaction (`app`). From here the block exists.
4. acknowledged. The signatures of the other validators under the header come by and by; `ledger.seals` collects them.

The header is the zone's own, as under the embedded engine, and names the transactions that reached the history alone:
every validator computes the same one, and who follows needs nothing of the engine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from tallystick.codec import MalformedError
from tallystick.errors import NodeError, PeerError, RejectedError
from tallystick.keys import Signer
from tallystick.machine import BlockResult, LedgerState, Rulebook, Transaction, decode_transaction
from tallystick.machine.rejections import BAD_SIGNATURE, MALFORMED
from tallystick.ordering.cometbft.app import LedgerApplication
from tallystick.ordering.cometbft.blocks import Committed
from tallystick.ordering.cometbft.results import BUSY, CODESPACE, NODE_CODESPACE
from tallystick.ordering.cometbft.rpc import Admitted, EngineRpc
from tallystick.ordering.cometbft.sealing import HeaderSealer
from tallystick.ordering.cometbft.server import AbciServer
from tallystick.ordering.solo import MAX_WAITING, BlockSink, Submitted
from tallystick.ordering.verifier import SignatureVerifier

log = structlog.get_logger("engine")
SEND_BATCH = 100
SEND_BATCH_BYTES = 4 << 20
IN_FLIGHT = 4
RETRY_SECONDS = 0.2
RETRIES = 100
# How long after its expiry a transaction may still turn up in a block that was decided before.
GRACE_MS = 10_000


@dataclass(slots=True)
class _Waiting:
    transaction: Transaction
    done: asyncio.Future[Submitted]


class Distributed:
    """Orders together with other validators."""

    def __init__(
        self,
        state: LedgerState,
        sink: BlockSink,
        rulebook: Rulebook,
        signer: Signer,
        verifier: SignatureVerifier,
        rpc: EngineRpc,
        *,
        organisation: str,
        socket: Path,
        clock_ms: Callable[[], int],
        previous: Callable[[], bytes],
        on_block: Callable[[BlockResult, bytes, bytes], None],
        initial_height: int = 1,
        retain_blocks: int = 0,
    ) -> None:
        """Prepare.

        Args:
            state: after the last block on disk.
            sink: keeps blocks.
            rulebook: the operations.
            signer: this organisation's `system` key.
            verifier: checks signatures; closed when this stops.
            rpc: of the engine that this node supervises.
            organisation: this node's.
            socket: where the engine finds this application.
            clock_ms: UTC time, ms.
            previous: returns the hash of the last header on disk, or of the genesis.
            on_block: told of each block after it is on disk.
            initial_height: first block of the engine's chain.
            retain_blocks: how many of its own blocks the engine keeps at least; 0 keeps all.
        """
        self._verifier = verifier
        self._rpc = rpc
        self._clock_ms = clock_ms
        self._on_block = on_block
        self._application = LedgerApplication(
            state,
            sink,
            rulebook,
            verifier,
            clock_ms=clock_ms,
            seal=HeaderSealer(state.chain, organisation, signer, previous=previous).seal,
            on_block=self._committed,
            on_engine=self._offer_again,
            initial_height=initial_height,
            retain_blocks=retain_blocks,
        )
        self._server = AbciServer(socket, self._application)
        self._genesis_hash = state.genesis_hash
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._waiting: dict[bytes, _Waiting] = {}
        self._hold: NodeError | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def state(self) -> LedgerState:
        """After the last block on disk."""
        return self._application.state

    @property
    def waiting(self) -> int:
        """Transactions that somebody waits for here."""
        return len(self._waiting)

    async def start(self) -> None:
        """Answer the engine, and take transactions."""
        self._rpc.open()
        await self._server.start()
        self._tasks = [asyncio.create_task(self._send_batches()) for _ in range(IN_FLIGHT)]

    async def run(self) -> None:
        """Never return; raises what ended a loop without which this engine only seems to work."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Stop; what waits is refused with a clear error."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.stop()
        await self._rpc.close()
        error = PeerError("the node is stopping", remedy="Send the same transaction again when it is back.")
        for item in tuple(self._waiting.values()):
            self._fail(item, error)
        await self._verifier.close()

    def hold(self, reason: NodeError | None) -> None:
        """Refuse all submissions for a reason, or go on (None)."""
        self._hold = reason

    # --- submitting --------------------------------------------------------------------------------------------------

    def submit(self, raw: bytes) -> asyncio.Future[Submitted]:
        """Take a transaction; the future is done when a block with it is on disk here.

        The same bytes submitted twice while they wait share one future.

        Raises:
            RejectedError: it cannot be accepted as it is.
            PeerError: the queue is full; try again later.
            NodeError: the engine is held (see `hold`).
        """
        if self._hold is not None:
            raise self._hold
        try:
            transaction = decode_transaction(raw, self._genesis_hash)
        except MalformedError as error:
            raise MALFORMED(reason=error.reason) from None
        known = self._waiting.get(transaction.id)
        if known is not None:
            return known.done
        self._application.judge(transaction)
        if len(self._waiting) >= MAX_WAITING:
            raise PeerError("this node's queue is full", remedy="Try again in a second, with fewer in flight.")
        item = _Waiting(transaction, asyncio.get_running_loop().create_future())
        self._waiting[transaction.id] = item
        self._queue.append(item)
        self._arrived.set()
        return item.done

    async def _send_batches(self) -> None:
        while True:
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch = self._take()
            for _ in range(RETRIES):
                try:
                    answers = await self._rpc.send([item.transaction.raw for item in batch])
                    break
                except PeerError as error:
                    # The engine is started again by the supervisor; what was sent before may be decided meanwhile.
                    trouble = error
                    await asyncio.sleep(RETRY_SECONDS)
            else:
                for item in batch:
                    self._fail(item, trouble)
                continue
            for item, answer in zip(batch, answers, strict=True):
                self._answered(item, answer)

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < SEND_BATCH:
            size += len(self._queue[0].transaction.raw)
            if batch and size > SEND_BATCH_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    def _offer_again(self) -> None:
        """Queue all that waits, oldest first: an engine that was started anew has none of it."""
        self._queue = deque(self._waiting.values())
        self._arrived.set()

    def _answered(self, item: _Waiting, answer: Admitted) -> None:
        """Fail what the engine did not take; what it took is settled by its block."""
        if answer.code == 0:
            return
        if answer.codespace == CODESPACE:
            error: RejectedError | NodeError = (
                BAD_SIGNATURE()
                if answer.code == BAD_SIGNATURE.code
                else RejectedError(answer.code, "refused", answer.log)
            )
        elif answer.codespace == NODE_CODESPACE and answer.code == BUSY:
            error = PeerError(answer.log, remedy="Send it again in a second, with fewer in flight.")
        else:
            error = PeerError(f"the engine did not take it: {answer.log}", remedy="Send it again in a second.")
        self._fail(item, error)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _committed(self, block: Committed) -> None:
        height = block.result.block.height
        for done in block.decided:
            transaction = done.transaction
            item = None if transaction is None else self._waiting.pop(transaction.id, None)
            if item is None or item.done.done():
                continue
            if done.refused is not None:
                item.done.set_exception(done.refused)
            else:
                item.done.set_result(Submitted(item.transaction.id, height, done.first_leaf, done.outcomes))
        self._give_up(block.result.block.time)
        self._on_block(block.result, block.sealed.header, block.sealed.signatures)

    def _give_up(self, time: int) -> None:
        """Fail what can be in no block any more."""
        late = [item for item in self._waiting.values() if item.transaction.payload.expires + GRACE_MS < time]
        for item in late:
            self._fail(
                item,
                PeerError(
                    "it was not decided before it expired: the zone is busy, or too few validators answer",
                    remedy="See `tally node status`; then sign it anew and send it again.",
                ),
            )

    def _fail(self, item: _Waiting, error: RejectedError | NodeError) -> None:
        self._waiting.pop(item.transaction.id, None)
        if not item.done.done():
            item.done.set_exception(error)
            with contextlib.suppress(Exception):
                item.done.exception()
