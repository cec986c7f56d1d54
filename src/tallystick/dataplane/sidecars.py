r"""What an owner keeps beside a dataset: salt, manifest and the hash of every leaf, so that each chunk can be checked.

A sidecar is a secret: with the salt in it, guesses of contents can be tested against the fingerprint on the ledger. Its
file is readable by its owner alone and laid out as

    "tallystick/sidecar-v1\n" | length of the header, 4 bytes big-endian | header | manifest | leaf hashes | SHA-256 of all

where the header is canonical JSON {chunks, files, manifest, root, salt, size, v}, `manifest` being its length in bytes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.dataplane.layout import Layout
from tallystick.dataplane.refusals import ManifestError, SidecarError, UnsafePathError
from tallystick.dataplane.sources import Manifest, decode_manifest
from tallystick.merkle import root_from_hashes

HASH_BYTES = 32
_MAGIC = b"tallystick/sidecar-v1\n"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of one version of a dataset.

    Attributes:
        root: 32 bytes; what goes on the ledger.
        salt: 32 bytes; known to the owner and to recipients.
        size: bytes of all files.
        chunks: leaves, the manifest's included.
        files: how many.
    """

    root: bytes
    salt: bytes = field(repr=False)
    size: int
    chunks: int
    files: int


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A fingerprint with the manifest and the leaf hashes that it is the root over.

    Attributes:
        fingerprint: the fingerprint.
        manifest_bytes: canonical JSON of the manifest.
        leaves: 32 bytes for each chunk.
    """

    fingerprint: Fingerprint
    manifest_bytes: bytes = field(repr=False)
    leaves: bytes = field(repr=False)

    def leaf(self, chunk: int) -> bytes:
        """Return the leaf hash of a chunk."""
        return self.leaves[chunk * HASH_BYTES : (chunk + 1) * HASH_BYTES]

    def manifest(self) -> Manifest:
        """Return the manifest."""
        return decode_manifest(self.manifest_bytes)

    def layout(self) -> Layout:
        """Return how the dataset is cut."""
        return Layout(len(self.manifest_bytes), [entry.size for entry in self.manifest().files])


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    chunks: int
    files: int
    manifest: int
    root: str
    salt: str
    size: int
    v: Literal[1]


_decoder: StrictDecoder[_Header] = StrictDecoder(_Header, max_bytes=4_096)


def encode_sidecar(sidecar: Sidecar) -> bytes:
    """Return the bytes of a sidecar file."""
    found = sidecar.fingerprint
    header = encode_json(
        _Header(
            chunks=found.chunks,
            files=found.files,
            manifest=len(sidecar.manifest_bytes),
            root=found.root.hex(),
            salt=found.salt.hex(),
            size=found.size,
            v=1,
        )
    )
    body = b"".join((_MAGIC, len(header).to_bytes(4, "big"), header, sidecar.manifest_bytes, sidecar.leaves))
    return body + sha256(body).digest()


def decode_sidecar(data: bytes, where: str = "the sidecar") -> Sidecar:
    """Return the sidecar of a file's bytes, every part checked against the root.

    Args:
        data: the file.
        where: what to call it in an error.

    Raises:
        SidecarError: damaged, cut short, or of parts that do not belong together.
    """
    body, digest = data[:-HASH_BYTES], data[-HASH_BYTES:]
    if not body.startswith(_MAGIC) or sha256(body).digest() != digest:
        raise _damaged(where, "its checksum does not match")
    start = len(_MAGIC) + 4
    end = start + int.from_bytes(body[start - 4 : start], "big")
    try:
        header = _decoder.decode(body[start:end])
        root, salt = bytes.fromhex(header.root), bytes.fromhex(header.salt)
        sidecar = Sidecar(
            Fingerprint(root, salt, header.size, header.chunks, header.files),
            body[end : end + header.manifest],
            body[end + header.manifest :],
        )
        manifest, layout = sidecar.manifest(), sidecar.layout()
    except (MalformedError, ManifestError, UnsafePathError, ValueError):
        raise _damaged(where, "it is not well formed") from None
    if (manifest.size, len(manifest.files), layout.chunks) != (header.size, header.files, header.chunks):
        raise _damaged(where, "its manifest and its numbers disagree")
    if len(sidecar.leaves) != header.chunks * HASH_BYTES or root_from_hashes(split_leaves(sidecar.leaves)) != root:
        raise _damaged(where, "its leaves do not give its root")
    return sidecar


def split_leaves(leaves: bytes) -> list[bytes]:
    """Return leaf hashes one by one."""
    return [leaves[start : start + HASH_BYTES] for start in range(0, len(leaves), HASH_BYTES)]


def write_secret(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all, and on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's names on disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class SidecarShelf:
    """A folder of sidecars by the fingerprint's root; the last few used stay in memory. Safe for several threads."""

    def __init__(self, folder: Path, *, kept: int = 8) -> None:
        """Open a shelf, making its folder if needed.

        Args:
            folder: readable by the owner alone.
            kept: how many sidecars stay in memory.
        """
        self._folder = folder
        self._kept = kept
        self._cache: OrderedDict[bytes, Sidecar] = OrderedDict()
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(self, sidecar: Sidecar) -> Path:
        """Keep a sidecar and return its file."""
        path = self._path(sidecar.fingerprint.root)
        write_secret(path, encode_sidecar(sidecar))
        return path

    def get(self, root: bytes) -> Sidecar:
        """Return the sidecar of a fingerprint.

        Raises:
            SidecarError: there is none, or it is damaged.
        """
        with self._lock:
            found = self._cache.get(root)
            if found is not None:
                self._cache.move_to_end(root)
                return found
        path = self._path(root)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise _damaged(str(path), error.strerror or "it cannot be read") from error
        sidecar = decode_sidecar(data, str(path))
        if sidecar.fingerprint.root != root:
            raise _damaged(str(path), "it is of another fingerprint")
        with self._lock:
            self._cache[root] = sidecar
            while len(self._cache) > self._kept:
                self._cache.popitem(last=False)
        return sidecar

    def _path(self, root: bytes) -> Path:
        return self._folder / f"{root.hex()}.sidecar"


def _damaged(where: str, reason: str) -> SidecarError:
    return SidecarError(
        f"{where} cannot be used: {reason}", remedy="Restore it from a backup, or offer the data as a new version."
    )
