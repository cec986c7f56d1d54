"""Backups: all of a home that cannot be fetched again from other members, as a tar archive in one encrypted file.

Rules:

- A backup is taken while the node runs. The ledger is copied before `office.db`: what the ledger refers to was written
  to `office.db` first, so the copies fit together.
- Not in it: `inbox/` (received data), `engine/` (signing state, which must never go back), `log/` (made again from the
  ledger), locks, sockets and the operator's key of the moment.
- A restored home is marked before it has its name: an orderer restored from an old backup asks the witnesses how far
  the history had gone before it signs anything.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tallystick.errors import IntegrityError, StorageError, UsageError
from tallystick.fsck import check_home
from tallystick.keys import check_new_passphrase
from tallystick.modules import genesis_writes, rulebook
from tallystick.node.backup_file import SCRYPT_N, Opener, Sealer, derive, new_kdf, read_head, write_head
from tallystick.node.beginning import read_beginning
from tallystick.node.files import Scratch
from tallystick.node.homes import Home, NewHome
from tallystick.node.locks import FILES
from tallystick.store import LedgerStore, TileLog

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
    kdf = new_kdf(scrypt_n)
    key = derive(kdf, composed)
    try:
        # The copy of office.db is as private as the home that it lies in; what is written lies beside its final place.
        with Scratch(home.path, ".backup-") as copied, Scratch(file.resolve().parent, f".{file.name}.new-") as made:
            copies = [_copy_database(home.path / name, copied / name) for name in _DATABASES]
            members = [*_files(home.path), *(copy for copy in copies if copy is not None)]
            written = made / "backup"
            with open(os.open(written, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as target:
                sealer = Sealer(target, key, write_head(target, kdf))
                count = _write_archive(sealer, members, (home.path, copied), progress)
                target.flush()
                os.fsync(target.fileno())
            height = _height_of(copied / "ledger.db")
            with open(written, "rb") as source:
                _, bound = read_head(source, written)
                Opener(source, key, bound, lambda _: None).drain()
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


def _write_archive(sealer: Sealer, members: list[Path], roots: tuple[Path, Path], progress: Progress | None) -> int:
    """Write the encrypted archive; return the number of files."""
    total = sum(path.stat().st_size for path in members if path.is_file())
    done = count = 0
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
            kdf, bound = read_head(source, file)
            opener = Opener(source, derive(kdf, passphrase), bound, _counter(file.stat().st_size, progress))
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


def _extract(opener: Opener, folder: Path) -> int:
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
