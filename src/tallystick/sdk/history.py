"""What this client has seen of a zone's history, and that everything newer goes on from it.

Rules:

- Kept is the newest head: a header that the orderer signed, opened to the roots and the size behind it. So whatever
  contradicts it later is not this client's word against the node's: the two make a fork proof.
- A newer head must come with a proof that its history begins with the one seen (RFC 9162, section 2.1.4); an older one,
  as receipts carry it, must be a beginning of the one seen. Only where the newest was asked for is an older one refused.
- Blocks have one order: a later height has no smaller size and no earlier time.
- With a file, what was seen outlives the program. It is written whole or not at all, and never shrinks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json, sha256
from tallystick.dataplane.sidecars import write_secret
from tallystick.errors import IntegrityError, StorageError, UsageError
from tallystick.merkle import leaf_hash, root_from_path, verify_consistency
from tallystick.proofs import (
    Header,
    HeaderSignature,
    TrustFile,
    VerifiedReceipt,
    app_hash,
    build_headers_fork,
    verify_signature,
)
from tallystick.proofs.forks import build_histories_fork
from tallystick.proofs.headers import HeaderSignatures
from tallystick.proofs.hexadecimal import HASH_BYTES, unhex, unhex_path
from tallystick.proofs.receipts import Receipt
from tallystick.proofs.records import RecordProof
from tallystick.proofs.statements import HeaderStatement
from tallystick.proofs.transactions import history_leaf
from tallystick.sdk.trouble import HistoryError
from tallystick.views import ConsistencyProof

MAX_MEMORY_BYTES = 64 << 10
Prove = Callable[[int, int], ConsistencyProof]
"""`prove(first, second)`: asks the node for the proof that one history begins with the other."""


class _Memory(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file."""

    chain: str
    seen: HeaderStatement
    v: int


_decoder: StrictDecoder[_Memory] = StrictDecoder(_Memory, max_bytes=MAX_MEMORY_BYTES)


