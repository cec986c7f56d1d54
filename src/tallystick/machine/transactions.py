"""Transactions: 1 to 1,000 operations signed once by one organisation.

The bytes are CBOR [COSE_Sign1, [operation, ...]]; the signed payload names the operations by their RFC 9162 root, so
that one operation can be shown without its neighbours. The id is the hash of what was signed, not of the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tallystick.codec import (
    MalformedError,
    decode_sign1,
    encode_json,
    encode_sign1,
    protected_header,
    sha256,
    sig_structure,
)
from tallystick.codec.cose import head, read_bytes, read_head
from tallystick.codec.payloads import Payload, Seen, decode_payload
from tallystick.machine.schema import Message
from tallystick.merkle import leaf_hash, tree_root

MAX_TRANSACTION_BYTES = 1 << 20
MAX_OPERATIONS = 1_000


class Transaction(NamedTuple):
    """A decoded transaction; its signature is checked apart.

    Attributes:
        raw: the bytes as they travel and are kept.
        id: SHA-256 of the Sig_structure.
        key: the signer's public key, 32 bytes.
        signed: the Sig_structure, which `signature` is over.
        signature: 64 bytes.
        payload: what was signed.
        operations: the canonical bytes of each operation.
    """

    raw: bytes
    id: bytes
    key: bytes
    signed: bytes
    signature: bytes
    payload: Payload
    operations: tuple[bytes, ...]


def decode_transaction(raw: bytes, external_aad: bytes) -> Transaction:
    """Read a transaction from exactly its canonical bytes.

    Args:
        raw: at most 1 MiB.
        external_aad: SHA-256 of the zone's genesis.

    Raises:
        MalformedError: anything else than the one canonical form, or operations that the payload does not name.
    """
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise MalformedError("longer than 1 MiB")
    if raw[:1] != b"\x82":
        raise MalformedError("not a transaction")
    frame, offset = decode_sign1(raw, 1)
    count, offset = read_head(raw, offset, 4)
    if not 1 <= count <= MAX_OPERATIONS:
        raise MalformedError("not 1 to 1,000 operations")
    operations: list[bytes] = []
    for _ in range(count):
        operation, offset = read_bytes(raw, offset)
        operations.append(operation)
    if offset != len(raw):
        raise MalformedError("bytes behind the transaction")
    payload = decode_payload(frame.payload)
    root = leaf_hash(operations[0]) if count == 1 else tree_root(operations)
    if root.hex() != payload.operations_root:
        raise MalformedError("operations are not those that were signed")
    signed = sig_structure(frame.protected, external_aad, frame.payload)
    return Transaction(raw, sha256(signed), frame.key, signed, frame.signature, payload, tuple(operations))


def build_transaction(
    operations: Sequence[Message | bytes],
    *,
    organisation: str,
    key: bytes,
    sign: Callable[[bytes], bytes],
    external_aad: bytes,
    expires: int,
    nonce: str,
    seen_size: int,
    seen_root: bytes,
    atomic: bool = True,
) -> bytes:
    """Sign operations and return the transaction's bytes.

    Args:
        operations: messages, or their canonical bytes; 1 to 1,000.
        organisation: who signs.
        key: public key, 32 bytes.
        sign: signs a message with it.
        external_aad: SHA-256 of the zone's genesis.
        expires: block time in ms after which it may not be included.
        nonce: 32 hex characters, fresh for each transaction.
        seen_size: size of the history that the author's own copy has.
        seen_root: its root.
        atomic: one rejected operation rejects all.
    """
    encoded = tuple(item if isinstance(item, bytes) else encode_json(item) for item in operations)
    payload = encode_json(
        Payload(
            atomic=atomic,
            expires=expires,
            nonce=nonce,
            operations_root=tree_root(encoded).hex(),
            organisation=organisation,
            seen=Seen(root=seen_root.hex(), size=seen_size),
            v=1,
        )
    )
    protected = protected_header(key)
    signature = sign(sig_structure(protected, external_aad, payload))
    parts = [b"\x82", encode_sign1(protected, payload, signature), head(4, len(encoded))]
    for operation in encoded:
        parts += (head(2, len(operation)), operation)
    return b"".join(parts)
