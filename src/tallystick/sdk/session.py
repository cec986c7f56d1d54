"""A session with a node: what is trusted, what was seen, and records with their proofs.

How this client comes to believe something:

1. The trust file comes from the caller, once. Newer versions that the node shows are taken if those before signed them.
2. A record comes with a proof that ends at a header which the orderer signed. The header's history must go on from the
   newest one that this client has seen (`history`).
3. What the node says in other words (a view) is held against the records (`checking`).
4. That an operation was recorded, and witnessed by as many members as the zone needs, a receipt proves.

A record that changed a moment ago is not witnessed yet, so 2 takes the orderer's word for the moment; the orderer cannot
take it back without leaving a fork proof here. `VerifiedRecord.witnessed` tells, and a receipt always is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from tallystick.codec import encode_json
from tallystick.machine import Collection, Record
from tallystick.proofs import (
    ReceiptError,
    TrustError,
    TrustFile,
    VerifiedRecord,
    verify_receipt,
    verify_record_proof,
)
from tallystick.proofs.receipts import MAX_RECEIPT_BYTES, decode_receipt
from tallystick.proofs.records import MAX_RECORD_PROOF_BYTES, RecordProof
from tallystick.proofs.transactions import verify_frame
from tallystick.proofs.trust import MAX_TRUST_BYTES
from tallystick.sdk.connection import Connection, read, segment
from tallystick.sdk.history import History, head_of_receipt, head_of_record
from tallystick.sdk.receipts import Receipt
from tallystick.sdk.trouble import HistoryError, NotFoundError, NotWitnessedError, ViewError, not_understood
from tallystick.views import ConsistencyProof

# A copy may be a moment behind what the node has just recorded, or the other way round.
PAUSES = (0.1, 0.3, 1.0, 2.0)
# Reasons that a newer trust file may settle.
_OUTDATED = frozenset(
    {
        "unknown_version",
        "bad_link",
        "unknown_member",
        "bad_header_signature",
        "too_few_header_signatures",
        "bad_cosignature",
        "not_yet_witnessed",
    }
)

# What of an operation never changes, whatever is signed later.
_SAME = ("chain", "height", "index", "leaf_index", "operation", "outcome", "time", "transaction")

T = TypeVar("T")
R = TypeVar("R", bound=Record)


def now_ms() -> int:
    """Return UTC time in milliseconds."""
    return time.time_ns() // 1_000_000


class Session:
    """What all parts of the client stand on."""

    def __init__(
        self,
        connection: Connection,
        trust: TrustFile,
        history: History,
        organisation: str,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        """Begin.

        Args:
            connection: to the node.
            trust: the zone's trust file.
            history: what was seen of the zone.
            organisation: id of whose node it is.
            clock_ms: UTC time, ms.
        """
        self.organisation_id = organisation
        self.clock_ms = clock_ms
        self._connection = connection
        self._trust = trust
        self._history = history
        self._kept: dict[tuple[str, str], Record] = {}
        self._lock = threading.Lock()

    @property
    def chain(self) -> str:
        """Chain id of the zone."""
        return self._trust.chain

    @property
    def trust(self) -> TrustFile:
        """The zone's trust file, with all versions that this client has been shown and has checked."""
        return self._trust

    @property
    def history(self) -> History:
        """The newest head that this client has seen."""
        return self._history

    # --- trust -------------------------------------------------------------------------------------------------------

    def refresh_trust(self) -> bool:
        """Take newer versions of the trust file from the node; return whether there were any.

        Raises:
            TrustError: what the node shows does not follow from what is trusted.
        """
        data = self._connection.get_bytes("/v1/zone", most=MAX_TRUST_BYTES)
        with self._lock:
            before = self._trust
            self._trust = follow_trust(before, data)
            return len(self._trust.versions) > len(before.versions)

    def _judge(self, check: Callable[[TrustFile], T]) -> T:
        """Check a proof; where the trust file may be too old for it, get a newer one and check again."""
        try:
            return check(self._trust)
        except ReceiptError as error:
            if error.reason not in _OUTDATED or not self.refresh_trust():
                raise
        return check(self._trust)

    # --- records -----------------------------------------------------------------------------------------------------

    def record(self, collection: str, key: str) -> VerifiedRecord:
        """Return a record as of the last block, or that there is none, proved.

        Args:
            collection: such as `agreements`; docs/reference/ledger-tables.md names them.
            key: of the record.

        Raises:
            ReceiptError: the proof does not hold.
            HistoryError: it is of a history that does not go on from the one seen.
            ViewError: the proof is of something else.
        """
        for pause in (*PAUSES, None):
            data = self._connection.get_bytes(
                f"/v1/records/{segment(collection)}/{segment(key)}", most=MAX_RECORD_PROOF_BYTES
            )
            found = self._judge(partial(verify_record_proof, data, allow_unwitnessed=True))
            if (found.collection, found.key) != (collection, key):
                raise ViewError("other_record", f"the node proves {found.key} in {found.collection}, not {key}")
            try:
                self._history.take(head_of_record(read(data, RecordProof)), self.prove_consistency, newest=True)
            except HistoryError as error:
                if error.reason != "old_header" or pause is None:
                    raise
                self._connection.sleep(pause)
            else:
                return found
        raise AssertionError("unreachable")

    def prove_consistency(self, first: int, second: int) -> ConsistencyProof:
        """Return the node's proof that the history of `second` entries begins with that of `first`; not checked here."""
        proof: ConsistencyProof = self._connection.get("/v1/consistency", ConsistencyProof, first=first, second=second)
        return proof

    def _find(self, collection: Collection[R], key: str) -> tuple[R | None, int]:
        """Return a record in its type, or None, and the time of the block at which that is so."""
        found = self.record(collection.name, key)
        return None if found.value is None else _decode(collection, found.value), found.time

    def _get(self, collection: Collection[R], key: str) -> R:
        """Return a record that must be there, because another one names it.

        Raises:
            ViewError: there is none.
        """
        record, _ = self._find(collection, key)
        if record is None:
            raise ViewError("changed_view", f"the ledger has no {key} in {collection.name}")
        return record

    def _get_fixed(self, collection: Collection[R], key: str) -> R:
        """Return a record of a kind that never changes; it is asked for once.

        Raises:
            ViewError: there is none.
        """
        where = (collection.name, key)
        if where not in self._kept:
            self._kept[where] = self._get(collection, key)
        found: R = self._kept[where]  # type: ignore[assignment] # put there under its collection
        return found

    def _checked(
        self,
        collection: Collection[Any],
        key: str,
        ask: Callable[[], T],
        check: Callable[[T], None],
        *,
        first: T | None = None,
    ) -> T:
        """Return a view that agrees with the ledger; asked again for a moment, as either may be behind.

        Args:
            collection: that has the record behind it.
            key: of the record.
            ask: gets the view.
            check: raises `ViewError`.
            first: a view that is here already.
        """
        view = first
        for pause in (*PAUSES, None):
            try:
                view = ask() if view is None else view
                check(view)
            except NotFoundError:
                if self._find(collection, key)[0] is None:
                    raise
                if pause is None:
                    raise ViewError(
                        "hidden_record", f"the node says that there is no {key}; the ledger has it"
                    ) from None
            except ViewError:
                if pause is None:
                    raise
            else:
                return view
            view = None
            self._connection.sleep(pause)
        raise AssertionError("unreachable")

    # --- receipts ----------------------------------------------------------------------------------------------------

    def receipt(self, transaction: str, index: int = 0, *, wait_s: float = 30.0) -> Receipt:
        """Return the receipt of an operation, verified.

        Args:
            transaction: id, hex; `view.recorded.transaction`.
            index: of the operation in it; `view.recorded.index`.
            wait_s: how long to wait until enough members have witnessed it.

        Raises:
            NotWitnessedError: they have not.
            ReceiptError: it does not hold.
            ViewError: it is of another operation.
            HistoryError: it is of a history that is not the one seen.
        """
        data = self._wait_for_receipt(transaction, index, wait_s)
        verified = self._judge(partial(verify_receipt, data))
        if (verified.transaction, verified.index) != (transaction, index):
            raise ViewError("other_record", "the node gave the receipt of another operation than was asked for")
        head = head_of_receipt(decode_receipt(data), verified)
        self._history.take(head, self.prove_consistency, newest=False)
        return Receipt(data, verified)

    def refresh(self, data: bytes, *, wait_s: float = 30.0) -> Receipt:
        """Return a receipt made anew, under the newest signatures; it proves the very same as the one before.

        For a receipt from before the order was handed over to all validators, which counts no more.

        Args:
            data: bytes of the receipt before.
            wait_s: how long to wait until enough members have witnessed it.

        Raises:
            ReceiptError: the file is no receipt of this zone.
            ViewError: the ledger says something else of this operation: keep the file, it may be evidence.
            NotWitnessedError: too few members have witnessed it.
        """
        before = decode_receipt(data)
        signed = verify_frame(before.transaction, self._trust.genesis)
        made = self.receipt(signed.id.hex(), before.index, wait_s=wait_s)
        after = decode_receipt(made.data)
        for name in _SAME:
            if getattr(before, name) != getattr(after, name):
                raise ViewError("changed_view", f"the ledger has another {name} for this operation than the file", name)
        return made

    def _wait_for_receipt(self, transaction: str, index: int, wait_s: float) -> bytes:
        path = f"/v1/receipts/{segment(transaction)}"
        waited, pause = 0.0, 0.1
        while True:
            try:
                return self._connection.get_bytes(path, most=MAX_RECEIPT_BYTES, tries=1, index=index)
            except NotWitnessedError:
                if waited >= wait_s:
                    raise
            self._connection.sleep(pause)
            waited += pause
            pause = min(pause * 1.5, 1.0)

    # --- end ---------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections to the node."""
        self._connection.close()


def follow_trust(held: TrustFile, data: bytes) -> TrustFile:
    """Return a trust file with what another copy of it has beyond, each version signed by those before.

    Args:
        held: what is trusted.
        data: `zone.json` as a node shows it.

    Raises:
        TrustError: it is not of this zone, or does not follow.
    """
    shown = TrustFile.parse(data)
    if (shown.chain, shown.genesis) != (held.chain, held.genesis):
        raise TrustError("other_zone", f"the node is of the zone {shown.chain}, not of {held.chain}")
    for mine, other in zip(held.versions, shown.versions, strict=False):
        if mine.hash != other.hash:
            raise TrustError("bad_link", f"the node has another version {mine.number} of the trust file")
    further = shown.entries[len(held.entries) :]
    return held.extend(further) if further else held


def _decode(collection: Collection[R], value: dict[str, Any]) -> R:
    """Return a proved value in its type; one that this version does not know cannot be held against anything."""
    try:
        return collection.decode(encode_json(value))
    except msgspec.MsgspecError:
        raise not_understood(f"its record in {collection.name} has a form that this version does not know") from None
