"""A copy that follows: it executes every block itself and keeps it only if everything in it is as the header says.

What is checked, in this order, before anything is written: the header follows the last one (chain, height, previous
hash, time not going back and not ahead of this node's clock); the orderer's signature; the root over the transactions;
every signature; execution; the app hash; and the history that each author says to have seen. A block that fails is
named and never kept, and what the orderer signed about it is evidence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError
from tallystick.machine import Block, BlockResult, LedgerState, Rulebook, Transaction, decode_transaction, execute_block
from tallystick.ordering.solo import BlockSink
from tallystick.ordering.verifier import SignatureVerifier
from tallystick.proofs.headers import decode_header, header_hash, transactions_root, verify_header

MAX_AHEAD_MS = 10_000


class ReplicaError(IntegrityError):
    """A block is not what it should be.

    Attributes:
        reason: stable name: wrong_chain, not_next, wrong_previous, time_went_back, time_ahead, bad_header_signature,
            transactions_mismatch, refused_transaction, app_hash_mismatch, wrong_seen, malformed_header.
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
        orderer_key: Callable[[int], bytes],
        clock_ms: Callable[[], int],
        previous: bytes,
        on_block: Callable[[BlockResult, bytes, bytes], None] | None = None,
    ) -> None:
        """Prepare a follower.

        Args:
            state: after the last block on disk.
            sink: keeps blocks.
            rulebook: the operations.
            verifier: checks signatures of transactions.
            orderer_key: gives the key that must have signed the header at a height.
            clock_ms: UTC time, milliseconds.
            previous: hash of the last header, or of the genesis.
            on_block: told of each block after it is on disk.
        """
        self.state = state
        self._sink = sink
        self._rulebook = rulebook
        self._verifier = verifier
        self._orderer_key = orderer_key
        self._clock_ms = clock_ms
        self._previous = previous
        self._on_block = on_block
        self._lock = asyncio.Lock()

    async def apply(self, header: bytes, signature: bytes, transactions: Sequence[bytes]) -> BlockResult:
        """Check and keep the next block.

        Args:
            header: canonical bytes.
            signature: the orderer's, 64 bytes.
            transactions: raw bytes, in order.

        Returns:
            What it did, already on disk.

        Raises:
            ReplicaError: it is not the next block of this history; nothing was kept.
            StorageError: it could not be written; nothing was kept.
        """
        async with self._lock:
            decoded = await self._check(header, signature, transactions)
            result = self._execute(header, transactions, decoded)
            self._sink.commit_block(result, header, signature)
            result.commit_to(self.state)
            self._previous = header_hash(decode_header(header))
        if self._on_block is not None:
            self._on_block(result, header, signature)
        return result

    async def _check(self, header: bytes, signature: bytes, transactions: Sequence[bytes]) -> list[Transaction]:
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
        if not verify_header(decoded_header, signature.hex(), self._orderer_key(height)):
            raise ReplicaError("bad_header_signature", f"block {height} is not signed by the zone's orderer")
        if decoded_header.previous != self._previous.hex():
            raise ReplicaError("wrong_previous", f"block {height} does not continue the history of this copy")
        if decoded_header.time < state.time:
            raise ReplicaError("time_went_back", f"block {height} is dated before the block before it")
        if decoded_header.time > self._clock_ms() + MAX_AHEAD_MS:
            raise ReplicaError("time_ahead", f"block {height} is dated more than 10 s ahead of this node's clock")
        if decoded_header.transactions_root != transactions_root(tuple(transactions)).hex():
            raise ReplicaError("transactions_mismatch", f"block {height} has other transactions than its header says")
        try:
            items = [decode_transaction(raw, state.genesis_hash) for raw in transactions]
        except MalformedError as error:
            raise ReplicaError(
                "refused_transaction", f"block {height} holds what is malformed: {error.reason}"
            ) from None
        if not all(await self._verifier.check(items)):
            raise ReplicaError("refused_transaction", f"block {height} holds a transaction with a bad signature")
        for item in items:
            self._check_seen(item, height)
        return items

    def _check_seen(self, item: Transaction, height: int) -> None:
        """Refuse a block with a transaction whose author saw another history than this copy's."""
        seen = item.payload.seen
        root = self._sink.history_root(seen.size)
        if root is None or root.hex() != seen.root:
            raise ReplicaError(
                "wrong_seen",
                f"{item.payload.organisation} saw another history of size {seen.size} than this copy (block {height})",
            )

    def _execute(self, header: bytes, transactions: Sequence[bytes], decoded: Sequence[Transaction]) -> BlockResult:
        expected = decode_header(header)
        block = Block(expected.height, expected.time, tuple(transactions))
        result = execute_block(self.state, block, self._rulebook, decoded=decoded, verified=lambda _: True)
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
        return result
