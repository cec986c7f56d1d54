"""Fingerprints of datasets: a salted RFC 9162 root over chunks of 1 MiB.

Chunk 0 is the manifest (canonical JSON; cut like a file if it is longer than 1 MiB), then come the chunks of every file
in the manifest's order. Of chunk i the leaf's data is

    HKDF-SHA256(ikm = salt, salt = none, info = "tallystick/leaf" || u64be(i), 32 bytes) || SHA-256(chunk i)

and the fingerprint is the RFC 9162 root (SHA-256) over all leaves. The salt is 32 random bytes for each version of a
dataset; without it nobody can test a guess of what a chunk holds, and the hashes of leaves tell nothing.
"""

from __future__ import annotations

import hmac
import os
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tallystick.dataplane.layout import Layout, Place
from tallystick.dataplane.refusals import ChunkMismatchError, FingerprintError, SourceChangedError
from tallystick.dataplane.sidecars import Fingerprint, Sidecar
from tallystick.dataplane.sources import Source, scan
from tallystick.dataplane.stream import Buffer
from tallystick.merkle import root_from_hashes
from tallystick.merkle.commitments import SALT_BYTES, LeafSalts, commitment_leaf

WORKERS = 2

Progress = Callable[[int, int], None]
"""`progress(done, total)`: bytes so far and in all; called from the thread that asked for the work."""


class LeafHasher:
    """Computes the leaves of one salt; safe to use from several threads."""

    def __init__(self, salt: bytes) -> None:
        self._salts = LeafSalts(salt)

    def leaf(self, index: int, chunk: Buffer) -> bytes:
        """Return the RFC 9162 leaf hash of a chunk."""
        return commitment_leaf(self._salts.leaf(index), sha256(chunk).digest())


def layout_of(source: Source, manifest: bytes) -> Layout:
    """Return how a source is cut.

    Args:
        source: the dataset.
        manifest: its canonical JSON.

    Raises:
        SourceChangedError: it is too large for one delivery.
    """
    try:
        return Layout(len(manifest), [entry.size for entry in source.manifest.files])
    except ValueError as error:
        raise SourceChangedError(
            f"{source.location} is too large for one dataset", remedy="Offer it as several datasets."
        ) from error


def take_fingerprint(
    source: Source | Path, *, salt: bytes | None = None, workers: int = WORKERS, progress: Progress | None = None
) -> Sidecar:
    """Read a dataset once and return its fingerprint with what its owner keeps beside it.

    Args:
        source: what `scan` found, or a path to scan.
        salt: 32 bytes; random by default, given only to compute a known fingerprint again.
        workers: threads that read and hash; each holds one chunk.
        progress: see `Progress`.

    Raises:
        SourceChangedError: a file changed its size while it was read.
    """
    if isinstance(source, Path):
        source = scan(source)
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    manifest = source.manifest.encode()
    layout = layout_of(source, manifest)
    hasher = LeafHasher(salt)
    leaves: list[bytes] = []
    for index in range(layout.manifest_chunks):
        place = layout.place(index)
        leaves.append(hasher.leaf(index, manifest[place.offset : place.offset + place.size]))
    total, done = source.manifest.size, 0
    with ThreadPoolExecutor(workers, thread_name_prefix="fingerprint") as pool:
        pending: deque[tuple[int, Future[list[bytes]]]] = deque()
        for batch in layout.batches(layout.manifest_chunks, layout.chunks):
            pending.append((sum(place.size for place in batch), pool.submit(_hash_batch, source, hasher, batch)))
            if len(pending) > 2 * workers:
                done += _collect(pending, leaves)
                if progress:
                    progress(done, total)
        while pending:
            done += _collect(pending, leaves)
            if progress:
                progress(done, total)
    found = Fingerprint(
        root=root_from_hashes(leaves),
        salt=salt,
        size=total,
        chunks=len(leaves),
        files=len(source.manifest.files),
    )
    return Sidecar(found, manifest, b"".join(leaves))


def verify_fingerprint(
    location: Path, root: bytes, salt: bytes, *, name: str | None = None, progress: Progress | None = None
) -> Sidecar:
    """Check that a file or folder is what a fingerprint is over; for whoever holds the salt.

    Args:
        location: of the file or folder.
        root: the fingerprint, 32 bytes.
        salt: from the key package.
        name: what it was called when it was offered, if it has been renamed since.
        progress: see `Progress`.

    Raises:
        FingerprintError: it is not.
    """
    found = take_fingerprint(scan(location, name=name), salt=salt, progress=progress)
    if not hmac.compare_digest(found.fingerprint.root, root):
        raise FingerprintError(
            f"{location} is not what the fingerprint {root.hex()} is over",
            remedy="Compare with the file as it was delivered; name and order of files count as well as contents.",
        )
    return found


def verify_against(location: Path, sidecar: Sidecar, *, progress: Progress | None = None) -> None:
    """Check a file or folder chunk by chunk and name the first that differs.

    Raises:
        ChunkMismatchError: a chunk differs.
        SourceChangedError: a file is missing or of another size.
    """
    source = Source(location, sidecar.manifest())
    hasher, layout = LeafHasher(sidecar.fingerprint.salt), sidecar.layout()
    done = 0
    for batch in layout.batches(layout.manifest_chunks, layout.chunks):
        for place, found in zip(batch, _hash_batch(source, hasher, batch), strict=True):
            if found != sidecar.leaf(place.chunk):
                raise ChunkMismatchError(
                    f"{source.manifest.files[place.part - 1].path}: chunk {place.chunk} differs from its fingerprint",
                    remedy="Fetch the delivery again, or restore the file.",
                )
        done += sum(place.size for place in batch)
        if progress:
            progress(done, sidecar.fingerprint.size)


def read_place(descriptor: int, place: Place, buffer: memoryview, path: str) -> memoryview:
    """Read one chunk of an open file into a buffer of at least 1 MiB and return the part that was filled.

    Raises:
        SourceChangedError: the file ends early, or the disk does not give it back.
    """
    wanted = buffer[: place.size]
    filled = 0
    while filled < place.size:
        try:
            got = os.preadv(descriptor, [wanted[filled:]], place.offset + filled)
        except OSError as error:
            raise SourceChangedError.at(path, place.chunk) from error
        if got == 0:
            raise SourceChangedError.at(path, place.chunk)
        filled += got
    return wanted


def _hash_batch(source: Source, hasher: LeafHasher, batch: list[Place]) -> list[bytes]:
    """Return the leaf hashes of consecutive chunks; runs in a worker thread."""
    leaves = []
    buffer = memoryview(bytearray(max(place.size for place in batch)))
    part, descriptor = 0, -1
    try:
        for place in batch:
            if place.part != part:
                if descriptor >= 0:
                    os.close(descriptor)
                    descriptor = -1
                part, descriptor = place.part, source.open_file(place.part - 1)
            chunk = read_place(descriptor, place, buffer, source.manifest.files[part - 1].path)
            leaves.append(hasher.leaf(place.chunk, chunk))
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return leaves


def _collect(pending: deque[tuple[int, Future[list[bytes]]]], leaves: list[bytes]) -> int:
    size, job = pending.popleft()
    leaves.extend(job.result())
    return size
