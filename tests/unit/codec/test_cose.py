"""The COSE frame has one shape, and no other bytes pass for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cbor2
import pytest
from nacl.signing import SigningKey, VerifyKey

from tallystick.codec import MalformedError, Sign1, decode_sign1, encode_sign1, protected_header, sig_structure
from tallystick.codec.cose import head, read_bytes, read_head

VECTORS = Path(__file__).parents[2] / "vectors" / "codec"
FRAMES = json.loads((VECTORS / "frames.json").read_text())["frames"]
KEY = bytes(range(32))
SIGNATURE = bytes(range(64))
PROTECTED = protected_header(KEY)


def frame(payload: bytes = b"payload") -> bytes:
    """Return a frame whose signature nobody checks here."""
    return encode_sign1(PROTECTED, payload, SIGNATURE)


@pytest.mark.parametrize("case", FRAMES, ids=lambda case: case["payload_bytes"])
def test_frames_of_another_library(case: dict[str, str]) -> None:
    """Header, Sig_structure and frame are those that cbor2 makes deterministically, at every length of a length."""
    payload = case["payload_character"].encode() * int(case["payload_bytes"])
    key, aad, signature = (bytes.fromhex(case[name]) for name in ("key", "external_aad", "signature"))
    protected = protected_header(key)
    signed = sig_structure(protected, aad, payload)
    encoded = encode_sign1(protected, payload, signature)

    assert case["protected"] == protected.hex()
    assert case["sig_structure_sha256"] == hashlib.sha256(signed).hexdigest()
    assert case["frame_sha256"] == hashlib.sha256(encoded).hexdigest()
    assert (Sign1(protected, key, payload, signature), len(encoded)) == decode_sign1(encoded)
    assert signed == VerifyKey(key).verify(signed, signature)


def test_shape_of_rfc_9052() -> None:
    """The frame is the untagged COSE_Sign1 of RFC 9052, and the Sig_structure its section 4.4."""
    private = SigningKey(bytes(32))
    protected = protected_header(private.verify_key.encode())

    assert [protected, {}, b"p", SIGNATURE] == cbor2.loads(encode_sign1(protected, b"p", SIGNATURE))
    assert {1: -8, 3: "application/vnd.tallystick.transaction+json", 4: private.verify_key.encode()} == cbor2.loads(
        protected
    )
    assert ["Signature1", protected, b"aad", b"p"] == cbor2.loads(sig_structure(protected, b"aad", b"p"))


def test_frame_is_read_where_it_stands() -> None:
    """A frame inside other bytes is read from its offset, and the offset behind it returned."""
    data = b"before" + frame() + b"behind"

    found, end = decode_sign1(data, 6)

    assert b"payload" == found.payload
    assert b"behind" == data[end:]


def test_other_content_types_need_their_own_prefix() -> None:
    """A frame of another content type is refused unless it was asked for."""
    protected = protected_header(KEY, "application/other")
    data = encode_sign1(protected, b"p", SIGNATURE)

    with pytest.raises(MalformedError, match="unexpected protected header"):
        decode_sign1(data)
    assert KEY == decode_sign1(data, 0, protected_header(b"", "application/other"))[0].key


HEADER = cbor2.loads(PROTECTED)
OTHER_SHAPES = {
    "tagged": b"\xd2" + frame(),
    "not an array": b"\xa0",
    "three items": b"\x83" + frame()[1:],
    "five items": b"\x85" + frame()[1:] + b"\xf6",
    "long array head": b"\x98\x04" + frame()[1:],
    "indefinite array": b"\x9f" + frame()[1:] + b"\xff",
    "unprotected with an entry": frame().replace(b"\xa0\x47", b"\xa1\x01\x02\x47", 1),
    "unprotected with a long head": frame().replace(b"\xa0\x47", b"\xb8\x00\x47", 1),
    "unprotected indefinite": frame().replace(b"\xa0\x47", b"\xbf\xff\x47", 1),
    "unprotected null": frame().replace(b"\xa0\x47", b"\xf6\x47", 1),
    "payload detached": frame().replace(b"\xa0\x47payload", b"\xa0\xf6", 1),
    "payload as text": frame().replace(b"\xa0\x47", b"\xa0\x67", 1),
    "payload length in 2 bytes": frame().replace(b"\xa0\x47", b"\xa0\x58\x07", 1),
    "payload length in 3 bytes": frame().replace(b"\xa0\x47", b"\xa0\x59\x00\x07", 1),
    "payload length in 5 bytes": frame().replace(b"\xa0\x47", b"\xa0\x5a\x00\x00\x00\x07", 1),
    "payload length in 9 bytes": frame().replace(b"\xa0\x47", b"\xa0\x5b" + b"\x00" * 7 + b"\x07", 1),
    "payload in pieces": frame().replace(b"\xa0\x47payload", b"\xa0\x5f\x47payload\xff", 1),
    "payload longer than what follows": frame().replace(b"\xa0\x47", b"\xa0\x5a\x7f\xff\xff\xff", 1),
    "reserved head": frame().replace(b"\xa0\x47", b"\xa0\x5c", 1),
    "signature of 63": encode_sign1(PROTECTED, b"p", b"")[:-2] + b"\x58\x3f" + SIGNATURE[:63],
    "signature of 65": encode_sign1(PROTECTED, b"p", b"")[:-2] + b"\x58\x41" + SIGNATURE + b"\x00",
    "signature with a long head": encode_sign1(PROTECTED, b"p", b"")[:-2] + b"\x59\x00\x40" + SIGNATURE,
    "empty protected": encode_sign1(b"", b"p", SIGNATURE),
    "protected as a map": b"\x84" + PROTECTED + b"\xa0\x41p\x58\x40" + SIGNATURE,
    "protected in another order": encode_sign1(cbor2.dumps({4: KEY, 1: -8, 3: HEADER[3]}), b"p", SIGNATURE),
    "another algorithm": encode_sign1(cbor2.dumps({1: -7, 3: HEADER[3], 4: KEY}, canonical=True), b"p", SIGNATURE),
    "no key": encode_sign1(cbor2.dumps({1: -8, 3: HEADER[3]}, canonical=True), b"p", SIGNATURE),
    "short key": encode_sign1(cbor2.dumps({1: -8, 3: HEADER[3], 4: KEY[:31]}, canonical=True), b"p", SIGNATURE),
    "a header more": encode_sign1(cbor2.dumps({**HEADER, 5: b"x"}, canonical=True), b"p", SIGNATURE),
    "long algorithm": encode_sign1(PROTECTED.replace(b"\x01\x27", b"\x01\x38\x07", 1), b"p", SIGNATURE),
    "bytes behind the protected map": encode_sign1(PROTECTED + b"\x00", b"p", SIGNATURE),
    "protected length with a long head": frame().replace(b"\x58", b"\x59\x00", 1),
    "nothing": b"",
}


@pytest.mark.parametrize("data", OTHER_SHAPES.values(), ids=OTHER_SHAPES.keys())
def test_every_other_shape_is_refused(data: bytes) -> None:
    """Other encodings of the same frame, tags, extra items and unprotected headers are malformed."""
    assert data != frame()
    with pytest.raises(MalformedError):
        decode_sign1(data)


def test_a_frame_that_ends_early_is_refused() -> None:
    """Every cut of a frame is malformed."""
    data = frame()
    for length in range(len(data)):
        with pytest.raises(MalformedError):
            decode_sign1(data[:length])


@pytest.mark.parametrize("value", [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1])
def test_heads_are_the_shortest(value: int) -> None:
    """Heads are those of deterministic CBOR and are read back; a wrong type or a cut is refused."""
    encoded = head(2, value)

    assert cbor2.dumps(value, canonical=True)[1:] == encoded[1:]
    assert (value, len(encoded)) == read_head(encoded, 0, 2)
    with pytest.raises(MalformedError, match="wrong CBOR type"):
        read_head(encoded, 0, 3)
    for length in range(len(encoded)):
        with pytest.raises(MalformedError, match="CBOR ends early"):
            read_head(encoded[:length], 0, 2)


def test_lengths_of_four_gibibytes_are_refused() -> None:
    """Nothing here is as long as to need a length of eight bytes."""
    with pytest.raises(MalformedError, match="out of range"):
        read_head(head(2, 2**32), 0, 2)
    with pytest.raises(MalformedError, match="ends early"):
        read_bytes(head(2, 2**32 - 1) + b"x", 0)
