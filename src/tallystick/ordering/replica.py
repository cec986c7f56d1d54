"""A copy that follows: it executes every block itself and keeps it only if everything in it is as the header says.

What is checked, in this order, before anything is written: the header follows the last one (chain, height, previous
hash, time not going back and not ahead of this node's clock); the signatures of those who order; the root over the
transactions; every signature of these; the history that each author says to have seen; execution; and the app hash. A
block that fails is named and never kept, and what was signed about it is evidence. Signatures of transactions are
checked in another process while this one executes, which changes nothing; nothing of the outcome is looked at before
they are all found good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError
from tallystick.machine import Block, BlockResult, LedgerState, Rulebook, Transaction, decode_transaction, execute_block
from tallystick.ordering.meter import Meter, NoMeter
from tallystick.ordering.solo import BlockSink
from tallystick.ordering.verifier import SignatureVerifier
from tallystick.proofs.headers import (
    Header,
    check_signatures,
    decode_header,
    decode_signatures,
    header_hash,
    quorum,
    transactions_root,
)

MAX_AHEAD_MS = 10_000


class ReplicaError(IntegrityError):
    """A block is not what it should be.

    Attributes:
        reason: stable name: wrong_chain, not_next, wrong_previous, time_went_back, time_ahead, bad_header_signature,
            too_few_signatures, transactions_mismatch, refused_transaction, app_hash_mismatch, wrong_seen, malformed_header.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(
            message,
            remedy="This node no longer trusts its orderer. Compare with other members: `tally ledger compare`.",
        )
        self.reason = reason

    def __reduce__(self) -> tuple[type[ReplicaError], tuple[str, str]]:
        return ReplicaError, (self.reason, self.message)


