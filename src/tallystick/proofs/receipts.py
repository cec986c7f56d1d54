"""Receipts: one operation, its outcome, and everything that proves both; one small file, checked without a network.

docs/reference/receipt.md is the specification, complete enough to write a verifier from. Every byte of a receipt is
either signed, or hashed into something that is signed, or must equal what is: no byte can be changed and still verify.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, decode_json, encode_json, iso_time, sha256
from tallystick.merkle import leaf_hash, path_in, root_from_path
from tallystick.proofs.checkpoints import Cosignature
from tallystick.proofs.failures import ReceiptError
from tallystick.proofs.forms import Natural, Positive
from tallystick.proofs.headers import Header, HeaderSignature, HeaderSignatures, quorum
from tallystick.proofs.heads import Head, check_head, summarise, version_for
from tallystick.proofs.hexadecimal import HASH_BYTES, unhex, unhex_path
from tallystick.proofs.transactions import (
    MAX_OPERATIONS,
    SignedFrame,
    history_leaf,
    operation_root,
    split_transaction,
    verify_frame,
)
from tallystick.proofs.trust import TrustEntry, TrustFile

FORMAT = 1
MAX_RECEIPT_BYTES = 4 << 20


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receipt as it is written; see docs/reference/receipt.md for each field."""

    chain: str
    cosignatures: tuple[Cosignature, ...]
    header: Header
    header_signatures: HeaderSignatures
    height: Positive
    index: Natural
    leaf_index: Natural
    links: tuple[TrustEntry, ...]
    operation: dict[str, Any]
    operation_path: tuple[str, ...]
    outcome: Natural
    path: tuple[str, ...]
    size: Positive
    state_root: str
    time: Natural
    transaction: str
    v: int


_decoder: StrictDecoder[Receipt] = StrictDecoder(Receipt, max_bytes=MAX_RECEIPT_BYTES)


