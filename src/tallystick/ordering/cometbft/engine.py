"""Ordering together: this node's side of the distributed engine, as the core knows it.

A transaction goes this way, and a crash leaves this:

1. judged here, against the last block on disk, and its signature checked; then it waits in its organisation's queue
   (`ordering.intake`). A crash loses what nobody was told is safe.
2. taken into the application's pool, from which proposals are made, and handed to the engine in a bundle with whatever
   was queued with it (`bundles`); the engine's mempool spreads the bundle to the other validators. A crash here may
   leave it there: who asks again with the same bytes is told what became of it, for it is accepted once. An engine that
   crashes forgets its mempool: whatever waits is handed to the one that is started in its place.
3. decided in a block, by more than two thirds of the validators; executed; the header signed with this organisation's
   `system` key; committed in one SQL transaction (`app`). From here the block exists.
4. acknowledged. The signatures of the other validators under the header come by and by; `ledger.seals` collects them.

Where the pool has an organisation's share already, its queue waits for the next block: what was taken here is not
refused for being one too many. Others' queues go on.

The header is the zone's own, as under the embedded engine, and names the transactions that reached the history alone:
every validator computes the same one, and who follows needs nothing of the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from tallystick.codec import MalformedError
from tallystick.errors import NodeError, PeerError, RejectedError
from tallystick.keys import Signer
from tallystick.machine import BlockResult, LedgerState, Rulebook, decode_transaction
from tallystick.machine.rejections import MALFORMED
from tallystick.ordering.cometbft.app import LedgerApplication
from tallystick.ordering.cometbft.beginnings import Beginnings
from tallystick.ordering.cometbft.blocks import Committed
from tallystick.ordering.cometbft.bundles import BUNDLE_BYTES, BUNDLE_TRANSACTIONS
from tallystick.ordering.cometbft.oversight import Oversight
from tallystick.ordering.cometbft.replay import EngineHeight, History
from tallystick.ordering.cometbft.rpc import EngineRpc
from tallystick.ordering.cometbft.sealing import HeaderSealer
from tallystick.ordering.cometbft.server import AbciServer
from tallystick.ordering.cometbft.validators import ValidatorSource
from tallystick.ordering.fairness import Share
from tallystick.ordering.intake import SHARE, Intake, Submitted, Waiting
from tallystick.ordering.solo import BlockSink
from tallystick.ordering.verifier import SignatureVerifier

log = structlog.get_logger("engine")
# How many bundles are on their way to the engine at a time.
IN_FLIGHT = 4
# Between two bundles: what comes meanwhile travels together, and what comes after a pause goes at once. Behind one that
# others' engines do not feel by the piece any more, the next may come soon.
GATHER_SECONDS = 0.1
SOON_SECONDS = 0.005
LARGE_BUNDLE = 50
RETRY_SECONDS = 0.2
RETRIES = 100
# How long after its expiry a transaction may still turn up in a block that was decided before.
GRACE_MS = 10_000
# An organisation whose share of the pool is used up tries again after the next block, or so long.
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Place:
    """What the ledger says of the engines.

    Attributes:
        has_seat: tells whether this organisation, with this key, is one of those who sign the next header.
        validators: who votes on blocks.
        knows_engine: tells by its node id whether another engine may connect.
        history: the ledger's blocks.
        engine: how far this node's engine has come, where it may be behind the ledger.
        beginnings: heights at which engines may begin.
    """

    has_seat: Callable[[], bool] = lambda: True
    validators: ValidatorSource | None = None
    knows_engine: Callable[[str], bool] | None = None
    history: History | None = None
    engine: EngineHeight | None = None
    beginnings: Beginnings | None = None


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
        place: Place | None = None,
        oversight: Oversight | None = None,
        share: Share = SHARE,
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
            place: what the ledger says of the engines; by default those of their genesis order for ever.
            oversight: measures, is told of misbehaviour, and says which blocks the engine may forget.
            share: what one organisation may have waiting here.
        """
        self._verifier = verifier
        self._rpc = rpc
        self._organisation = organisation
        self._on_block = on_block
        self._place = place or Place()
        sealer = HeaderSealer(state.chain, organisation, signer, previous=previous, has_seat=self._place.has_seat)
        self._application = self._make_application(
            state, sink, rulebook, clock_ms, sealer, initial_height=initial_height, oversight=oversight
        )
        self._server = AbciServer(socket, self._application)
        self._genesis_hash = state.genesis_hash
        self._intake = Intake(self._application.check_signatures, share=share)
        self._on_their_way = asyncio.Semaphore(IN_FLIGHT)
        # Organisations that have their share of the pool, and when each tries again.
        self._paused: dict[str, asyncio.TimerHandle] = {}
        self._hold: NodeError | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _make_application(
        self,
        state: LedgerState,
        sink: BlockSink,
        rulebook: Rulebook,
        clock_ms: Callable[[], int],
        sealer: HeaderSealer,
        *,
        initial_height: int,
        oversight: Oversight | None,
    ) -> LedgerApplication:
        """Return what answers the engine: by what the ledger says of engines, and with this told of blocks."""
        place = self._place
        return LedgerApplication(
            state,
            sink,
            rulebook,
            self._verifier,
            clock_ms=clock_ms,
            seal=sealer.seal,
            on_block=self._committed,
            on_engine=self._offer_again,
            initial_height=initial_height,
            validators=place.validators,
            knows_engine=place.knows_engine,
            history=place.history,
            engine=place.engine,
            beginnings=place.beginnings,
            oversight=oversight,
        )

    @property
    def state(self) -> LedgerState:
        """After the last block on disk."""
        return self._application.state

    @property
    def reached(self) -> int:
        """Height of the last block that the engine has brought: lower than the ledger's while it catches up with that."""
        return self._application.reached

    @property
    def waiting(self) -> int:
        """Transactions that somebody waits for here."""
        return self._intake.waiting

    def queues(self) -> dict[str, int]:
        """Return how many transactions of each organisation wait here."""
        return self._intake.queues()

    async def start(self) -> None:
        """Answer the engine, and take transactions."""
        self._rpc.open()
        await self._server.start()
        self._tasks = [*self._intake.start(), asyncio.create_task(self._send_bundles())]

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
        for timer in self._paused.values():
            timer.cancel()
        self._intake.fail_all(
            PeerError("the node is stopping", remedy="Send the same transaction again when it is back.")
        )
        await self._verifier.close()

    def hold(self, reason: NodeError | None) -> None:
        """Refuse all submissions for a reason, or go on (None)."""
        self._hold = reason

    def offer_beginning(self, asker: str, height: int) -> None:
        """Let another member's engine begin at a height; see `Beginnings.want`.

        Raises:
            IntegrityError: this ledger does not have the block.
        """
        if self._place.beginnings is not None:
            self._place.beginnings.want(asker, height)

    # --- submitting --------------------------------------------------------------------------------------------------

    def submit(self, raw: bytes, source: str = "") -> asyncio.Future[Submitted]:
        """Take a transaction; the future is done when a block with it is on disk here.

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
            transaction = decode_transaction(raw, self._genesis_hash)
        except MalformedError as error:
            raise MALFORMED(reason=error.reason) from None
        known = self._intake.find(transaction.id)
        if known is not None:
            return known.done
        self._application.judge(transaction)
        # Judged, so that the key is known to be the organisation's.
        return self._intake.put(
            transaction, organisation=transaction.payload.organisation, source=source or self._organisation
        )

    async def _send_bundles(self) -> None:
        async with asyncio.TaskGroup() as sending:
            while True:
                await self._on_their_way.acquire()
                items = self._take()
                while not items:
                    self._intake.ready.clear()
                    await self._intake.ready.wait()
                    items = self._take()
                sending.create_task(self._send(items))
                await asyncio.sleep(SOON_SECONDS if len(items) >= LARGE_BUNDLE else GATHER_SECONDS)

    async def _send(self, items: list[Waiting]) -> None:
        """Hand what waits to the engine as one bundle; what it took is settled by its block."""
        transactions = [item.transaction for item in items]
        bundle = self._application.carry(transactions)
        error: NodeError | None = None
        for _ in range(RETRIES):
            try:
                # What the application would say of it is known: it is this one.
                answer = (await self._rpc.send([bundle], wait=False))[0]
                error = None
                if answer.code:
                    error = PeerError(f"the engine did not take it: {answer.log}", remedy="Send it again in a second.")
                break
            except PeerError as trouble:
                # The engine is started again by the supervisor; what was sent before may be decided meanwhile.
                error = trouble
                await asyncio.sleep(RETRY_SECONDS)
        self._on_their_way.release()
        if error is not None:
            self._application.drop(transactions)
            for item in items:
                self._intake.fail(item, error)

    def _take(self) -> list[Waiting]:
        """Let what waits into the pool, organisations in turns, up to the size of a bundle; return what has to travel.

        Those stay behind who have their share of the pool, and what another validator's bundle has brought already stays
        here.
        """
        left, left_bytes = BUNDLE_TRANSACTIONS, BUNDLE_BYTES
        here: set[bytes] = set()

        def fits(item: Waiting) -> bool:
            nonlocal left, left_bytes
            transaction = item.transaction
            size = len(transaction.raw)
            # One always fits.
            if item.organisation in self._paused or not left or (left < BUNDLE_TRANSACTIONS and size > left_bytes):
                return False
            try:
                if self._application.waits(transaction):
                    here.add(transaction.id)
                    return True
                if not self._application.admit(transaction):
                    self._pause(item.organisation)
                    return False
            except RejectedError as error:
                self._intake.fail(item, error)
                return True
            left, left_bytes = left - 1, left_bytes - size
            return True

        return [item for item in self._intake.take(fits) if item.transaction.id not in here]

    def _offer_again(self) -> None:
        """Queue all that waits, oldest first: an engine that was started anew has none of it."""
        for organisation in tuple(self._paused):
            self._go_on(organisation)
        self._intake.offer_again()

    def _pause(self, organisation: str) -> None:
        if organisation not in self._paused:
            loop = asyncio.get_running_loop()
            self._paused[organisation] = loop.call_later(PAUSE_SECONDS, self._go_on, organisation)

    def _go_on(self, organisation: str) -> None:
        timer = self._paused.pop(organisation, None)
        if timer is not None:
            timer.cancel()
            self._intake.ready.set()

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _committed(self, block: Committed) -> None:
        height = block.result.block.height
        for done in block.decided:
            transaction = done.transaction
            item = None if transaction is None else self._intake.find(transaction.id)
            if item is None:
                continue
            if done.refused is not None:
                self._intake.fail(item, done.refused)
            else:
                self._intake.settle(item, Submitted(item.transaction.id, height, done.first_leaf, done.outcomes))
        for organisation in tuple(self._paused):
            self._go_on(organisation)
        self._give_up(block.result.block.time)
        self._on_block(block.result, block.sealed.header, block.sealed.signatures)

    def _give_up(self, time: int) -> None:
        """Fail what can be in no block any more."""
        late = [item for item in self._intake.items() if item.transaction.payload.expires + GRACE_MS < time]
        for item in late:
            self._intake.fail(
                item,
                PeerError(
                    "it was not decided before it expired: the zone is busy, or too few validators answer",
                    remedy="See `tally node status`; then sign it anew and send it again.",
                ),
            )
