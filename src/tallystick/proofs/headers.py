r"""Headers of blocks, and who must have signed them.

A header is canonical JSON; its hash is tagged with "tallystick/header". Each validator signs it with its `system` key:
Ed25519 over `b"tallystick/header-v1\0"` and the header's bytes. It holds with the signatures of more than two thirds of
the validators; in a zone with one orderer that is its own. `app_hash` is the one after the block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, check_organisation_id, encode_json, tagged_hash
from tallystick.keys import ED25519, Signer
from tallystick.merkle import tree_root
from tallystick.proofs.forms import Natural, Positive, check_chain_id
from tallystick.proofs.hexadecimal import HASH_BYTES, SIGNATURE_BYTES, unhex

HEADER_TAG = b"tallystick/header-v1\x00"
MAX_HEADER_BYTES = 1_024
MAX_SIGNATURES_BYTES = 64 << 10


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an orderer signs of a block.

    Attributes:
        app_hash: after the block, hex.
        chain: chain id.
        height: from 1.
        previous: hash of the header before, hex; the genesis hash at height 1.
        time: ms since 1970.
        transactions_root: RFC 9162 root over the raw transactions, hex.
    """

    app_hash: str
    chain: str
    height: Positive
    previous: str
    time: Natural
    transactions_root: str


class HeaderSignature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A validator's signature of a header, hex."""

    organisation: str
    signature: str


HeaderSignatures = tuple[HeaderSignature, ...]
_decoder: StrictDecoder[Header] = StrictDecoder(Header, max_bytes=MAX_HEADER_BYTES)
_signatures_decoder: StrictDecoder[HeaderSignatures] = StrictDecoder(HeaderSignatures, max_bytes=MAX_SIGNATURES_BYTES)


def app_hash(state_root: bytes, history_root: bytes, size: int) -> bytes:
    """Return what a header commits to: the state, the history and its number of leaves."""
    return tagged_hash(b"tallystick/app-hash", state_root, history_root, size.to_bytes(8, "big"))


def transactions_root(transactions: Sequence[bytes]) -> bytes:
    """Return the RFC 9162 root over the raw bytes of a block's transactions."""
    return tree_root(transactions)


def check_header(header: Header) -> Header:
    """Return a header if its hashes and its chain id are of their form.

    Raises:
        MalformedError: they are not.
    """
    check_chain_id(header.chain)
    for text in (header.app_hash, header.previous, header.transactions_root):
        unhex(text, HASH_BYTES)
    return header


def encode_header(header: Header) -> bytes:
    """Return the canonical bytes of a header."""
    return encode_json(header)


def decode_header(data: bytes) -> Header:
    """Read a header from exactly its canonical bytes.

    Raises:
        MalformedError: anything else.
    """
    return check_header(_decoder.decode(data))


def header_hash(header: Header) -> bytes:
    """Return what the next header names as `previous`."""
    return tagged_hash(b"tallystick/header", encode_json(header))


def header_message(header: Header) -> bytes:
    """Return what a header's signature is over."""
    return HEADER_TAG + encode_json(header)


def quorum(validators: int) -> int:
    """Return how many of so many validators are more than two thirds."""
    return validators * 2 // 3 + 1


def sign_header(header: Header, organisation: str, signer: Signer) -> HeaderSignature:
    """Return a validator's signature of a header.

    Raises:
        MalformedError: the header is not in good form.
    """
    return HeaderSignature(organisation=organisation, signature=signer.sign(header_message(check_header(header))).hex())


def verify_signature(header: Header, signature: str, public_key: bytes) -> bool:
    """Tell whether a key signed a header; never raises on what comes from others.

    Args:
        header: the header.
        signature: hex.
        public_key: 32 bytes.
    """
    try:
        raw = unhex(signature, SIGNATURE_BYTES)
        message = header_message(header)
    except MalformedError:
        return False
    return ED25519.verify(public_key, message, raw)


def encode_signatures(signatures: Sequence[HeaderSignature]) -> bytes:
    """Return signatures as they are kept and sent: canonical JSON, sorted by organisation."""
    return encode_json(sorted(signatures, key=lambda each: each.organisation))


def decode_signatures(data: bytes) -> HeaderSignatures:
    """Read signatures from exactly their canonical bytes; whether they are good, `check_signatures` tells.

    Raises:
        MalformedError: anything else, or they are not sorted by organisation without repetition.
    """
    signatures = _signatures_decoder.decode(data)
    for each in signatures:
        check_organisation_id(each.organisation)
        unhex(each.signature, SIGNATURE_BYTES)
    if any(earlier.organisation >= later.organisation for earlier, later in pairwise(signatures)):
        raise MalformedError("signatures of a header are not sorted, or one is repeated")
    return signatures


def check_signatures(
    header: Header, signatures: Sequence[HeaderSignature], validators: Mapping[str, bytes]
) -> tuple[str, ...]:
    """Return who signed a header, if every signature is by a validator and good; whether they are enough, see `quorum`.

    Args:
        header: the header.
        signatures: sorted by organisation.
        validators: organisation -> `system` key of those who order.

    Raises:
        MalformedError: one is not, or they are not sorted, or one is repeated.
    """
    names = tuple(each.organisation for each in signatures)
    if any(earlier >= later for earlier, later in pairwise(names)):
        raise MalformedError("signatures of a header are not sorted, or one is repeated")
    for each in signatures:
        key = validators.get(each.organisation)
        if key is None:
            raise MalformedError(f"{each.organisation} signed the header but does not order")
        if not verify_signature(header, each.signature, key):
            raise MalformedError(f"the header is not signed by {each.organisation}, which orders")
    return names
