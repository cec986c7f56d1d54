"""The encrypted stream and byte ranges."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tallystick.dataplane import Grant, StreamCipher, new_content_key, take_fingerprint
from tallystick.dataplane.ranges import ByteRange, UnsatisfiableError, wanted_range
from tallystick.dataplane.refusals import SegmentAlteredError, SourceChangedError, StreamTruncatedError
from tallystick.dataplane.sending import Sender
from tests.unit.dataplane.test_fingerprints import GOLDEN, golden_folder

SEGMENT = 1 << 16


def golden_sender(folder: Path) -> Sender:
    """Return the sender of the golden delivery."""
    sidecar = take_fingerprint(folder, salt=bytes.fromhex(GOLDEN["salt"]))
    return Sender(Grant(GOLDEN["delivery"], "agr-1", "x", folder, sidecar, bytes.fromhex(GOLDEN["content_key"]), b""))


def test_stream_equals_the_golden_one(tmp_path: Path) -> None:
    """The encrypted stream of a folder is, byte for byte, what independent code makes."""
    sender = golden_sender(golden_folder(tmp_path))
    stream = bytes(sender.render(0, sender.layout.chunks))
    assert (sender.layout.segments, len(stream)) == (GOLDEN["segments"], GOLDEN["stream_bytes"])
    assert hashlib.sha256(stream).hexdigest() == GOLDEN["stream_sha256"]


def test_changed_source_is_refused_before_it_is_encrypted(tmp_path: Path) -> None:
    """One changed byte of the same size is found, with the file and the chunk."""
    folder = golden_folder(tmp_path)
    sender = golden_sender(folder)
    (folder / "a.csv").write_bytes(b"a,b\n1,3\n")
    with pytest.raises(SourceChangedError) as caught:
        sender.render(0, 3)
    assert (caught.value.file, caught.value.chunk) == ("a.csv", 1)
    (folder / "a.csv").unlink()
    with pytest.raises(SourceChangedError) as caught:
        sender.render(0, 3)
    assert (caught.value.file, caught.value.chunk) == ("a.csv", 1)


def test_segment_opens_in_its_place_alone() -> None:
    """Index, end and delivery are bound: the same bytes anywhere else are refused."""
    key = new_content_key()
    cipher = StreamCipher(key, "d1")
    sealed = cipher.seal(7, b"data", last=False)
    assert cipher.open(7, sealed, last=False) == b"data"
    for other, first, last in ((cipher, 8, False), (cipher, 7, True), (StreamCipher(key, "d2"), 7, False)):
        with pytest.raises(SegmentAlteredError):
            other.open(first, sealed, last=last)


def test_order_of_segments_is_bound() -> None:
    """Two whole segments exchanged are refused, by the index of the first that is wrong."""
    cipher = StreamCipher(new_content_key(), "d1")
    sealed = cipher.seal(0, bytes(2 * SEGMENT), last=True)
    half = SEGMENT + 16
    with pytest.raises(SegmentAlteredError, match="segment 0"):
        cipher.open(0, sealed[half:] + sealed[:half], last=True)
    with pytest.raises(SegmentAlteredError, match="segment 0"):
        cipher.open(0, sealed[:half], last=True)


def test_run_that_ends_within_a_tag_is_truncated() -> None:
    """Bytes too few for a segment are named as a cut."""
    cipher = StreamCipher(new_content_key(), "d1")
    for data in (b"", bytes(15), cipher.seal(0, bytes(SEGMENT + 1), last=True)[: SEGMENT + 20]):
        with pytest.raises(StreamTruncatedError):
            cipher.open(0, data, last=True)


def test_indexes_end_at_two_to_the_32() -> None:
    """No index is used twice by running over."""
    with pytest.raises(ValueError, match="out of range"):
        StreamCipher(new_content_key(), "d1").seal(2**32 - 1, bytes(SEGMENT + 1), last=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 100, False)),
        ("bytes=0-99", (0, 100, True)),
        ("bytes=10-19", (10, 20, True)),
        ("bytes=10-", (10, 100, True)),
        ("bytes=-10", (90, 100, True)),
        ("bytes=-1000", (0, 100, True)),
        ("bytes=90-1000", (90, 100, True)),
        ("bytes=5-4", (0, 100, False)),
        ("bytes=0-1,5-6", (0, 100, False)),
        ("bytes=-", (0, 100, False)),
        ("bytes=a-b", (0, 100, False)),
        ("bytes=+1-2", (0, 100, False)),
        ("chunks=0-1", (0, 100, False)),
        ("bytes 0-1", (0, 100, False)),
        ("bytes=" + "9" * 90 + "-", (0, 100, False)),
    ],
)
def test_ranges_follow_rfc_9110(header: str | None, expected: tuple[int, int, bool]) -> None:
    """One range of bytes is honoured; what is malformed or of several ranges is answered with the whole."""
    assert wanted_range(header, None, '"tag"', 100) == ByteRange(*expected)


def test_range_behind_the_end_cannot_be_satisfied() -> None:
    """A range without a byte of the thing is refused; one for another version of it is ignored."""
    for header in ("bytes=100-", "bytes=100-200", "bytes=-0"):
        with pytest.raises(UnsatisfiableError):
            wanted_range(header, None, '"tag"', 100)
    assert wanted_range("bytes=10-", '"other"', '"tag"', 100) == ByteRange(0, 100, False)
    assert wanted_range("bytes=10-", '"tag"', '"tag"', 100) == ByteRange(10, 100, True)
