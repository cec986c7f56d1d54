"""The COSE frame against an independent CBOR library, and against garbage."""

from __future__ import annotations

import cbor2
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec import MalformedError, Sign1, decode_sign1, encode_sign1, protected_header, sig_structure
from tallystick.codec.cose import head, read_head

KEYS = st.binary(min_size=32, max_size=32)
SIGNATURES = st.binary(min_size=64, max_size=64)
PAYLOADS = st.binary(max_size=600)


@given(KEYS, PAYLOADS, SIGNATURES)
def test_frames_are_deterministic_cbor(key: bytes, payload: bytes, signature: bytes) -> None:
    """A frame is what another library encodes deterministically, and reads back."""
    protected = protected_header(key)
    data = encode_sign1(protected, payload, signature)

    assert cbor2.dumps([protected, {}, payload, signature], canonical=True) == data
    assert (Sign1(protected, key, payload, signature), len(data)) == decode_sign1(data)


@given(KEYS, PAYLOADS, st.binary(max_size=64))
def test_what_is_signed_is_deterministic_cbor(key: bytes, payload: bytes, aad: bytes) -> None:
    """The Sig_structure is what another library encodes."""
    protected = protected_header(key)

    assert cbor2.dumps(["Signature1", protected, aad, payload], canonical=True) == sig_structure(
        protected, aad, payload
    )


@given(KEYS, PAYLOADS, SIGNATURES, st.data())
def test_what_is_accepted_is_the_one_encoding(
    key: bytes, payload: bytes, signature: bytes, data: st.DataObject
) -> None:
    """Changed, cut and lengthened frames are refused or encode back to the very bytes that were read."""
    good = encode_sign1(protected_header(key), payload, signature)
    place = data.draw(st.integers(0, len(good)))
    cut = data.draw(st.integers(0, 4))
    changed = good[:place] + data.draw(st.binary(max_size=4)) + good[place + cut :]
    try:
        frame, end = decode_sign1(changed)
    except MalformedError:
        return

    assert changed[:end] == encode_sign1(frame.protected, frame.payload, frame.signature)
    assert frame.protected == protected_header(frame.key)


@given(st.binary(max_size=300))
def test_garbage_is_malformed(data: bytes) -> None:
    """Any bytes are a frame or malformed, and nothing else happens."""
    try:
        frame, end = decode_sign1(b"\x84" + data)
    except MalformedError:
        return

    assert (b"\x84" + data)[:end] == encode_sign1(frame.protected, frame.payload, frame.signature)


@given(st.binary(max_size=10), st.integers(0, 7))
def test_heads_are_read_in_their_shortest_form_only(data: bytes, major: int) -> None:
    """A head that is read is the one that would be written."""
    try:
        value, end = read_head(data, 0, major)
    except MalformedError:
        return

    assert head(major, value) == data[:end]
