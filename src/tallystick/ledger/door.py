"""The one door to the ledger: submit, read, prove, export receipts, hear events.

It signs with the keys that it is given and reads this node's own copy. Whatever it hands out can be checked by whoever
receives it without trusting this node: receipts and proofs carry all that is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from tallystick.codec import MalformedError, decode_json
from tallystick.errors import NodeError, PeerError, RejectedError, UsageError
from tallystick.keys import Signer
from tallystick.ledger.ports import BlockRow, Ordering, Store, SubmittedRow
from tallystick.machine import Message, State, build_transaction, decode_transaction
from tallystick.merkle import EMPTY_ROOT, TileReader, TileSource, inclusion_path
from tallystick.merkle.log import Node
from tallystick.proofs.checkpoints import Cosignature, checkpoint_body, verify_cosignature
from tallystick.proofs.headers import HeaderSignature, decode_header, decode_signatures, quorum, verify_signature
from tallystick.proofs.receipts import build_receipt
from tallystick.proofs.trust import TrustFile, Version

EXPIRES_AFTER_MS = 120_000
_LOOK_SECONDS = 1.0
_WAIT_FOR_COPY_SECONDS = 60.0


class LedgerEvent(NamedTuple):
    """An event with its place in the history.

    Attributes:
        sequence: number of the event, from 1; ask for what comes after it.
        leaf: history index of the operation that caused it.
        body: the event, its `type` in the past tense.
    """

    sequence: int
    leaf: int
    body: dict[str, Any]


class NotYetWitnessedError(NodeError):
    """An operation is recorded, but too few members have witnessed the history that holds it."""


class Ledger:
    """A node's door to the ledger."""

    def __init__(
        self,
        store: Store,
        ordering: Ordering,
        *,
        organisation: str,
        signer: Callable[[str], Signer],
        tiles: TileSource,
        trust: Callable[[], TrustFile],
        clock_ms: Callable[[], int],
        nonce: Callable[[], str] = lambda: secrets.token_hex(16),
        nodes: Callable[[int], Node] | None = None,
    ) -> None:
        """Open the door.

        Args:
            store: this node's copy, for reading.
            ordering: where transactions go.
            organisation: whose node this is.
            signer: gives the organisation's key of a role.
            tiles: reads files of `log/`.
            trust: gives the trust file as it is now.
            clock_ms: UTC time, ms.
            nonce: gives 32 fresh hex characters.
            nodes: gives, for a size of the history, what gives the hashes of its tree; by default `tiles` alone do, of
                which a partial one may have been replaced by a fuller one a moment ago.
        """
        self.store = store
        self.organisation = organisation
        self._ordering = ordering
        self._signer = signer
        self._trust = trust
        self._clock_ms = clock_ms
        self._nonce = nonce
        self._nodes = nodes or (lambda size: TileReader(tiles, size).node)
        self._height = 0
        self._changed = asyncio.Condition()

    # --- reading -----------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return the records as of the last block, for the queries of the modules."""
        return State(self.store)

    @property
    def trust(self) -> TrustFile:
        """The zone's trust file as this node knows it."""
        return self._trust()

    def head(self) -> tuple[int, int, bytes, int]:
        """Return (height, history size, history root, block time in ms) of the last block."""
        last = self.store.last_block()
        return (0, 0, EMPTY_ROOT, 0) if last is None else (last.height, last.size, last.history_root, last.time)

    def events(self, after: int = 0, limit: int = 1_000) -> list[LedgerEvent]:
        """Return events behind a sequence number, oldest first."""
        rows = self.store.events_after(after, limit)
        return [LedgerEvent(sequence, leaf, decode_json(body.encode())) for sequence, leaf, body in rows]

    def events_from(self, height: int, limit: int = 1_000) -> list[LedgerEvent]:
        """Return events of a block and those after it, oldest first."""
        return self.events(self.store.last_event_before(height), limit)

    # --- following ---------------------------------------------------------------------------------------------------

    async def block_arrived(self, height: int) -> None:
        """Tell that a block is on disk in this copy; called by the node."""
        async with self._changed:
            self._height = max(self._height, height)
            self._changed.notify_all()

    async def wait_for_height(self, height: int, timeout_s: float = _WAIT_FOR_COPY_SECONDS) -> None:
        """Wait until this copy has a block.

        Raises:
            PeerError: it does not arrive in time.
        """

        async def arrived() -> None:
            async with self._changed:
                await self._changed.wait_for(lambda: self._height >= height)

        deadline = time.monotonic() + timeout_s
        while self._height < height and self.head()[0] < height:
            left = deadline - time.monotonic()
            if left <= 0:
                raise PeerError(
                    f"block {height} was recorded but has not reached this node's copy",
                    remedy="See `tally node status`; the copy catches up once it reaches a node to follow.",
                )
            # The news of a block is lost where the core that made it is killed at once.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(arrived(), min(left, _LOOK_SECONDS))

    # --- submitting --------------------------------------------------------------------------------------------------

    def sign(self, messages: Sequence[Message | bytes], *, role: str = "service", atomic: bool = True) -> bytes:
        """Return a transaction of this organisation, signed by its key of a role.

        Raises:
            AccessError: this node has no such key.
        """
        signer = self._signer(role)
        _, size, root, time = self.head()
        return build_transaction(
            messages,
            organisation=self.organisation,
            key=signer.public_key,
            sign=signer.sign,
            external_aad=self.store.genesis_hash,
            expires=max(self._clock_ms(), time) + EXPIRES_AFTER_MS,
            nonce=self._nonce(),
            seen_size=size,
            seen_root=root,
            atomic=atomic,
        )

    async def submit_signed(self, transactions: Sequence[bytes]) -> Sequence[SubmittedRow | RejectedError | NodeError]:
        """Submit transactions that are signed already; return what became of each, in order, when on disk or refused."""
        return await self._ordering.submit(transactions)

    async def submit(
        self, messages: Sequence[Message | bytes], *, role: str = "service", atomic: bool = True
    ) -> SubmittedRow:
        """Sign operations, submit them, and wait until they are in this node's own copy.

        Returns:
            what became of them; with `atomic=False` each has its own outcome.

        Raises:
            RejectedError: the transaction, or (atomic) one of its operations, was rejected.
            NodeError: it could not be submitted; it may be recorded all the same where the answer was lost.
        """
        (done,) = await self.submit_signed([self.sign(messages, role=role, atomic=atomic)])
        if isinstance(done, (RejectedError, NodeError)):
            raise done
        await self.wait_for_height(done.height)
        if atomic:
            for outcome in done.outcomes:
                # 12 is "aborted": the operation that caused it says why.
                if outcome.error is not None and outcome.code != 12:
                    raise outcome.error
        return done

    def leaves_of(self, kind: str) -> list[int]:
        """Return the places of the history where operations of a type were accepted, newest first."""
        statement = "SELECT leaf FROM operations WHERE type = ? AND outcome = 0 ORDER BY leaf DESC"
        return [leaf for (leaf,) in self.store.query(statement, (kind,))]

    def asked_at(self, leaf: int) -> Any:
        """Return what was asked for at a place of the history, as plain JSON; None where that is not JSON."""
        found = self.store.find_operation(leaf)
        if found is None:
            return None
        try:
            return decode_json(
                decode_transaction(found.transaction, self.store.genesis_hash).operations[found.position]
            )
        except MalformedError:
            return None

    # --- receipts ----------------------------------------------------------------------------------------------------

    def leaf_of(self, transaction_id: str, index: int = 0) -> int:
        """Return the history index of an operation.

        Args:
            transaction_id: hex.
            index: of the operation in the transaction.

        Raises:
            UsageError: it is not on this copy's history.
        """
        try:
            found = self.store.find_transaction(bytes.fromhex(transaction_id))
        except ValueError:
            found = None
        if found is None or found[1] is None:
            older = self.store.unknown_below()
            raise UsageError(
                f"there is no transaction {transaction_id} on the history of this copy",
                remedy=f"Ask another member's node: what is older than entry {older} has not come to this one yet."
                if older
                else "List what is recorded with `tally ledger log`.",
            )
        if self.store.find_operation(found[1] + index) is None:
            raise UsageError(f"transaction {transaction_id} has no operation {index}", remedy="Count from 0.")
        return found[1] + index

    def receipt(self, leaf: int, *, since: int | None = None) -> bytes:
        """Return the receipt of an operation.

        Args:
            leaf: its history index.
            since: number of the trust version that the reader has; by default the one that held when it was recorded.

        Raises:
            UsageError: there is no such operation.
            NotYetWitnessedError: too few members have witnessed it yet.
        """
        operation = self.store.find_operation(leaf)
        if operation is None:
            self.store.check_held(leaf)
            raise UsageError(f"the history has no entry {leaf}", remedy="List it with `tally ledger log`.")
        trust = self.trust
        block, signatures, cosignatures = self._witnessed(leaf, trust)
        size = block.size
        known = trust.version_at(leaf + 1).number if since is None else since
        return build_receipt(
            transaction=operation.transaction,
            index=operation.position,
            outcome=operation.outcome,
            height=operation.height,
            time=operation.time,
            leaf_index=leaf,
            size=size,
            path=inclusion_path(leaf, size, self._nodes(size)),
            state_root=block.state_root,
            header=decode_header(block.header),
            header_signatures=signatures,
            cosignatures=cosignatures,
            links=trust.links_since(known, size),
        )

    def _witnessed(
        self, leaf: int, trust: TrustFile
    ) -> tuple[BlockRow, tuple[HeaderSignature, ...], tuple[Cosignature, ...]]:
        """Return the block of the first checkpoint behind a leaf that enough members have signed, and what they signed."""
        best = 0
        needed = 0
        for size, _, _, _ in self.store.checkpoints_from(max(leaf + 1, trust.shortest)):
            version = trust.version_at(size)
            block = self.store.block_of_size(size)
            assert block is not None  # noqa: S101 - a checkpoint is of a block's size
            signatures, found = self.backing(block, version)
            if len(found) >= version.needed and len(signatures) >= quorum(len(version.validators)):
                return block, signatures, found
            if len(found) >= best:
                best, needed = len(found), version.needed
        raise NotYetWitnessedError(
            f"the history that holds entry {leaf} is witnessed by {best} members, {needed or 'some'} are needed",
            remedy="Wait a moment and ask again; `tally zone status` shows which nodes witness.",
        )

    def backing(self, block: BlockRow, version: Version) -> tuple[tuple[HeaderSignature, ...], tuple[Cosignature, ...]]:
        """Return the signatures of a block's header and the cosignatures of its history that hold under a trust version.

        While a member's new key is not in any version that counts, what it signs with that key is left out: a proof that
        carried it would be refused whole.

        Args:
            block: of this copy.
            version: that the proof will be judged by.
        """
        header = decode_header(block.header)
        signatures = tuple(
            each
            for each in decode_signatures(block.signatures)
            if each.organisation in version.validators
            and verify_signature(header, each.signature, version.validators[each.organisation])
        )
        body = checkpoint_body(self.store.chain, block.size, block.history_root)
        witnesses = (
            Cosignature(organisation=name, signature=signature.hex(), time=time_s)
            for name, time_s, signature in self.store.cosignatures(block.size)
            if name in version.members and name not in version.validators
        )
        return signatures, tuple(
            each for each in witnesses if verify_cosignature(body, each, version.members[each.organisation])
        )
