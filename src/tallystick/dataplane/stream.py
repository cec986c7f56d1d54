"""Encryption of a delivery: AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, 2015).

- nonce: 7 zero bytes, the segment's index as 4 bytes big-endian, 1 byte that is 1 for the stream's last segment, else 0;
- associated data: "tallystick/segment-v1", a zero byte, the delivery's id behind its length in one byte, then the same
  index and last byte as in the nonce.

Rules:

- A key serves one delivery of one version and nothing else; so the nonce needs no random part, and any range of
  segments can be encrypted again, to the same bytes, when a transfer is resumed.
- Two plaintexts under one nonce would break AES-GCM. Whoever encrypts therefore first checks that the chunk is the one
  that the fingerprint is over: a source that has changed is refused before it is encrypted, not after.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.dataplane.layout import MAX_SEGMENTS, SEGMENT_BYTES, TAG_BYTES, segments_in
from tallystick.dataplane.refusals import SegmentAlteredError, StreamExtendedError, StreamTruncatedError

KEY_BYTES = 32
Buffer = bytes | bytearray | memoryview
_PREFIX: Final = bytes(7)
_TAG: Final = b"tallystick/segment-v1\x00"


def new_content_key() -> bytes:
    """Return a fresh key for one delivery of one version."""
    return AESGCM.generate_key(256)


class StreamCipher:
    """Encrypts and decrypts runs of segments of one delivery; safe to use from several threads."""

    def __init__(self, key: bytes, delivery: str) -> None:
        """Prepare.

        Args:
            key: 32 bytes, of this delivery and version alone.
            delivery: its id, at most 255 ASCII bytes.
        """
        name = delivery.encode("ascii")
        self._aead = AESGCM(key)
        self._bound = _TAG + bytes((len(name),)) + name

    def seal_into(self, first: int, plaintext: Buffer, out: memoryview, *, last: bool) -> int:
        """Encrypt a run of segments.

        Args:
            first: index of the first segment.
            plaintext: the run; every segment but its last is 64 KiB.
            out: where the ciphertext goes.
            last: whether the run ends the stream.

        Returns:
            bytes written.
        """
        data = memoryview(plaintext)
        count = _checked_run(first, len(data))
        written = 0
        for position in range(count):
            piece = data[position * SEGMENT_BYTES : (position + 1) * SEGMENT_BYTES]
            tail = _tail(first + position, last and position == count - 1)
            end = written + len(piece) + TAG_BYTES
            self._aead.encrypt_into(_PREFIX + tail, piece, self._bound + tail, out[written:end])
            written = end
        return written

    def open_into(self, first: int, ciphertext: Buffer, out: memoryview, *, last: bool) -> int:
        """Decrypt and check a run of segments.

        Args:
            first: index of the first segment.
            ciphertext: the run.
            out: where the plaintext goes; what it holds after a refusal is not to be used.
            last: whether the run is to end the stream.

        Returns:
            bytes written.

        Raises:
            SegmentAlteredError: a segment was altered or moved, or belongs to another delivery or end.
            StreamTruncatedError: the run ends within a segment.
        """
        data = memoryview(ciphertext)
        whole = SEGMENT_BYTES + TAG_BYTES
        count = max(1, -(-len(data) // whole))
        if len(data) - (count - 1) * whole < TAG_BYTES:
            raise truncated(first + count - 1)
        _checked_run(first, len(data) - count * TAG_BYTES)
        written = 0
        for position in range(count):
            piece = data[position * whole : (position + 1) * whole]
            tail = _tail(first + position, last and position == count - 1)
            end = written + len(piece) - TAG_BYTES
            try:
                self._aead.decrypt_into(_PREFIX + tail, piece, self._bound + tail, out[written:end])
            except InvalidTag:
                raise altered(first + position) from None
            written = end
        return written

    def seal(self, first: int, plaintext: Buffer, *, last: bool) -> bytes:
        """Encrypt a run of segments; see `seal_into`."""
        size = memoryview(plaintext).nbytes
        out = bytearray(size + segments_in(size) * TAG_BYTES)
        self.seal_into(first, plaintext, memoryview(out), last=last)
        return bytes(out)

    def open(self, first: int, ciphertext: Buffer, *, last: bool) -> bytes:
        """Decrypt and check a run of segments; see `open_into`."""
        out = bytearray(memoryview(ciphertext).nbytes)
        return bytes(out[: self.open_into(first, ciphertext, memoryview(out), last=last)])


def _tail(index: int, last: bool) -> bytes:
    return index.to_bytes(4, "big") + (b"\x01" if last else b"\x00")


def _checked_run(first: int, size: int) -> int:
    count = segments_in(size)
    if first < 0 or first + count > MAX_SEGMENTS:
        raise ValueError("segment index out of range")
    return count


def altered(segment: int) -> SegmentAlteredError:
    """Return the refusal of a segment."""
    return SegmentAlteredError(
        f"segment {segment} of the delivery does not authenticate: it was altered, moved or is of another delivery",
        remedy="Fetch again; if it repeats, the provider or something between sends altered data: tell its data officer.",
    )


def truncated(segment: int) -> StreamTruncatedError:
    """Return the refusal of a stream that ends early."""
    return StreamTruncatedError(
        f"the delivery ends early, at segment {segment}", remedy="Fetch again: it goes on from the last verified chunk."
    )


def extended() -> StreamExtendedError:
    """Return the refusal of a stream that does not end where it should."""
    return StreamExtendedError(
        "the delivery goes on after its last segment",
        remedy="Tell the provider's data officer; nothing was kept of it.",
    )
