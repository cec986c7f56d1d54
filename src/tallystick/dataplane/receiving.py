"""The consumer's half without network or disk: bytes of the encrypted stream in, verified chunks out.

Rules:

- Nothing comes out that was not decrypted, authenticated for its place in this delivery, and found to be the chunk that
  the fingerprint is over.
- A stream that ends early, goes on too long, or has anything altered, moved or left out is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.dataplane.fingerprints import LeafHasher
from tallystick.dataplane.layout import CHUNK_BYTES, Layout, Place
from tallystick.dataplane.package import KeyPackage
from tallystick.dataplane.refusals import ChunkMismatchError, FingerprintError, ManifestError
from tallystick.dataplane.sidecars import HASH_BYTES, split_leaves
from tallystick.dataplane.sources import Manifest, decode_manifest
from tallystick.dataplane.stream import Buffer, StreamCipher, extended, truncated
from tallystick.merkle import root_from_hashes


class Opener:
    """Decrypts and verifies chunks of one delivery; safe to use from several threads."""

    def __init__(self, package: KeyPackage, leaves: bytes) -> None:
        """Check the leaves against the fingerprint and prepare.

        Args:
            package: the opened key package.
            leaves: 32 bytes for each chunk, as the provider sent them.

        Raises:
            FingerprintError: these leaves do not give this fingerprint.
        """
        hashes = split_leaves(leaves)
        if len(leaves) != package.chunks * HASH_BYTES or root_from_hashes(hashes).hex() != package.fingerprint:
            raise FingerprintError(
                "the provider's list of chunk hashes does not give the agreed fingerprint",
                remedy="Nothing was kept. Tell the provider's data officer.",
            )
        self.package = package
        self._leaves = leaves
        self._hasher = LeafHasher(bytes.fromhex(package.salt))
        self._cipher = StreamCipher(bytes.fromhex(package.content_key), package.delivery)

    def open_chunk(self, place: Place, ciphertext: Buffer, out: memoryview) -> memoryview:
        """Decrypt one chunk, check it, and return the part of `out` that it fills.

        Args:
            place: where the chunk is.
            ciphertext: exactly its segments.
            out: at least `place.size` bytes.

        Raises:
            SegmentAlteredError: a segment does not authenticate.
            ChunkMismatchError: the chunk is not the one that the fingerprint is over.
        """
        size = self._cipher.open_into(place.segment, ciphertext, out, last=place.last)
        plaintext = out[:size]
        self.check_chunk(place.chunk, plaintext)
        return plaintext

    def check_chunk(self, chunk: int, plaintext: Buffer) -> None:
        """Check a chunk in clear against its leaf.

        Raises:
            ChunkMismatchError: it is another.
        """
        if self._hasher.leaf(chunk, plaintext) != self._leaves[chunk * HASH_BYTES : (chunk + 1) * HASH_BYTES]:
            raise ChunkMismatchError(
                f"chunk {chunk} is not the one that the agreed fingerprint is over",
                remedy="The provider sent something else than it offered: dispute the delivery.",
            )

    def manifest_layout(self) -> Layout:
        """Return the layout of the stream's beginning, which is all that is known before the manifest has come."""
        # A file behind it keeps the manifest's last segment from being taken for the stream's.
        return Layout(self.package.manifest_size, [0])

    def open_manifest(self, ciphertext: bytes) -> tuple[Manifest, Layout]:
        """Decrypt and check the manifest, and return it with the layout of the whole stream.

        Args:
            ciphertext: the stream's beginning, exactly the manifest's chunks.

        Raises:
            ManifestError: not a manifest, or it contradicts the key package.
            UnsafePathError: a name in it is not safe.
            SegmentAlteredError, ChunkMismatchError: as for any chunk.
        """
        layout = self.manifest_layout()
        parts = []
        buffer = memoryview(bytearray(CHUNK_BYTES))
        for chunk in range(layout.manifest_chunks):
            place = layout.place(chunk)
            piece = ciphertext[place.cipher_offset : place.cipher_offset + place.cipher_size]
            parts.append(bytes(self.open_chunk(place, piece, buffer)))
        manifest = decode_manifest(b"".join(parts))
        try:
            whole = Layout(self.package.manifest_size, [entry.size for entry in manifest.files])
        except ValueError:
            whole = None
        told = (self.package.size, self.package.files, self.package.chunks)
        if whole is None or (manifest.size, len(manifest.files), whole.chunks) != told:
            raise ManifestError(
                "the manifest contradicts the key package about sizes", remedy="Tell the provider's data officer."
            )
        return manifest, whole


class Receiver:
    """Takes the stream from some chunk on, in pieces of any length, and gives back verified chunks."""

    def __init__(self, opener: Opener, layout: Layout, first: int = 0) -> None:
        """Begin at a chunk.

        Args:
            opener: of the delivery.
            layout: of the whole stream.
            first: index of the chunk that the bytes begin with.
        """
        self._opener = opener
        self._layout = layout
        self._next = first
        self._held = bytearray()
        self._buffer = memoryview(bytearray(CHUNK_BYTES))

    def feed(self, data: Buffer) -> Iterator[tuple[Place, bytes]]:
        """Take bytes and yield each chunk that they complete.

        Raises:
            StreamExtendedError: there are bytes after the last segment.
            SegmentAlteredError, ChunkMismatchError: see `Opener.open_chunk`.
        """
        self._held += data
        used = 0
        while self._next < self._layout.chunks:
            place = self._layout.place(self._next)
            if len(self._held) - used < place.cipher_size:
                break
            piece = bytes(self._held[used : used + place.cipher_size])
            used += place.cipher_size
            self._next += 1
            yield place, bytes(self._opener.open_chunk(place, piece, self._buffer))
        del self._held[:used]
        if self._held and self._next == self._layout.chunks:
            raise extended()

    def finish(self) -> None:
        """Say that no more bytes come.

        Raises:
            StreamTruncatedError: the stream has not ended.
        """
        if self._next < self._layout.chunks:
            raise truncated(self._layout.place(self._next).segment)