class Replica:
    """Applies blocks that were made elsewhere."""

    def __init__(
        self,
        state: LedgerState,
        sink: BlockSink,
        rulebook: Rulebook,
        verifier: SignatureVerifier,
        *,
        validators: Callable[[], Mapping[str, bytes]],
        clock_ms: Callable[[], int],
        previous: bytes,
        on_block: Callable[[BlockResult, bytes, bytes], None] | None = None,
        meter: Meter | None = None,
        unknown_below: Callable[[], int] = lambda: 0,
    ) -> None:
        """Prepare a follower.

        Args:
            state: after the last block on disk.
            sink: keeps blocks.
            rulebook: the operations.
            verifier: checks signatures of transactions.
            validators: gives organisation -> `system` key of those who must have signed the next header.
            clock_ms: UTC time, milliseconds.
            previous: hash of the last header, or of the genesis.
            on_block: told of each block after it is on disk.
            meter: takes measurements.
            unknown_below: gives the size under which this copy need not know the history's roots: it began from a
                snapshot. What an author had seen there is compared once the older blocks have come.
        """
        self.state = state
        self._sink = sink
        self._rulebook = rulebook
        self._verifier = verifier
        self._validators = validators
        self._clock_ms = clock_ms
        self._previous = previous
        self._on_block = on_block
        self._unknown_below = unknown_below
        self._meter: Meter = meter or NoMeter()
        self._lock = asyncio.Lock()

    async def apply(
        self, header: bytes, signatures: bytes, transactions: Sequence[bytes], *, synced: bool = True
    ) -> BlockResult:
        """Check and keep the next block.

        Args:
            header: canonical bytes.
            signatures: of it, by those who order; canonical JSON.
            transactions: raw bytes, in order.
            synced: False where the next block follows at once: the wait for the disk is then left to that one, so that
                a copy which is behind catches up with an orderer that waits at every block.

        Returns:
            What it did, already on disk.

        Raises:
            ReplicaError: it is not the next block of this history; nothing was kept.
            StorageError: it could not be written; nothing was kept.
        """
        async with self._lock:
            expected = self._check_header(header, signatures, transactions)
            decoded = self._decode(expected.height, transactions)
            checking = asyncio.ensure_future(self._verifier.check(decoded))
            await asyncio.sleep(0)  # the check is on its way
            result = self._execute(expected, transactions, decoded)
            if not all(await checking):
                raise ReplicaError(
                    "refused_transaction", f"block {expected.height} holds a transaction with a bad signature"
                )
            self._check_seen(decoded, expected.height)
            self._judge(expected, result)
            self._sink.commit_block(result, header, signatures, synced=synced)
            result.commit_to(self.state)
            self._previous = header_hash(expected)
        if self._on_block is not None:
            self._on_block(result, header, signatures)
        return result

    def _check_header(self, header: bytes, signatures: bytes, transactions: Sequence[bytes]) -> Header:
        """Return the header if it is the next one's, signed, and names these transactions."""
        state = self.state
        try:
            decoded_header = decode_header(header)
        except MalformedError as error:
            raise ReplicaError("malformed_header", f"a header is malformed: {error.reason}") from None
        height = state.height + 1
        if decoded_header.chain != state.chain:
            raise ReplicaError("wrong_chain", f"a block of another zone ({decoded_header.chain}) was offered")
        if decoded_header.height != height:
            raise ReplicaError("not_next", f"block {decoded_header.height} was offered where {height} comes next")
        self._check_signatures(decoded_header, signatures)
        if decoded_header.previous != self._previous.hex():
            raise ReplicaError("wrong_previous", f"block {height} does not continue the history of this copy")
        if decoded_header.time < state.time:
            raise ReplicaError("time_went_back", f"block {height} is dated before the block before it")
        if decoded_header.time > self._clock_ms() + MAX_AHEAD_MS:
            raise ReplicaError("time_ahead", f"block {height} is dated more than 10 s ahead of this node's clock")
        if decoded_header.transactions_root != transactions_root(tuple(transactions)).hex():
            raise ReplicaError("transactions_mismatch", f"block {height} has other transactions than its header says")
        return decoded_header

    def _decode(self, height: int, transactions: Sequence[bytes]) -> list[Transaction]:
        try:
            return [decode_transaction(raw, self.state.genesis_hash) for raw in transactions]
        except MalformedError as error:
            raise ReplicaError(
                "refused_transaction", f"block {height} holds what is malformed: {error.reason}"
            ) from None

    def _check_signatures(self, header: Header, signatures: bytes) -> None:
        """Refuse a header that is not signed by more than two thirds of those who order, or by anybody else."""
        validators = self._validators()
        try:
            names = check_signatures(header, decode_signatures(signatures), validators)
        except MalformedError as error:
            raise ReplicaError("bad_header_signature", f"block {header.height}: {error.reason}") from None
        if len(names) < quorum(len(validators)):
            raise ReplicaError(
                "too_few_signatures",
                f"block {header.height} is signed by {len(names)} of the {len(validators)} that order",
            )

    def _check_seen(self, items: Sequence[Transaction], height: int) -> None:
        """Refuse a block with a transaction whose author saw another history than this copy's."""
        good: set[tuple[int, str]] = set()
        for item in items:
            seen = item.payload.seen
            if (seen.size, seen.root) in good:
                continue
            root = self._sink.history_root(seen.size)
            if root is None and seen.size < self._unknown_below():
                continue
            if root is None or root.hex() != seen.root:
                organisation = item.payload.organisation
                raise ReplicaError(
                    "wrong_seen",
                    f"{organisation} saw another history of size {seen.size} than this copy (block {height})",
                )
            good.add((seen.size, seen.root))

    def _execute(self, expected: Header, transactions: Sequence[bytes], decoded: Sequence[Transaction]) -> BlockResult:
        block = Block(expected.height, expected.time, tuple(transactions))
        began = perf_counter()
        result = execute_block(self.state, block, self._rulebook, decoded=decoded, verified=lambda _: True)
        self._meter.observe("apply_seconds", perf_counter() - began)
        return result

    def _judge(self, expected: Header, result: BlockResult) -> None:
        """Refuse a block whose execution is not what its header says."""
        for done in result.results:
            if done.refused is not None:
                raise ReplicaError(
                    "refused_transaction",
                    f"block {expected.height} holds a transaction that the rules refuse: {done.refused.name}",
                )
        if result.app_hash.hex() != expected.app_hash:
            raise ReplicaError(
                "app_hash_mismatch", f"executing block {expected.height} gives another app hash than its header says"
            )
