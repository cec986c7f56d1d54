"""The folder of a key store: which of its files are keys, and what is refused before any of them is opened.

A folder that others can write to is refused, and a key file that is not what was written.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from tallystick.codec import MalformedError
from tallystick.errors import AccessError, IntegrityError, StorageError
from tallystick.keys import sealing
from tallystick.keys.files import read_private
from tallystick.keys.kinds import ROLE_KINDS, PrivateKey, load_private, public_bytes

FROM_BACKUP = "Restore the file from a backup."


def key_files(folder: Path) -> list[sealing.KeyFile]:
    """Return all key files of a folder, sorted by role, time and id.

    Raises:
        AccessError: others can read a file or write to the folder.
        IntegrityError: a file is damaged.
        StorageError: there is no folder.
    """
    check_folder(folder)
    files: list[sealing.KeyFile] = []
    for path in folder.glob("*.json"):
        if not is_key_file(path):
            continue
        try:
            file = sealing.read_key(read_private(path))
        except MalformedError:
            raise damaged(path) from None
        if path.name != f"{file.id}.json" or file.kdf is not None:
            raise damaged(path)
        files.append(file)
    return sorted(files, key=lambda file: (file.role, file.created, file.id))


def is_key_file(path: Path) -> bool:
    """Tell by its name whether a file is a key; an ordering engine keeps other files in the same folder."""
    return path.suffix == ".json" and path.stem.rpartition("-")[0] in ROLE_KINDS


def check_folder(folder: Path) -> None:
    """Refuse a folder in which others could put files of their own.

    Raises:
        AccessError: it is one.
        StorageError: there is none.
    """
    try:
        mode = folder.stat().st_mode
    except OSError:
        raise StorageError(f"there are no keys at {folder}", remedy="Check the path of the node's home.") from None
    if mode & 0o022:
        raise AccessError(
            f"other users can write to {folder}", remedy=f"Type: chmod 700 {shlex.quote(str(folder))}"
        ) from None


def checked_key(file: sealing.KeyFile, secret: bytes, path: Path) -> PrivateKey:
    """Return the private key if it is the one that the file names.

    Raises:
        IntegrityError: it is another one, or none.
    """
    try:
        key = load_private(file.kind, secret)
    except ValueError:
        raise damaged(path) from None
    if public_bytes(key).hex() != file.public:
        raise damaged(path)
    return key


def damaged(path: Path) -> IntegrityError:
    """Return the error for a file that is not what was written."""
    return IntegrityError(f"the key file {path} is damaged or was changed", remedy=FROM_BACKUP)