@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """What a receipt proves.

    Attributes:
        chain: zone.
        organisation: who asked for the operation.
        key: the public key that signed it, hex.
        operation: what was asked for.
        outcome: 0 for accepted, otherwise the number of the rejection.
        time: of the block, ms since 1970.
        height: of the block.
        transaction: id, hex.
        index: of the operation in its transaction.
        leaf_index: of the operation in the history.
        size: of the history that was witnessed.
        orderers: who ordered it, sorted.
        validators: how many order.
        witnesses: other members whose cosignature is in the receipt, sorted.
        needed: cosignatures that the zone needs.
        others: members besides those who order.
        version: trust version that holds for it.
    """

    chain: str
    organisation: str
    key: str
    operation: dict[str, Any]
    outcome: int
    time: int
    height: int
    transaction: str
    index: int
    leaf_index: int
    size: int
    orderers: tuple[str, ...]
    validators: int
    witnesses: tuple[str, ...]
    needed: int
    others: int
    version: int

    @property
    def accepted(self) -> bool:
        """Whether the operation took effect."""
        return self.outcome == 0

    @property
    def summary(self) -> str:
        """One line: who ordered and how many witnessed."""
        return summarise(len(self.orderers), self.validators, len(self.witnesses), self.others)

    def explain(self) -> list[str]:
        """Return what the receipt proves, a line each, for people."""
        kind = self.operation.get("type")
        name = kind if isinstance(kind, str) else "an operation without a type"
        result = "accepted" if self.accepted else f"rejected with number {self.outcome}"
        lines = [
            f"{self.organisation} asked for {name} in the zone {self.chain}; it was {result}.",
            f"Recorded at {iso_time(self.time)}, block {self.height}, entry {self.leaf_index} of the history.",
            f"Transaction {self.transaction}, operation {self.index}, signed by the key {self.key}.",
        ]
        ordered = f"Ordered by {', '.join(self.orderers)}"
        if self.validators > 1:
            ordered += f" ({len(self.orderers)} of {self.validators} that order, {quorum(self.validators)} needed)"
        if self.others:
            names = ", ".join(self.witnesses) or "nobody"
            lines.append(
                f"{ordered}; witnessed by {names} "
                f"({len(self.witnesses)} of {self.others} other members, {self.needed} needed)."
            )
        elif self.validators == 1:
            lines.append(f"{ordered}, the only member; witnessed by nobody yet.")
        else:
            lines.append(f"{ordered}.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        value: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        value["orderers"] = list(self.orderers)
        value["witnesses"] = list(self.witnesses)
        value["accepted"] = self.accepted
        value["summary"] = self.summary
        return value


def build_receipt(
    *,
    transaction: bytes,
    index: int,
    outcome: int,
    height: int,
    time: int,
    leaf_index: int,
    size: int,
    path: Sequence[bytes],
    state_root: bytes,
    header: Header,
    header_signatures: Sequence[HeaderSignature],
    cosignatures: Sequence[Cosignature] = (),
    links: Sequence[TrustEntry] = (),
) -> bytes:
    """Return the bytes of a receipt; whether it verifies is for `verify_receipt` to say.

    Args:
        transaction: the raw transaction.
        index: of the operation in it.
        outcome: 0 or the number of its rejection.
        height: of the block that has it.
        time: of that block, ms.
        leaf_index: of the operation in the history.
        size: leaves of the history that `header` commits to, and that the cosignatures are over.
        path: inclusion path of the leaf in that history.
        state_root: after the header's block.
        header: of that block or a later one.
        header_signatures: by those who order, in any order.
        cosignatures: by other members over (size, history root), in any order.
        links: from `TrustFile.links_since`.

    Raises:
        ReceiptError: `operation_not_json` or `malformed_transaction`.
    """
    frame, operations = _split(transaction)
    operation = _operation_of(operations, index)
    receipt = Receipt(
        chain=header.chain,
        cosignatures=tuple(sorted(cosignatures, key=lambda each: each.organisation)),
        header=header,
        header_signatures=tuple(sorted(header_signatures, key=lambda each: each.organisation)),
        height=height,
        index=index,
        leaf_index=leaf_index,
        links=tuple(links),
        operation=operation,
        operation_path=tuple(step.hex() for step in path_in(operations, index)),
        outcome=outcome,
        path=tuple(step.hex() for step in path),
        size=size,
        state_root=state_root.hex(),
        time=time,
        transaction=frame.hex(),
        v=FORMAT,
    )
    try:
        return encode_json(receipt)
    except MalformedError:
        raise ReceiptError("operation_not_json", "the operation is nested too deep for a receipt") from None


def _split(transaction: bytes) -> tuple[bytes, list[bytes]]:
    try:
        return split_transaction(transaction)
    except MalformedError as error:
        raise ReceiptError("malformed_transaction", f"the transaction cannot be read: {error.reason}") from None


def _operation_of(operations: Sequence[bytes], index: int) -> dict[str, Any]:
    if not 0 <= index < len(operations):
        raise ReceiptError("not_in_transaction", "the transaction has no such operation")
    try:
        operation = decode_json(operations[index])
    except MalformedError:
        operation = None
    if not isinstance(operation, dict):
        raise ReceiptError("operation_not_json", "the operation is not a canonical JSON object")
    return operation


def decode_receipt(data: bytes) -> Receipt:
    """Read a receipt's form; nothing is proved by that.

    Raises:
        ReceiptError: `not_canonical` or `unknown_format`.
    """
    try:
        receipt = _decoder.decode(data)
    except MalformedError as error:
        raise ReceiptError("not_canonical", f"not a receipt: {error.reason}") from None
    if receipt.v != FORMAT:
        raise ReceiptError("unknown_format", "the receipt has an unknown format")
    return receipt


def verify_receipt(data: bytes, trust: TrustFile) -> VerifiedReceipt:
    """Check a receipt against a trust file, without a network and without trusting who brought it.

    Args:
        data: the bytes of the file, exactly.
        trust: the zone's trust file; the receipt may carry later versions, which are checked first.

    Raises:
        ReceiptError: with the reason and a remedy.
    """
    receipt = decode_receipt(data)
    version = version_for(receipt.chain, receipt.links, receipt.size, trust)
    frame = verify_frame(receipt.transaction, trust.genesis)
    try:
        operation = encode_json(receipt.operation)
        steps = unhex_path(receipt.operation_path)
        path = unhex_path(receipt.path)
        state_root = unhex(receipt.state_root, HASH_BYTES)
    except MalformedError as error:
        raise ReceiptError("not_canonical", f"not a receipt: {error.reason}") from None
    _check_operation(receipt, frame, operation, steps)
    head = Head(
        header=receipt.header,
        header_signatures=receipt.header_signatures,
        state_root=state_root,
        history_root=_history_root(receipt, frame, operation, path),
        size=receipt.size,
        cosignatures=receipt.cosignatures,
    )
    _check_order_of_time(receipt)
    backing = check_head(head, receipt.chain, version)
    return VerifiedReceipt(
        chain=receipt.chain,
        organisation=frame.payload.organisation,
        key=frame.key.hex(),
        operation=receipt.operation,
        outcome=receipt.outcome,
        time=receipt.time,
        height=receipt.height,
        transaction=frame.id.hex(),
        index=receipt.index,
        leaf_index=receipt.leaf_index,
        size=receipt.size,
        orderers=backing.orderers,
        validators=len(version.validators),
        witnesses=backing.witnesses,
        needed=version.needed,
        others=version.others,
        version=version.number,
    )


def _check_operation(receipt: Receipt, frame: SignedFrame, operation: bytes, path: Sequence[bytes]) -> None:
    """Check that the operation is at its index among those that were signed."""
    root = operation_root(operation, receipt.index, path) if receipt.index < MAX_OPERATIONS else None
    if root is None or root.hex() != frame.payload.operations_root:
        raise ReceiptError(
            "not_in_transaction", f"this operation is not what {frame.payload.organisation} signed at that place"
        )


def _history_root(receipt: Receipt, frame: SignedFrame, operation: bytes, path: Sequence[bytes]) -> bytes:
    """Return the root that the operation's leaf and its path lead to; that it is the right one, the app hash shows."""
    leaf = history_leaf(receipt.height, receipt.index, sha256(operation), receipt.outcome, receipt.time, frame.id.hex())
    root = root_from_path(leaf_hash(leaf), receipt.leaf_index, receipt.size, path)
    if root is None:
        raise ReceiptError("not_in_history", "the path does not fit the entry's place in the history")
    return root


def _check_order_of_time(receipt: Receipt) -> None:
    """Check that the header is of the operation's block or of a later one."""
    header = receipt.header
    if header.height < receipt.height:
        raise ReceiptError("field_mismatch", "the header is older than the operation")
    if header.time < receipt.time or (header.height == receipt.height and header.time != receipt.time):
        raise ReceiptError("field_mismatch", "the times of the operation and of the header do not fit")
