"""What is read from a ledger: blocks and operations as they are kept."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec


class _Typed(msgspec.Struct):
    """The one field of an operation that the history names it by; all others are passed over unparsed."""

    type: str = ""


_type_decoder = msgspec.json.Decoder(_Typed)


class StoredBlock(NamedTuple):
    """A block as it is kept."""

    height: int
    time: int
    header: bytes
    signatures: bytes
    state_root: bytes
    history_root: bytes
    size: int
    transactions: tuple[bytes, ...]


class StoredOperation(NamedTuple):
    """One operation of the history with its place."""

    leaf: int
    height: int
    time: int
    transaction_id: bytes
    transaction: bytes
    position: int
    outcome: int


def stored_block(row: tuple[Any, ...], transactions: tuple[bytes, ...] = ()) -> StoredBlock:
    """Return a block from its row: height, time, header, signatures, roots and size."""
    height, time, header, signatures, state_root, history_root, size = row
    return StoredBlock(height, time, header.encode(), signatures.encode(), state_root, history_root, size, transactions)


def operation_type(operation: bytes) -> str:
    """Return the `type` of an operation's bytes, or "" where it has none (a malformed one on the history)."""
    try:
        kind = _type_decoder.decode(operation).type
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
    return kind if len(kind) <= 64 else ""