class History:
    """The newest head that was seen; safe to use from several threads."""

    def __init__(self, chain: str, memory: Path | None = None) -> None:
        """Begin to remember.

        Args:
            chain: zone.
            memory: file that outlives this program.
        """
        self.chain = chain
        self._path = memory
        self._seen: HeaderStatement | None = None
        self._lock = threading.RLock()

    @property
    def seen(self) -> HeaderStatement | None:
        """The newest head that was seen."""
        return self._seen

    def recall(self, trust: TrustFile) -> None:
        """Take up what an earlier program has seen.

        Raises:
            UsageError: the file is of another zone.
            IntegrityError: it is not what this client writes, or its header is not signed by who ordered.
            StorageError: it cannot be read.
        """
        if self._path is None:
            return
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(
                f"{self._path} cannot be read: {error.strerror}", remedy="Check its permissions."
            ) from None
        try:
            found = _decoder.decode(data)
            state_root, root = unhex(found.seen.state_root, HASH_BYTES), unhex(found.seen.root, HASH_BYTES)
        except MalformedError as error:
            raise self._damaged(error.reason) from None
        if found.chain != self.chain or found.seen.header.chain != self.chain:
            raise UsageError(
                f"{self._path} remembers the zone {found.chain}, not {self.chain}", remedy="Use one file for each zone."
            )
        opened = app_hash(state_root, root, found.seen.size).hex() == found.seen.header.app_hash
        key = trust.version_at(found.seen.size).validators.get(found.seen.organisation)
        if not opened or key is None or not verify_signature(found.seen.header, found.seen.signature, key):
            raise self._damaged("its header is not signed by who orders")
        self._seen = found.seen

    def _damaged(self, why: str) -> IntegrityError:
        return IntegrityError(
            f"{self._path} is not what was written there: {why}",
            remedy="Find out who changed it; without it the next connection begins to remember anew.",
        )

    def take(self, head: HeaderStatement, prove: Prove, *, newest: bool) -> None:
        """Hold a head against what was seen, and remember it if it is newer.

        Args:
            head: whose signature was checked.
            prove: asks for a consistency proof.
            newest: whether the newest head was asked for, so that an older one is refused.

        Raises:
            HistoryError: it does not fit; see `trouble`.
            NodeError: the proof cannot be had.
        """
        with self._lock:
            seen = self._seen
            if seen is None:
                self._keep(head)
                return
            before, after = sorted((seen, head), key=lambda each: (each.header.height, each.size))
            self._check_blocks(before, after)
            if before.size == after.size and before.root != after.root:
                raise self._forked(before, after)
            if newest and after is seen and head.header.height < seen.header.height:
                raise HistoryError(
                    "old_header",
                    f"the node shows block {head.header.height} as its last, but block {seen.header.height} was seen before",
                )
            if before.size not in (0, after.size):
                self._check_beginning(before, after, prove)
            if head.header.height > seen.header.height:
                self._keep(head)

    def _check_blocks(self, before: HeaderStatement, after: HeaderStatement) -> None:
        """Check that two heads can be blocks of one chain, by height, size and time."""
        first, second = before.header, after.header
        if first.height == second.height and first != second:
            proof = build_headers_fork(first, [_signed(before)], second, [_signed(after)])
            raise HistoryError(
                "forked_history", f"those who order signed two different blocks of height {first.height}", proof or b""
            )
        if before.size > after.size:
            raise HistoryError(
                "not_consistent",
                f"block {second.height} has {after.size} entries of history, the earlier block {first.height} had "
                f"{before.size}: the history was cut",
            )
        if first.time > second.time:
            raise HistoryError(
                "time_went_back", f"block {second.height} is earlier by its time than block {first.height} before it"
            )

    def _check_beginning(self, before: HeaderStatement, after: HeaderStatement, prove: Prove) -> None:
        """Check that the history of one head begins with that of another."""
        what = f"the history of {after.size} entries"
        try:
            shown = prove(before.size, after.size)
        except UsageError:
            raise HistoryError(
                "not_consistent", f"the node cannot show that {what} begins with the {before.size} seen before"
            ) from None
        try:
            path, prefix = unhex_path(shown.path), unhex(shown.first_root, HASH_BYTES)
        except MalformedError:
            path, prefix = [], b""
        root, known = bytes.fromhex(after.root), bytes.fromhex(before.root)
        if verify_consistency(before.size, known, after.size, root, path):
            return
        if verify_consistency(before.size, prefix, after.size, root, path):
            raise self._forked(before, after, prefix, path)
        raise HistoryError(
            "not_consistent", f"the node's proof does not show that {what} begins with the {before.size} seen before"
        )

    def _forked(
        self,
        before: HeaderStatement,
        after: HeaderStatement,
        prefix: bytes | None = None,
        path: list[bytes] | None = None,
    ) -> HistoryError:
        proof = build_histories_fork(self.chain, before, after, prefix_root=prefix, path=path or [])
        return HistoryError(
            "forked_history",
            f"those who order signed two histories that differ within the first {before.size} entries",
            proof,
        )

    def _keep(self, head: HeaderStatement) -> None:
        self._seen = head
        if self._path is None:
            return
        try:
            newer = _decoder.decode(self._path.read_bytes()).seen.header.height
        except (OSError, MalformedError):
            newer = 0
        if newer > head.header.height:
            return
        try:
            write_secret(self._path, encode_json(_Memory(chain=self.chain, seen=head, v=1)))
        except OSError as error:
            raise StorageError(
                f"{self._path} cannot be written: {error.strerror}", remedy="Name a place that can be written to."
            ) from None


def head_of_record(proof: RecordProof) -> HeaderStatement:
    """Return the head at which a verified proof of a record ends."""
    return _head(proof.header, proof.header_signatures, proof.state_root, proof.history_root, proof.size)


def head_of_receipt(receipt: Receipt, verified: VerifiedReceipt) -> HeaderStatement:
    """Return the head at which a verified receipt ends; its history root is what the path leads to."""
    operation = sha256(encode_json(receipt.operation))
    leaf = history_leaf(receipt.height, receipt.index, operation, receipt.outcome, receipt.time, verified.transaction)
    path = [bytes.fromhex(step) for step in receipt.path]
    root = root_from_path(leaf_hash(leaf), receipt.leaf_index, receipt.size, path) or b""
    return _head(receipt.header, receipt.header_signatures, receipt.state_root, root.hex(), receipt.size)


def _head(header: Header, signatures: HeaderSignatures, state_root: str, root: str, size: int) -> HeaderStatement:
    """Return a head in the words of the first that signed it; one that orders and keeps to it is enough to remember."""
    signed = signatures[0]
    return HeaderStatement(
        header=header,
        organisation=signed.organisation,
        root=root,
        signature=signed.signature,
        size=size,
        state_root=state_root,
    )


def _signed(statement: HeaderStatement) -> HeaderSignature:
    return HeaderSignature(organisation=statement.organisation, signature=statement.signature)
