"""What a verifier reads of a transaction: the signed frame, and where one operation stands under it.

The verifier has the frame (COSE_Sign1) and one operation, not its neighbours. The path from an operation to
`operations_root` is walked by the operation's index and the length of the path alone, without the number of operations,
because that number is nowhere signed, and what is not signed could be changed unnoticed. Nothing is lost: of all tree
sizes that fit an index and a path length, each walks the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.codec import MalformedError, decode_sign1, sha256, sig_structure
from tallystick.codec.cose import Sign1, read_bytes, read_head
from tallystick.codec.payloads import Payload, decode_payload
from tallystick.keys import ED25519
from tallystick.merkle import leaf_hash, node_hash
from tallystick.proofs.failures import ReceiptError
from tallystick.proofs.hexadecimal import unhex_any

MAX_OPERATIONS = 1_000


class SignedFrame(NamedTuple):
    """A transaction's frame whose signature was checked.

    Attributes:
        id: SHA-256 of the Sig_structure.
        key: the signer's public key.
        payload: what was signed.
    """

    id: bytes
    key: bytes
    payload: Payload


def split_transaction(raw: bytes) -> tuple[bytes, list[bytes]]:
    """Return the bytes of a transaction's frame and of its operations.

    Raises:
        MalformedError: it is not a transaction.
    """
    if raw[:1] != b"\x82":
        raise MalformedError("not a transaction")
    _, end = decode_sign1(raw, 1)
    frame = raw[1:end]
    count, offset = read_head(raw, end, 4)
    if not 1 <= count <= MAX_OPERATIONS:
        raise MalformedError("not 1 to 1,000 operations")
    operations: list[bytes] = []
    for _ in range(count):
        operation, offset = read_bytes(raw, offset)
        operations.append(operation)
    if offset != len(raw):
        raise MalformedError("bytes behind the transaction")
    return frame, operations


def verify_frame(text: str, genesis: bytes) -> SignedFrame:
    """Read a frame from hex and check its signature.

    Args:
        text: lower-case hex of the COSE_Sign1.
        genesis: SHA-256 of the zone's genesis, which the signature binds.

    Raises:
        ReceiptError: `malformed_transaction` or `bad_signature`.
    """
    try:
        raw = unhex_any(text)
        frame, end = decode_sign1(raw)
        if end != len(raw):
            raise MalformedError("bytes behind the frame")
        payload = decode_payload(frame.payload)
    except MalformedError as error:
        raise ReceiptError("malformed_transaction", f"the signed transaction cannot be read: {error.reason}") from None
    return _check_signature(frame, payload, genesis)


def _check_signature(frame: Sign1, payload: Payload, genesis: bytes) -> SignedFrame:
    signed = sig_structure(frame.protected, genesis, frame.payload)
    if not ED25519.verify(frame.key, signed, frame.signature):
        raise ReceiptError("bad_signature", f"{payload.organisation} did not sign this transaction in this zone")
    return SignedFrame(sha256(signed), frame.key, payload)


def operation_root(operation: bytes, index: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an operation and its path lead to, or None if no tree has such a path.

    Every 1 in the binary form of the index, lowest first, is a step with a sibling on the left. A 0 is a step with a
    sibling on the right as long as the path has more steps than the index has ones left; after that it is no step,
    because at the right edge of the tree a node without a sibling is carried up as it is.

    Args:
        operation: its bytes.
        index: its place, from 0.
        path: RFC 9162 inclusion path, from the leaf up.
    """
    rights = len(path) - index.bit_count()
    if rights < 0:
        return None
    root = leaf_hash(operation)
    for sibling in path:
        while not index & 1 and not rights:
            index >>= 1
        if index & 1:
            root = node_hash(sibling, root)
        else:
            root = node_hash(root, sibling)
            rights -= 1
        index >>= 1
    return root


def history_leaf(height: int, index: int, operation: bytes, outcome: int, time: int, transaction: str) -> bytes:
    """Return the data of the history leaf of one operation.

    Args:
        height: of its block.
        index: in its transaction.
        operation: SHA-256 of its bytes.
        outcome: 0 or the number of its rejection.
        time: of its block, ms.
        transaction: id, hex.
    """
    return (
        f'{{"height":{height},"index":{index},"operation":"{operation.hex()}","outcome":{outcome},'
        f'"time":{time},"transaction":"{transaction}"}}'
    ).encode()
