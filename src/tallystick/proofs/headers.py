r"""Headers of blocks, as a single orderer signs them.

A header is canonical JSON; its hash is tagged with "tallystick/header"; its signature is Ed25519 by the orderer's
`system` key over `b"tallystick/header-v1\0"` and the header's bytes. `app_hash` is the one after the block.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json, tagged_hash
from tallystick.keys import ED25519, Signer
from tallystick.merkle import tree_root
from tallystick.proofs.genesis import Natural, Positive, check_chain_id
from tallystick.proofs.hexadecimal import HASH_BYTES, SIGNATURE_BYTES, unhex

HEADER_TAG = b"tallystick/header-v1\x00"
MAX_HEADER_BYTES = 1_024


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


_decoder: StrictDecoder[Header] = StrictDecoder(Header, max_bytes=MAX_HEADER_BYTES)


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


def sign_header(header: Header, signer: Signer) -> str:
    """Return the orderer's signature of a header, hex.

    Raises:
        MalformedError: the header is not in good form.
    """
    return signer.sign(header_message(check_header(header))).hex()


def verify_header(header: Header, signature: str, public_key: bytes) -> bool:
    """Tell whether a key signed a header; never raises on what comes from others."""
    try:
        raw = unhex(signature, SIGNATURE_BYTES)
        message = header_message(header)
    except MalformedError:
        return False
    return ED25519.verify(public_key, message, raw)
