r"""Backups: one encrypted file with all of a home that cannot be fetched again from other members.

    "tallystick-backup-v1\n"  ‖  length of the head (4 bytes, big-endian)  ‖  head (canonical JSON: the scrypt parameters)
    ‖  segments: AES-256-GCM of 64 KiB of a tar archive each, in the STREAM construction

Rules:

- The key is scrypt(passphrase, a salt of this file alone), so that counting nonces are never used twice under one key.
  Every segment binds magic and head, its number, and whether it is the last: nothing in a file can be changed, moved,
  cut off or added.
- A backup is taken while the node runs. The ledger is copied before `office.db`: what the ledger refers to was written
  to `office.db` first, so the copies fit together.
- Not in it: `inbox/` (received data), `engine/` (signing state, which must never go back), `log/` (made again from the
  ledger), locks, sockets and the operator's key of the moment.
- A restored home is marked before it has its name: an orderer restored from an old backup asks the witnesses how far
  the history had gone before it signs anything.
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import tarfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Literal, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tallystick.codec import MalformedError, StrictDecoder, encode_json, sha256
from tallystick.errors import AccessError, IntegrityError, StorageError, UsageError
from tallystick.fsck import check_home
from tallystick.keys import check_new_passphrase
from tallystick.modules import genesis_writes, rulebook
from tallystick.node.beginning import read_beginning
from tallystick.node.files import Scratch
from tallystick.node.homes import Home, NewHome
from tallystick.node.locks import FILES
from tallystick.store import LedgerStore, TileLog

MAGIC = b"tallystick-backup-v1\n"
SEGMENT_BYTES = 1 << 16
TAG_BYTES = 16
SCRYPT_N = 1 << 17
_MAX_HEAD_BYTES = 1_024
_DATABASES = ("ledger.db", "office.db")
_LEFT_OUT = FILES | {
    "RESTORED",
    "core.sock",
    "disk-samples.json",
    "engine",
    "inbox",
    "incoming",
    "log",
    "older",
    "operator.json",
    "processes.json",
    "snapshots",
}

Progress = Callable[[int, int], None]
"""`progress(done, total)`: bytes so far and in all."""


class _Kdf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    n: Annotated[int, msgspec.Meta(ge=2, le=1 << 20)]
    name: Literal["scrypt"]
    p: Literal[1]
    r: Literal[8]
    salt: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kdf: _Kdf
    v: Literal[1]


_head_decoder: StrictDecoder[_Head] = StrictDecoder(_Head, max_bytes=_MAX_HEAD_BYTES)


class Backup(NamedTuple):
    """What was written.

    Attributes:
        path: the file.
        size: its bytes.
        height: the last block that it holds.
        files: how many files are in it.
    """

    path: Path
    size: int
    height: int
    files: int


class Restored(NamedTuple):
    """What was put back.

    Attributes:
        home: under its final name, marked as restored.
        height: the last block that it holds.
        operations: on the history, all of them replayed and checked.
        files: how many files.
    """

    home: Home
    height: int
    operations: int
    files: int


# --- the encrypted file ----------------------------------------------------------------------------------------------


class _Sealer(io.RawIOBase):
    """Encrypts what is written to it into a file; the last segment is written by `finish`."""

    def __init__(self, target: IO[bytes], key: bytes, bound: bytes) -> None:
        self._target = target
        self._aead = AESGCM(key)
        self._bound = bound
        self._kept = bytearray()
        self._index = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
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


class _Opener(io.RawIOBase):
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
        return True

    def readinto(self, buffer: object) -> int:
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


def _derive(kdf: _Kdf, passphrase: str) -> bytes:
    text = unicodedata.normalize("NFC", passphrase)
    return Scrypt(salt=bytes.fromhex(kdf.salt), length=32, n=kdf.n, r=kdf.r, p=kdf.p).derive(text.encode())


def _read_head(source: IO[bytes], path: Path) -> tuple[_Kdf, bytes]:
    """Return how the key is derived, and what every segment is bound to."""
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
        kdf = _head_decoder.decode(head).kdf
    except MalformedError:
        raise refused from None
    if kdf.n & (kdf.n - 1):
        raise refused
    return kdf, sha256(MAGIC + head)


# --- backing up ------------------------------------------------------------------------------------------------------


def backup(
    home: Home, file: Path, passphrase: str, progress: Progress | None = None, *, scrypt_n: int = SCRYPT_N
) -> Backup:
    """Write all of a home that cannot be had again to one encrypted file; the node may be running.

    The file is read back and checked whole before it gets its name, so that nobody relies on a bad disk.

    Args:
        home: of the node.
        file: must not be there yet.
        passphrase: at least 8 characters.
        progress: told of bytes.
        scrypt_n: cost of trying a passphrase, a power of two.

    Raises:
        UsageError: the file is there, or the passphrase is too short.
        StorageError: something cannot be read or written.
    """
    composed = check_new_passphrase(passphrase)
    if file.exists():
        raise UsageError(f"{file} is there already", remedy="Name another file; a backup is never overwritten.")
    kdf = _Kdf(n=scrypt_n, name="scrypt", p=1, r=8, salt=os.urandom(16).hex())
    head = encode_json(_Head(kdf=kdf, v=1))
    key, bound = _derive(kdf, composed), sha256(MAGIC + head)
    try:
        # The copy of office.db is as private as the home that it lies in; what is written lies beside its final place.
        with Scratch(home.path, ".backup-") as copied, Scratch(file.resolve().parent, f".{file.name}.new-") as made:
            copies = [_copy_database(home.path / name, copied / name) for name in _DATABASES]
            members = [*_files(home.path), *(copy for copy in copies if copy is not None)]
            written = made / "backup"
            with open(os.open(written, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as target:
                target.write(MAGIC + len(head).to_bytes(4, "big") + head)
                count = _write_archive(target, key, bound, members, (home.path, copied), progress)
                target.flush()
                os.fsync(target.fileno())
            height = _height_of(copied / "ledger.db")
            with open(written, "rb") as source:
                _, bound = _read_head(source, written)
                _Opener(source, key, bound, lambda _: None).drain()
            os.rename(written, file)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(
            f"the backup cannot be written to {file}: {error}", remedy="Name a place with enough room, then try again."
        ) from None
    return Backup(file, file.stat().st_size, height, count)


def _copy_database(source: Path, target: Path) -> Path | None:
    """Copy an SQLite file as of one moment, while others write to it."""
    if not source.exists():
        return None
    with (
        contextlib.closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
    target.chmod(0o600)
    return target


def _height_of(ledger: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as connection:
        (height,) = connection.execute("SELECT coalesce(max(height), 0) FROM blocks").fetchone()
    return int(height)


def _files(home: Path) -> Iterator[Path]:
    """Yield folders and files of a home that belong in a backup, folders before what is in them."""
    for path in sorted(home.rglob("*")):
        relative = path.relative_to(home)
        hidden = any(part.startswith(".") for part in relative.parts)
        if hidden or relative.parts[0] in _LEFT_OUT or relative.parts[0].startswith(_DATABASES) or path.is_symlink():
            continue
        if path.is_dir() or path.is_file():
            yield path


def _write_archive(
    target: IO[bytes],
    key: bytes,
    bound: bytes,
    members: list[Path],
    roots: tuple[Path, Path],
    progress: Progress | None,
) -> int:
    """Write the encrypted archive; return the number of files."""
    total = sum(path.stat().st_size for path in members if path.is_file())
    done = count = 0
    sealer = _Sealer(target, key, bound)
    with tarfile.open(fileobj=sealer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for path in members:
            root = next(root for root in reversed(roots) if path.is_relative_to(root))
            archive.add(path, arcname=str(path.relative_to(root)), recursive=False, filter=_anonymous)
            if path.is_file():
                count += 1
                done += path.stat().st_size
                if progress is not None:
                    progress(done, total)
    sealer.finish()
    return count


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


# --- restoring -------------------------------------------------------------------------------------------------------


def restore(file: Path, home: Path, passphrase: str, progress: Progress | None = None) -> Restored:
    """Put a home back from a backup, and check all of it before it gets its name.

    Args:
        file: the backup.
        home: of the node; must be empty or absent.
        passphrase: of the backup.
        progress: told of bytes.

    Raises:
        AccessError: a wrong passphrase.
        IntegrityError: the file was altered, or the ledger in it does not hold; nothing was put back.
        UsageError: the home is taken.
        StorageError: the file cannot be read, or the home not be written.
    """
    try:
        with open(file, "rb") as source, NewHome(home) as new:
            kdf, bound = _read_head(source, file)
            opener = _Opener(source, _derive(kdf, passphrase), bound, _counter(file.stat().st_size, progress))
            count = _extract(opener, new.folder)
            restored = Home(new.folder)
            restored.mark_restored()
            operations, height = _check(restored)
            return Restored(new.finish(), height, operations, count)
    except FileNotFoundError:
        raise StorageError(f"there is no file {file}", remedy="Check the path of the backup.") from None
    except OSError as error:
        raise StorageError(
            f"the backup cannot be restored to {home}: {error.strerror}", remedy="Make room, or name another folder."
        ) from None


def _counter(total: int, progress: Progress | None) -> Callable[[int], None]:
    done = 0

    def read(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(min(done, total), total)

    return read


def _extract(opener: _Opener, folder: Path) -> int:
    try:
        with tarfile.open(fileobj=opener, mode="r|") as archive:
            archive.extractall(folder, filter="data")
            members = archive.getmembers()
            for member in members:
                # The filter leaves the modes of folders to the umask; a folder of keys is as private as it was.
                if member.isdir():
                    (folder / member.name).chmod(member.mode & 0o777)
    except tarfile.TarError as error:
        raise IntegrityError(
            f"what is in the backup cannot be read: {error}", remedy="Take another copy of the backup."
        ) from None
    opener.drain()
    return sum(member.isfile() for member in members)


def _check(home: Home) -> tuple[int, int]:
    """Make the log anew and replay the ledger; return operations and height.

    Raises:
        IntegrityError: something does not hold.
    """
    home.key_store.list()
    home.read_trust()
    home.log_path.mkdir(exist_ok=True)
    # Opened for writing, the ledger of an older backup is brought to this version's format.
    store = LedgerStore(home.ledger_path, rulebook())
    try:
        latest = store.latest_checkpoint()
        if latest is not None:
            tiles = TileLog(home.log_path)
            tiles.resume(latest[0], store.leaves, begin=store.base_edge())
            tiles.write_checkpoint(latest[3])
    finally:
        store.close()
    report = check_home(home.path, rulebook(), genesis_writes, snapshot=read_beginning)
    if not report.ok:
        raise IntegrityError(
            f"the ledger in the backup does not hold: {report.first or 'it could not be checked whole'}",
            remedy="Take an older backup, or join the zone again with the keys of this one.",
        )
    return report.operations, report.blocks
