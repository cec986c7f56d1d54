"""Relaying: a replica sends its transactions to the orderer's node, and believes the answer once its own copy has it.

An answer that was lost is no harm: the same bytes are sent again, and are accepted once. Where the orderer then says
`repeated`, what became of the first attempt is read from this node's own copy, as soon as the block is there.

What arrives while a request is under way travels together in the next one. Where the orderer's node has this
organisation's share waiting, its answer is passed on with the time after which to come again: waiting is for who asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from tallystick.codec import MalformedError
from tallystick.dataplane.refusals import PeerBusyError
from tallystick.errors import IntegrityError, NodeError, PeerError, RejectedError
from tallystick.machine import Outcome, Transaction, decode_transaction
from tallystick.machine.rejections import MALFORMED, REPEATED
from tallystick.node.peers.bells import Backoff, Bell
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.failures import PeerUnreachableError, odd_answer
from tallystick.node.peers.messages import MAX_TRANSACTIONS, MAX_TRANSACTIONS_BYTES
from tallystick.ordering import Submitted
from tallystick.ordering.fairness import FairQueue, Share, Shares, cost
from tallystick.ordering.intake import Pace, queue_full
from tallystick.ordering.link import rebuild_error, rebuild_submitted
from tallystick.store import LedgerStore

log = structlog.get_logger("relay")
IN_FLIGHT = 4
ATTEMPTS = 5
COPY_SECONDS = 60.0
# What one organisation may have waiting on this side, and all together.
SHARE = Share(transactions=10_000, bytes=64 << 20)
WHOLE = Share(transactions=20_000, bytes=128 << 20)
_BATCH_BYTES = MAX_TRANSACTIONS_BYTES - (1 << 20)
Result = Submitted | RejectedError | NodeError


@dataclass(slots=True)
class _Waiting:
    transaction: Transaction
    done: asyncio.Future[Result]
    # An earlier attempt may have been recorded although its answer did not come.
    unsure: bool = False


class Relay:
    """Sends transactions to the orderer's node; an `Ordering` for the ledger's door."""

    def __init__(
        self,
        clients: PeerClients,
        directory: Directory,
        store: LedgerStore,
        block_bell: Bell,
        *,
        attempts: int = ATTEMPTS,
        share: Share = SHARE,
    ) -> None:
        """Prepare.

        Args:
            clients: of other nodes.
            directory: who orders.
            store: this copy, for reading.
            block_bell: rung at each block of this copy.
            attempts: how often the same bytes are sent while no answer comes.
            share: what one organisation may have waiting here.
        """
        self._clients = clients
        self._directory = directory
        self._store = store
        self._bell = block_bell
        self._attempts = attempts
        self._queue: FairQueue[_Waiting] = FairQueue()
        self._shares = Shares(share, WHOLE)
        self._pace = Pace()
        self._arrived = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start sending."""
        self._tasks = [asyncio.create_task(self._send_batches()) for _ in range(IN_FLIGHT)]

    async def stop(self) -> None:
        """Stop; what waits is refused."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for item in self._queue.clear():
            _settle(item, PeerError("this node is stopping", remedy="Send the same transaction again when it is back."))

    async def submit(self, transactions: Sequence[bytes]) -> Sequence[Result]:
        """Submit; return what became of each, in order, when this node's own copy has it or it is refused."""
        results: list[Result | asyncio.Future[Result]] = []
        for raw in transactions:
            try:
                decoded = decode_transaction(raw, self._store.genesis_hash)
            except MalformedError as error:
                results.append(MALFORMED(reason=error.reason))
                continue
            organisation, size = decoded.payload.organisation, len(raw)
            if not self._shares.has_room(organisation, size):
                seconds = self._pace.retry_after(organisation, self._shares.count(organisation))
                results.append(queue_full(organisation, seconds))
                continue
            item = _Waiting(decoded, asyncio.get_running_loop().create_future())
            self._shares.add(organisation, size)
            item.done.add_done_callback(partial(self._left, organisation, size))
            self._queue.put(organisation, item, cost(decoded))
            results.append(item.done)
        self._arrived.set()
        return [await each if isinstance(each, asyncio.Future) else each for each in results]

    def _left(self, organisation: str, size: int, _: asyncio.Future[Result]) -> None:
        self._shares.remove(organisation, size)
        self._pace.done(organisation)

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _send_batches(self) -> None:
        while True:
            if not self._queue:
                self._arrived.clear()
                await self._arrived.wait()
                continue
            batch = self._take()
            try:
                await self._send(batch)
            except asyncio.CancelledError:
                for item in batch:
                    _settle(item, _unknown())
                raise
            except NodeError as error:
                for item in batch:
                    _settle(item, error)
            except Exception as error:  # whoever waits must be told, and the next batch must go out
                log.error("relaying_failed", kind=type(error).__name__, transactions=len(batch), exc_info=error)
                for item in batch:
                    _settle(item, _unknown("this node made a mistake while it relayed it; its log tells which"))

    def _take(self) -> list[_Waiting]:
        left = _BATCH_BYTES

        def fits(item: _Waiting) -> bool:
            nonlocal left
            size = len(item.transaction.raw) + 8
            # One always fits.
            if left < _BATCH_BYTES and size > left:
                return False
            left -= size
            return True

        return self._queue.take(fits, MAX_TRANSACTIONS)

    async def _send(self, batch: list[_Waiting]) -> None:
        """Send a batch until it is answered, then settle each of it.

        Raises:
            NodeError: there is nobody to send to, or no answer after several attempts; then what is in this node's
                copy already is settled by it.
        """
        backoff = Backoff(first_s=0.2, limit_s=5.0)
        trouble: NodeError = _unknown()
        for attempt in range(self._attempts):
            if attempt:
                await backoff.sleep()
            orderer, client = await self._clients.of_first(self._turned(attempt))
            if client is None:
                raise PeerError(
                    f"no node that orders has registered an address: {', '.join(self._directory.orderers)}",
                    remedy="Ask one of them to register the address of its node.",
                )
            try:
                answers = await client.submit([item.transaction.raw for item in batch])
            except PeerUnreachableError as error:
                trouble = error
                for item in batch:
                    item.unsure = item.unsure or error.sent
                continue
            except PeerBusyError as error:
                trouble = error
                continue
            await asyncio.gather(
                *(self._settle(item, answer, orderer) for item, answer in zip(batch, answers, strict=True))
            )
            return
        for item in batch:
            found = self._recorded(item.transaction)
            _settle(item, found or (_unknown(trouble.message) if item.unsure else trouble))

    def _turned(self, attempt: int) -> tuple[str, ...]:
        """Return those who order, beginning with another one at each attempt."""
        orderers = self._directory.orderers
        at = attempt % len(orderers)
        return orderers[at:] + orderers[:at]

    async def _settle(self, item: _Waiting, answer: dict[str, Any], orderer: str) -> None:
        try:
            result: Result = rebuild_submitted(answer) if "id" in answer else rebuild_error(answer)
        except (KeyError, TypeError, AttributeError, ValueError):
            _settle(item, odd_answer(orderer, "no result of a transaction"))
            return
        if isinstance(result, Submitted) and result.id != item.transaction.id:
            result = odd_answer(orderer, "the result of another transaction")
        elif isinstance(result, Submitted):
            result = await self._confirmed(item.transaction, result)
        elif isinstance(result, RejectedError) and result.code == REPEATED.code and item.unsure:
            result = await self._confirmed(item.transaction, None)
        _settle(item, result)

    # --- this node's own copy ----------------------------------------------------------------------------------------

    async def _confirmed(self, transaction: Transaction, claimed: Submitted | None) -> Result:
        """Return what this node's own copy says became of a transaction, once it has it.

        Args:
            transaction: that was sent.
            claimed: what the orderer says, whose explanations are kept if its numbers are right.
        """
        arrived = await self._bell.wait_until(lambda: self._recorded(transaction) is not None, COPY_SECONDS)
        found = self._recorded(transaction)
        if not arrived or found is None:
            where = f" in block {claimed.height}" if claimed is not None else ""
            return PeerError(
                f"transaction {transaction.id.hex()} was recorded{where} but has not reached this node's copy",
                remedy="See `tally node status`; the copy catches up once it reaches a node to follow.",
            )
        if claimed is None:
            return found
        if [each.code for each in claimed.outcomes] != [each.code for each in found.outcomes]:
            return IntegrityError(
                f"the orderer told another outcome of transaction {transaction.id.hex()} than its block has",
                remedy="This node's copy is right: see `tally ledger show`. Tell the members.",
            )
        return Submitted(found.id, found.height, found.first_leaf, claimed.outcomes)

    def _recorded(self, transaction: Transaction) -> Submitted | None:
        """Return what this copy has of a transaction, or None."""
        height, first_leaf, _ = self._store.find_transaction(transaction.id) or (0, None, b"")
        if first_leaf is None:
            return None
        codes = self._store.query(
            "SELECT outcome FROM operations WHERE leaf >= ? AND leaf < ? ORDER BY leaf",
            (first_leaf, first_leaf + len(transaction.operations)),
        )
        return Submitted(transaction.id, height, first_leaf, tuple(self._outcome(code) for (code,) in codes))

    def _outcome(self, code: int) -> Outcome:
        """Return an outcome by its number; the values that explained it are not kept on the ledger."""
        if code == 0:
            return Outcome(0)
        known = self._store.rulebook.rejections.get(code)
        name = known.name if known is not None else f"rejection_{code}"
        return Outcome(code, RejectedError(code, name, name.replace("_", " ")))


def _settle(item: _Waiting, result: Result) -> None:
    if not item.done.done():
        item.done.set_result(result)


def _unknown(why: str = "the orderer's answer did not arrive") -> PeerError:
    return PeerError(
        f"{why}; the transaction may be recorded all the same",
        remedy="Send the same bytes again: they are accepted once; or look in `tally ledger log`.",
    )
