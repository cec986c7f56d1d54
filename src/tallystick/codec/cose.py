"""COSE_Sign1 (RFC 9052 section 4.2) with exactly one shape, so that a signed thing has one byte sequence.

The frame is the untagged array [protected, unprotected, payload, signature] in deterministic CBOR (RFC 8949 section
4.2.1) with

- protected: the bytes of {1: -8, 3: content type, 4: kid}, kid being the 32-byte Ed25519 public key itself;
- unprotected: the empty map;
- payload: a byte string, embedded;
- signature: 64 bytes.

The frame is read by hand: it has five fields of known shape, and a general decoder would accept more than one encoding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from tallystick.codec.canonical import MalformedError

CONTENT_TYPE = "application/vnd.tallystick.transaction+json"
ALGORITHM_EDDSA = -8
KEY_BYTES = 32
SIGNATURE_BYTES = 64


class Sign1(NamedTuple):
    """One decoded COSE_Sign1."""

    protected: bytes
    key: bytes
    payload: bytes
    signature: bytes


# Lengths come again and again.
@lru_cache(maxsize=1_024)
def head(major: int, value: int) -> bytes:
    """Return the shortest CBOR head of a major type (0 to 7) with an unsigned argument below 2^64."""
    if value < 24:
        return bytes(((major << 5) | value,))
    if value < 0x100:
        return bytes(((major << 5) | 24, value))
    if value < 0x10000:
        return bytes(((major << 5) | 25,)) + value.to_bytes(2, "big")
    if value < 0x100000000:
        return bytes(((major << 5) | 26,)) + value.to_bytes(4, "big")
    return bytes(((major << 5) | 27,)) + value.to_bytes(8, "big")


def protected_header(key: bytes, content_type: str = CONTENT_TYPE) -> bytes:
    """Return the deterministic CBOR map of the protected header for an Ed25519 key of 32 bytes."""
    text = content_type.encode("ascii")
    # {1: -8 (EdDSA), 3: text, 4: bytes}: keys in ascending order, shortest forms.
    return b"\xa3\x01\x27\x03" + head(3, len(text)) + text + b"\x04\x58\x20" + key


_PROTECTED_PREFIX = protected_header(b"")
_SIGNATURE_HEAD = head(2, SIGNATURE_BYTES)


def read_head(data: bytes, offset: int, major: int) -> tuple[int, int]:
    """Read a shortest-form CBOR head of one major type.

    Returns:
        its argument and the offset behind it.

    Raises:
        MalformedError: another type, a longer form than needed, an indefinite length, or the data ends.
    """
    try:
        first = data[offset]
        if first >> 5 != major:
            raise MalformedError("wrong CBOR type")
        short = first & 31
        if short < 24:
            return short, offset + 1
        if short == 24:
            value, end, least = data[offset + 1], offset + 2, 24
        elif short == 25:
            value, end, least = (data[offset + 1] << 8) | data[offset + 2], offset + 3, 0x100
        elif short == 26:
            end, least = offset + 5, 0x10000
            if end > len(data):
                raise MalformedError("CBOR ends early")
            value = int.from_bytes(data[offset + 1 : end], "big")
        else:
            raise MalformedError("CBOR length out of range")
    except IndexError:
        raise MalformedError("CBOR ends early") from None
    if value < least:
        raise MalformedError("CBOR length is not in its shortest form")
    return value, end


def read_bytes(data: bytes, offset: int) -> tuple[bytes, int]:
    """Read a definite-length byte string; return it and the offset behind it.

    Raises:
        MalformedError: it is not one, or the data ends.
    """
    length, start = read_head(data, offset, 2)
    end = start + length
    if end > len(data):
        raise MalformedError("CBOR ends early")
    return data[start:end], end


def encode_sign1(protected: bytes, payload: bytes, signature: bytes) -> bytes:
    """Return the frame of a signed payload."""
    return b"".join(
        (b"\x84", head(2, len(protected)), protected, b"\xa0", head(2, len(payload)), payload, b"\x58\x40", signature)
    )


def decode_sign1(data: bytes, offset: int = 0, content_type_prefix: bytes = _PROTECTED_PREFIX) -> tuple[Sign1, int]:
    """Read a frame at `offset`; return it and the offset behind it.

    Args:
        data: the bytes that hold it.
        offset: where it begins.
        content_type_prefix: the protected header up to the key; for other content types
            `protected_header(b"", content_type)`.

    Raises:
        MalformedError: anything but the one shape described above.
    """
    if data[offset : offset + 1] != b"\x84":
        raise MalformedError("not a COSE_Sign1")
    length = len(content_type_prefix) + KEY_BYTES
    start = offset + 1 + len(head(2, length))
    key_at, end = start + len(content_type_prefix), start + length
    if not data.startswith(head(2, length) + content_type_prefix, offset + 1) or end > len(data):
        raise MalformedError("unexpected protected header")
    if data[end : end + 1] != b"\xa0":
        raise MalformedError("unprotected header is not empty")
    payload, offset = read_bytes(data, end + 1)
    signature_at, behind = offset + 2, offset + 2 + SIGNATURE_BYTES
    if data[offset:signature_at] != _SIGNATURE_HEAD or behind > len(data):
        raise MalformedError("signature is not 64 bytes")
    return Sign1(data[start:end], data[key_at:end], payload, data[signature_at:behind]), behind


def sig_structure(protected: bytes, external_aad: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure of RFC 9052 section 4.4: the bytes that are signed.

    Args:
        protected: encoded protected header.
        external_aad: what both sides know and the signature binds (SHA-256 of the genesis).
        payload: the signed payload.
    """
    return b"".join(
        (
            b"\x84\x6aSignature1",
            head(2, len(protected)),
            protected,
            head(2, len(external_aad)),
            external_aad,
            head(2, len(payload)),
            payload,
        )
    )
