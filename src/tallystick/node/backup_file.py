r"""The encrypted file that a backup is.

    "tallystick-backup-v1\n"  ‖  length of the head (4 bytes, big-endian)  ‖  head (canonical JSON: the scrypt parameters)
    ‖  segments: AES-256-GCM of 64 KiB each, in the STREAM construction

The key is scrypt(passphrase, a salt of this file alone), so that counting nonces are never used twice under one key.
Every segment binds magic and head, its number, and whether it is the last: nothing in a file can be changed, moved, cut
off or added.
"""

from __future__ import annotations

import io
import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tallystick.codec import MalformedError, StrictDecoder, encode_json, sha256
from tallystick.errors import AccessError, IntegrityError

MAGIC = b"tallystick-backup-v1\n"
SEGMENT_BYTES = 1 << 16
TAG_BYTES = 16
SCRYPT_N = 1 << 17
_MAX_HEAD_BYTES = 1_024


class Kdf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the passphrase becomes the key of one file."""

    n: Annotated[int, msgspec.Meta(ge=2, le=1 << 20)]
    name: Literal["scrypt"]
    p: Literal[1]
    r: Literal[8]
    salt: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kdf: Kdf
    v: Literal[1]


_decoder: StrictDecoder[_Head] = StrictDecoder(_Head, max_bytes=_MAX_HEAD_BYTES)


def new_kdf(scrypt_n: int) -> Kdf:
    """Return scrypt at a cost, with a new salt."""
    return Kdf(n=scrypt_n, name="scrypt", p=1, r=8, salt=os.urandom(16).hex())


def derive(kdf: Kdf, passphrase: str) -> bytes:
    """Return the 32-byte key of a passphrase, of whatever characters it is (as for a key store, `keys.sealing`)."""
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    return Scrypt(salt=bytes.fromhex(kdf.salt), length=32, n=kdf.n, r=kdf.r, p=kdf.p).derive(text)


def write_head(target: IO[bytes], kdf: Kdf) -> bytes:
    """Write how the key is derived; return what every segment is bound to."""
    head = encode_json(_Head(kdf=kdf, v=1))
    target.write(MAGIC + len(head).to_bytes(4, "big") + head)
    return sha256(MAGIC + head)


def read_head(source: IO[bytes], path: Path) -> tuple[Kdf, bytes]:
    """Return how the key is derived, and what every segment is bound to.

    Args:
        source: at its beginning; afterwards at the first segment.
        path: of it, for messages.

    Raises:
        IntegrityError: it is no backup.
    """
    refused = IntegrityError(
        f"{path} is not a backup, or its beginning was altered", remedy="Name a file that `tally node backup` wrote."
    )
    if source.read(len(MAGIC)) != MAGIC:
        raise refused
    size = int.from_bytes(source.read(4), "big")
    if size > _MAX_HEAD_BYTES:
        raise refused
    head = source.read(size)
    try:
        kdf = _decoder.decode(head).kdf
    except MalformedError:
        raise refused from None
    if kdf.n & (kdf.n - 1):
        raise refused
    return kdf, sha256(MAGIC + head)


class Sealer(io.RawIOBase):
    """Encrypts what is written to it into a file; the last segment is written by `finish`."""

    def __init__(self, target: IO[bytes], key: bytes, bound: bytes) -> None:
        self._target = target
        self._aead = AESGCM(key)
        self._bound = bound
        self._kept = bytearray()
        self._index = 0

    def writable(self) -> bool:
        """Tell that it can be written to."""
        return True

    def write(self, data: object) -> int:
        """Take bytes; return how many."""
        view = memoryview(data)  # type: ignore[arg-type]
        self._kept += view
        # One segment is always kept back: only at the end is it known which is the last.
        while len(self._kept) > SEGMENT_BYTES:
            self._seal(bytes(self._kept[:SEGMENT_BYTES]), last=False)
            del self._kept[:SEGMENT_BYTES]
        return view.nbytes

    def finish(self) -> None:
        """Write the last segment."""
        self._seal(bytes(self._kept), last=True)
        self._kept.clear()

    def _seal(self, piece: bytes, *, last: bool) -> None:
        self._target.write(self._aead.encrypt(_nonce(self._index, last), piece, self._bound))
        self._index += 1


class Opener(io.RawIOBase):
    """Reads what was sealed; every byte that it gives was authenticated, and the end only if it is the real one."""

    def __init__(self, source: IO[bytes], key: bytes, bound: bytes, read: Callable[[int], None]) -> None:
        self._source = source
        self._aead = AESGCM(key)
        self._bound = bound
        self._read = read
        self._index = 0
        self._plain = b""
        self._next = source.read(SEGMENT_BYTES + TAG_BYTES)
        self._ended = False

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer, or part of it; return how many bytes, 0 at the real end.

        Raises:
            AccessError: a wrong passphrase.
            IntegrityError: the file was altered or cut off.
        """
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._plain and not self._ended:
            self._open()
        count = min(len(view), len(self._plain))
        view[:count] = self._plain[:count]
        self._plain = self._plain[count:]
        return count

    def drain(self) -> None:
        """Read to the real end.

        Raises:
            IntegrityError: something behind is not as it was written.
        """
        while not self._ended:
            self._open()

    def _open(self) -> None:
        current, self._next = self._next, self._source.read(SEGMENT_BYTES + TAG_BYTES)
        self._read(len(current))
        last = not self._next
        try:
            self._plain = self._aead.decrypt(_nonce(self._index, last), current, self._bound)
        except InvalidTag:
            if self._index == 0:
                raise AccessError(
                    "this passphrase does not open the backup, or its beginning was altered",
                    remedy="Check the passphrase; if it is the right one, take another copy of the backup.",
                ) from None
            raise IntegrityError(
                f"the backup was altered or cut off at segment {self._index}",
                remedy="Nothing of it was used. Take another copy of the backup.",
            ) from None
        self._index += 1
        self._ended = last


def _nonce(index: int, last: bool) -> bytes:
    return bytes(7) + index.to_bytes(4, "big") + (b"\x01" if last else b"\x00")
