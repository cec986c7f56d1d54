"""Where everything is: how files become chunks, and chunks become segments of the encrypted stream.

The stream of a delivery is the manifest and then the files, in order. Each of them is cut into chunks of 1 MiB, the last
one shorter; an empty file is one empty chunk. Each chunk is cut into segments of 64 KiB, the last one shorter; an empty
chunk is one empty segment. A segment never spans two chunks and a chunk never spans two files, so that one chunk can be
verified, encrypted, sent, received and verified again alone. A segment of n bytes takes n + 16 bytes of ciphertext.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tallystick.merkle.commitments import CHUNK_BYTES as CHUNK_BYTES

SEGMENT_BYTES = 1 << 16
TAG_BYTES = 16
SEGMENTS_PER_CHUNK = CHUNK_BYTES // SEGMENT_BYTES
MAX_SEGMENTS = 2**32
MAX_CHUNKS = 2**24
BATCH_BYTES = 1 << 20


class Place(NamedTuple):
    """Where one chunk is.

    Attributes:
        chunk: its index, from 0; also the index of its leaf.
        part: 0 for the manifest, n for the n-th file.
        offset: of its first byte within the part.
        size: bytes of plaintext.
        segment: index of its first segment.
        cipher_offset: of its first byte in the encrypted stream.
        cipher_size: bytes of ciphertext.
        last: whether the stream ends with it.
    """

    chunk: int
    part: int
    offset: int
    size: int
    segment: int
    cipher_offset: int
    cipher_size: int
    last: bool


def chunks_in(size: int) -> int:
    """Return into how many chunks a part of this many bytes is cut."""
    return max(1, -(-size // CHUNK_BYTES))


def segments_in(size: int) -> int:
    """Return into how many segments a part or chunk of this many bytes is cut."""
    return max(1, -(-size // SEGMENT_BYTES))


class Layout:
    """The stream of one dataset.

    Attributes:
        chunks: how many, the manifest's included.
        segments: how many.
        size: bytes of plaintext, the manifest's included.
        cipher_size: bytes of ciphertext.
        manifest_chunks: how many of the chunks are the manifest's; 1 unless it is very long.
    """

    def __init__(self, manifest_size: int, file_sizes: Sequence[int]) -> None:
        """Lay out a stream.

        Args:
            manifest_size: bytes of the manifest's canonical JSON.
            file_sizes: bytes of each file, in order.

        Raises:
            ValueError: more than 2^32 segments or 2^24 chunks.
        """
        self._sizes = (manifest_size, *file_sizes)
        self._first_chunk: list[int] = []
        self._first_segment: list[int] = []
        self._cipher_offset: list[int] = []
        chunk = segment = cipher = 0
        for size in self._sizes:
            self._first_chunk.append(chunk)
            self._first_segment.append(segment)
            self._cipher_offset.append(cipher)
            chunk += chunks_in(size)
            segment += segments_in(size)
            cipher += size + TAG_BYTES * segments_in(size)
        if chunk > MAX_CHUNKS or segment > MAX_SEGMENTS:
            raise ValueError("too large for one delivery")
        self.chunks, self.segments, self.cipher_size = chunk, segment, cipher
        self.size = sum(self._sizes)
        self.manifest_chunks = chunks_in(manifest_size)

    def place(self, chunk: int) -> Place:
        """Return where a chunk is.

        Raises:
            IndexError: there is no such chunk.
        """
        if not 0 <= chunk < self.chunks:
            raise IndexError("no such chunk")
        part = bisect_right(self._first_chunk, chunk) - 1
        within = chunk - self._first_chunk[part]
        offset = within * CHUNK_BYTES
        size = min(CHUNK_BYTES, self._sizes[part] - offset)
        return Place(
            chunk,
            part,
            offset,
            size,
            self._first_segment[part] + within * SEGMENTS_PER_CHUNK,
            self._cipher_offset[part] + within * (CHUNK_BYTES + SEGMENTS_PER_CHUNK * TAG_BYTES),
            size + segments_in(size) * TAG_BYTES,
            chunk == self.chunks - 1,
        )

    def chunk_at(self, cipher_offset: int) -> int:
        """Return the chunk that holds a byte of ciphertext.

        Raises:
            IndexError: the stream has no such byte.
        """
        if not 0 <= cipher_offset < self.cipher_size:
            raise IndexError("no such byte")
        part = bisect_right(self._cipher_offset, cipher_offset) - 1
        within = (cipher_offset - self._cipher_offset[part]) // (CHUNK_BYTES + SEGMENTS_PER_CHUNK * TAG_BYTES)
        return self._first_chunk[part] + min(within, chunks_in(self._sizes[part]) - 1)

    def batches(self, first: int, end: int, limit: int = BATCH_BYTES) -> Iterator[list[Place]]:
        """Yield runs of consecutive chunks worth one piece of work: at most `limit` bytes, at least one chunk.

        Args:
            first: index of the first chunk.
            end: index after the last.
            limit: bytes of plaintext a run; many small files share one.
        """
        run: list[Place] = []
        held = 0
        for chunk in range(first, end):
            place = self.place(chunk)
            # 256 chunks at most: a run of empty files has no bytes, but work all the same.
            if run and (held + place.size > limit or len(run) == 256):
                yield run
                run, held = [], 0
            run.append(place)
            held += place.size
        if run:
            yield run
