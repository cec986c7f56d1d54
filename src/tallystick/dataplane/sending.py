"""The provider's half without the network: any range of a delivery's encrypted stream, each chunk verified first.

Rule: a chunk is encrypted only after its leaf was compared with the sidecar's. That keeps a changed source from being
sent as what was agreed, and keeps two different plaintexts from ever meeting the same key and nonce (see `stream`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from tallystick.dataplane.fingerprints import LeafHasher, read_place
from tallystick.dataplane.layout import BATCH_BYTES, Layout, Place
from tallystick.dataplane.ports import Grant
from tallystick.dataplane.refusals import SourceChangedError
from tallystick.dataplane.sources import Source
from tallystick.dataplane.stream import StreamCipher

MANIFEST_NAME = "the manifest"


class Sender:
    """Renders parts of one delivery's encrypted stream; safe to use from several threads."""

    def __init__(self, grant: Grant) -> None:
        """Prepare.

        Args:
            grant: what the policy gave.
        """
        sidecar = grant.sidecar
        self._sidecar = sidecar
        self._manifest = sidecar.manifest_bytes
        self._source = Source(grant.source, sidecar.manifest())
        self._hasher = LeafHasher(sidecar.fingerprint.salt)
        self._cipher = StreamCipher(grant.content_key, grant.delivery)
        self.layout: Layout = sidecar.layout()

    def batches(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of chunks that hold the bytes `start` to `end` (not included), as (first, end) of each.

        Args:
            start: offset in the encrypted stream.
            end: greater than `start`, at most the stream's size.
        """
        first, last = self.layout.chunk_at(start), self.layout.chunk_at(end - 1)
        for run in self.layout.batches(first, last + 1, BATCH_BYTES):
            yield run[0].chunk, run[-1].chunk + 1

    def trim(self, first: int, ciphertext: bytearray, start: int, end: int) -> memoryview:
        """Return what a rendered run holds of the bytes `start` to `end` (not included) of the stream.

        Args:
            first: index of the run's first chunk.
            ciphertext: what `render` returned for it.
            start: offset in the encrypted stream.
            end: offset after the last byte wanted.
        """
        offset = self.layout.place(first).cipher_offset
        return memoryview(ciphertext)[max(0, start - offset) : end - offset]

    def render(self, first: int, end: int) -> bytearray:
        """Return the ciphertext of the chunks `first` to `end` (not included), each verified before it is encrypted.

        Raises:
            SourceChangedError: a chunk is not what the fingerprint is over, or its file is gone.
        """
        places = [self.layout.place(chunk) for chunk in range(first, end)]
        out = bytearray(sum(place.cipher_size for place in places))
        view = memoryview(out)
        buffer = memoryview(bytearray(max(place.size for place in places)))
        part, descriptor, written = 0, -1, 0
        try:
            for place in places:
                if place.part != part:
                    if descriptor >= 0:
                        os.close(descriptor)
                        descriptor = -1
                    part = place.part
                    descriptor = self._open(place)
                chunk = self._verified(place, descriptor, buffer)
                written += self._cipher.seal_into(place.segment, chunk, view[written:], last=place.last)
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return out

    def _open(self, place: Place) -> int:
        try:
            return self._source.open_file(place.part - 1)
        except SourceChangedError as error:
            error.file, error.chunk = self._source.manifest.files[place.part - 1].path, place.chunk
            raise

    def _verified(self, place: Place, descriptor: int, buffer: memoryview) -> bytes | memoryview:
        if place.part == 0:
            chunk: bytes | memoryview = self._manifest[place.offset : place.offset + place.size]
            path = MANIFEST_NAME
        else:
            path = self._source.manifest.files[place.part - 1].path
            chunk = read_place(descriptor, place, buffer, path)
        if self._hasher.leaf(place.chunk, chunk) != self._sidecar.leaf(place.chunk):
            raise SourceChangedError.at(path, place.chunk)
        return chunk
