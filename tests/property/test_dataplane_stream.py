"""Laws of the encrypted stream: any range equals a slice, and nothing altered comes out."""

from __future__ import annotations

import functools
import itertools
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.dataplane import Grant, build_package, new_content_key, take_fingerprint
from tallystick.dataplane.layout import Layout
from tallystick.dataplane.receiving import Opener, Receiver
from tallystick.dataplane.refusals import (
    ChunkMismatchError,
    ManifestError,
    SegmentAlteredError,
    StreamExtendedError,
    StreamTruncatedError,
    UnsafePathError,
)
from tallystick.dataplane.sending import Sender
from tallystick.dataplane.sources import decode_manifest

SEGMENT, MIB = 1 << 16, 1 << 20
EDGES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, MIB - 1, MIB, MIB + 1, MIB + SEGMENT + 1]
SIZES = st.lists(st.sampled_from(EDGES) | st.integers(0, 300), min_size=1, max_size=5)


class Sample:
    """A delivery of some files, its whole stream and what it decrypts to."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        self.data = [os.urandom(size) for size in sizes]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "data"
            source.mkdir()
            for index, data in enumerate(self.data):
                (source / f"{index}.bin").write_bytes(data)
            sidecar, key = take_fingerprint(source), new_content_key()
            self.sender = Sender(Grant("d1", "agr-1", "x", source, sidecar, key, b""))
            self.layout = self.sender.layout
            self.stream = bytes(self.sender.render(0, self.layout.chunks))
        package = build_package(sidecar, delivery="d1", agreement="agr-1", content_key=key, expires_ms=0)
        self.opener = Opener(package, sidecar.leaves)
        self.clear = sidecar.manifest_bytes + b"".join(self.data)

    def receive(self, stream: bytes, piece: int = 1 << 30, first: int = 0) -> bytes:
        """Return what a stream decrypts to, fed in pieces."""
        receiver = Receiver(self.opener, self.layout, first)
        out = b""
        for at in range(0, len(stream), piece):
            for _, chunk in receiver.feed(stream[at : at + piece]):
                out += chunk
        receiver.finish()
        return out


@functools.lru_cache(maxsize=4)
def sample(sizes: tuple[int, ...]) -> Sample:
    """Return a delivery of files of these sizes."""
    return Sample(sizes)


SMALL = (0, SEGMENT + 1, 100)


@given(SIZES, st.integers(1, 3 * MIB))
def test_stream_decrypts_to_what_was_sent(sizes: list[int], piece: int) -> None:
    """Whatever the sizes of files and of pieces, manifest and files come out as they went in."""
    found = sample(tuple(sizes))
    assert found.receive(found.stream, max(piece, len(found.stream) // 200 + 1)) == found.clear


@given(SIZES, st.data())
def test_layout_places_every_chunk_once(sizes: list[int], data: st.DataObject) -> None:
    """Chunks follow one another without gap in every measure, and each byte of ciphertext is found in its chunk."""
    layout = Layout(data.draw(st.integers(2, 3 * MIB)), sizes)
    places = [layout.place(chunk) for chunk in range(layout.chunks)]
    for before, after in itertools.pairwise(places):
        assert after.cipher_offset == before.cipher_offset + before.cipher_size
        assert after.segment == before.segment + max(1, -(-before.size // SEGMENT))
        assert (after.part, after.offset) in ((before.part, before.offset + before.size), (before.part + 1, 0))
    assert [place.last for place in places] == [False] * (len(places) - 1) + [True]
    assert places[-1].cipher_offset + places[-1].cipher_size == layout.cipher_size
    at = data.draw(st.integers(0, layout.cipher_size - 1))
    place = layout.place(layout.chunk_at(at))
    assert place.cipher_offset <= at < place.cipher_offset + place.cipher_size
    assert [place for run in layout.batches(0, layout.chunks) for place in run] == places


@pytest.mark.parametrize("sizes", [SMALL, (2 * MIB + 5, 0, 0, 7, MIB)])
def test_any_range_equals_a_slice(sizes: tuple[int, ...], tmp_path: Path) -> None:
    """Any range rendered alone equals the same slice of the whole stream."""
    source = tmp_path / "data"
    source.mkdir()
    for index, size in enumerate(sizes):
        (source / f"{index}.bin").write_bytes(os.urandom(size))
    sender = Sender(Grant("d1", "agr-1", "x", source, take_fingerprint(source), new_content_key(), b""))
    whole = bytes(sender.render(0, sender.layout.chunks))

    @given(st.integers(0, len(whole) - 1), st.integers(0, len(whole) - 1))
    def check(one: int, two: int) -> None:
        start, end = min(one, two), max(one, two) + 1
        parts = [
            sender.trim(first, sender.render(first, last), start, end) for first, last in sender.batches(start, end)
        ]
        assert b"".join(parts) == whole[start:end]

    check()


@given(st.data())
def test_altered_stream_is_refused(data: st.DataObject) -> None:
    """Any flipped bit is refused, and nothing of its chunk comes out."""
    found = sample(SMALL)
    at = data.draw(st.integers(0, len(found.stream) - 1))
    changed = bytearray(found.stream)
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SegmentAlteredError):
        found.receive(bytes(changed))


@given(st.integers(0, 10**9))
def test_truncated_stream_is_refused(cut: int) -> None:
    """A stream cut anywhere, also between chunks, is refused as truncated."""
    found = sample(SMALL)
    with pytest.raises(StreamTruncatedError):
        found.receive(found.stream[: cut % len(found.stream)])


@given(st.binary(min_size=1, max_size=100))
def test_extended_stream_is_refused(more: bytes) -> None:
    """Bytes behind the last segment are refused as an extension."""
    found = sample(SMALL)
    with pytest.raises(StreamExtendedError):
        found.receive(found.stream + more)


@given(st.data())
def test_reordered_chunks_are_refused(data: st.DataObject) -> None:
    """Chunks of equal size in another order are refused; so is the stream begun at another chunk."""
    found = sample((500, 500, 500))
    pieces = [
        found.stream[place.cipher_offset : place.cipher_offset + place.cipher_size]
        for place in map(found.layout.place, range(found.layout.chunks))
    ]
    order = data.draw(st.permutations([1, 2, 3]).filter(lambda order: order != [1, 2, 3]))
    with pytest.raises(SegmentAlteredError):
        found.receive(b"".join([pieces[0], *(pieces[index] for index in order)]))
    with pytest.raises(SegmentAlteredError):
        found.receive(b"".join(pieces[1:3]), first=2)


@given(st.data())
def test_another_deliverys_chunk_is_refused(data: st.DataObject) -> None:
    """A chunk from another delivery of the same sizes does not pass."""
    one, other = Sample((500, 500)), Sample((500, 500))
    place = one.layout.place(data.draw(st.integers(0, 2)))
    end = place.cipher_offset + place.cipher_size
    mixed = one.stream[: place.cipher_offset] + other.stream[place.cipher_offset : end] + one.stream[end:]
    with pytest.raises((SegmentAlteredError, ChunkMismatchError)):
        one.receive(mixed)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_garbage_is_no_manifest(data: bytes) -> None:
    """Whatever bytes come as a manifest, they are refused by name."""
    with pytest.raises((ManifestError, UnsafePathError)):
        decode_manifest(data)
