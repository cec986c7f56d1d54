"""Bundles: one form for the same transactions, and nothing else is one."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.codec import MalformedError, bundles
from tallystick.codec.bundles import STREAM_BYTES, bundled_bytes, decode_bundle, encode_bundle

RAWS = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8)


@given(RAWS)
def test_transactions_come_out_as_they_went_in(transactions):
    """Each has its bytes and its place."""
    assert transactions == decode_bundle(encode_bundle(transactions))


@given(RAWS)
def test_no_bundle_is_longer_than_its_transactions_are_counted(transactions):
    """Also what cannot be compressed has room where it was counted in, but for the stream's own few bytes."""
    assert len(encode_bundle(transactions)) <= STREAM_BYTES + sum(map(bundled_bytes, transactions))


@given(st.binary(max_size=200))
def test_other_bytes_are_refused_and_never_trip(content):
    """Whatever the bytes are, they are a bundle or a clear error."""
    for raw in (content, zlib.compress(content)):
        try:
            found = decode_bundle(raw)
        except MalformedError:
            continue
        assert found == decode_bundle(encode_bundle(found))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        zlib.compress(b""),
        zlib.compress(b"\x00\x00\x00\x00"),
        zlib.compress(b"\x00\x00\x00\x02x"),
        zlib.compress(b"\x00\x00\x00\x01x\x00"),
        encode_bundle([b"x"]) + b"more",
        encode_bundle([b"x"])[:-1],
    ],
)
def test_what_is_no_bundle(raw):
    """Empty, cut off, or with something behind it."""
    with pytest.raises(MalformedError):
        decode_bundle(raw)


def test_a_bundle_is_not_unpacked_beyond_its_bound(monkeypatch):
    """A few bytes that would become many are no bundle, and are not made into them."""
    monkeypatch.setattr(bundles, "MAX_BUNDLE_BYTES", 10_000)
    assert [b"x" * 9_996] == decode_bundle(encode_bundle([b"x" * 9_996]))
    with pytest.raises(MalformedError):
        decode_bundle(encode_bundle([b"x" * 9_997]))


def test_a_bundle_of_too_many_is_refused():
    """So many and no more; what is beyond them is not taken apart."""
    assert 3 == len(decode_bundle(encode_bundle([b"x"] * 3), most=3))
    with pytest.raises(MalformedError, match="more than 3"):
        decode_bundle(encode_bundle([b"x"] * 4), most=3)
