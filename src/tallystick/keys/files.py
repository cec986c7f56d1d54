"""Secret files: readable by their owner alone, and whole or not there at all.

A file is written beside its place, flushed to the disk, and only then moved there; the folder is flushed last. A crash
before the move leaves the old file and a `.tmp` that nothing reads; a crash after it leaves the new one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import stat
from pathlib import Path

from tallystick.errors import AccessError, StorageError

MAX_FILE_BYTES = 65_536
OTHERS = 0o007
GROUP_AND_OTHERS = 0o077


def make_private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter; one that is there already is narrowed to that.

    Raises:
        StorageError: it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.chmod(0o700)
    except OSError as error:
        raise StorageError(
            f"cannot make the folder {path}: {error.strerror}",
            remedy="Give this user write access to the folder above.",
        ) from None


def write_private(path: Path, data: bytes) -> None:
    """Write a file of mode 0600, whole or not at all; it is on the disk when this returns.

    Raises:
        StorageError: something failed; the old file is there or the new one, never a mixture.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with open(descriptor, "wb", closefd=True) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}", remedy="Make room on the disk, or give this user write access."
        ) from None


def sync_folder(path: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_private(path: Path, *, forbidden: int = GROUP_AND_OTHERS) -> bytes:
    """Read a file that nobody else may touch.

    The permissions are those of the file that was opened, not of the name, which could be changed in between.

    Args:
        path: the file, at most 64 KiB.
        forbidden: permission bits that it must not have.

    Raises:
        AccessError: others may read or change it, or this user may not read it.
        StorageError: it is missing, no file, too long, or cannot be read.
    """
    try:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _check_status(path, os.fstat(descriptor).st_mode, forbidden)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise StorageError(f"{path} is not there", remedy="Check the path, or restore it from a backup.") from None
    except PermissionError:
        raise AccessError(f"this user may not read {path}", remedy="Run as the user who owns the file.") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", remedy="Check the path and the disk.") from None
    if len(data) > MAX_FILE_BYTES:
        raise StorageError(f"{path} is longer than 64 KiB", remedy="This is no file of that kind: check the path.")
    return data


def _check_status(path: Path, mode: int, forbidden: int) -> None:
    """Refuse what is no file, or what others may touch."""
    if not stat.S_ISREG(mode):
        raise StorageError(f"{path} is not a file", remedy="Name a regular file.")
    if mode & forbidden:
        wanted = "600" if forbidden == GROUP_AND_OTHERS else "o="
        raise AccessError(
            f"{path} can be read or changed by other users", remedy=f"Type: chmod {wanted} {shlex.quote(str(path))}"
        )
