"""The signed payload of a transaction: what an organisation puts its name to.

Both the machine, which executes it, and a verifier of receipts, which has only these bytes, read it here, so that they
cannot read it differently.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.codec.canonical import MAX_SAFE_INTEGER, MalformedError, StrictDecoder
from tallystick.codec.identifiers import check_hash, check_organisation_id

MAX_PAYLOAD_BYTES = 1_024
NONCE_CHARACTERS = 32
VERSION = 1

_HEX = frozenset("0123456789abcdef")
_Natural = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAFE_INTEGER)]


class Seen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The history that the author's own copy had.

    Attributes:
        root: RFC 9162 root of it, hex.
        size: number of its leaves.
    """

    root: str
    size: _Natural


class Payload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed.

    Attributes:
        atomic: one rejected operation rejects all.
        expires: block time in ms after which the transaction may not be included.
        nonce: 32 lower-case hex characters.
        operations_root: RFC 9162 root over the operations' bytes, hex.
        organisation: who signs.
        seen: the history that the author knew.
        v: version of this format, 1.
    """

    atomic: bool
    expires: _Natural
    nonce: str
    operations_root: str
    organisation: str
    seen: Seen
    v: int


_decoder: StrictDecoder[Payload] = StrictDecoder(Payload, max_bytes=MAX_PAYLOAD_BYTES)


def decode_payload(data: bytes) -> Payload:
    """Return the payload that `data` is the one encoding of.

    Raises:
        MalformedError: not canonical, or a field is not of its form.
    """
    payload = _decoder.decode(data)
    if payload.v != VERSION:
        raise MalformedError("unknown payload version")
    if len(payload.nonce) != NONCE_CHARACTERS or not _HEX.issuperset(payload.nonce):
        raise MalformedError("nonce is not 32 hex characters")
    check_hash(payload.operations_root)
    check_hash(payload.seen.root)
    check_organisation_id(payload.organisation)
    return payload
