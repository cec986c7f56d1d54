"""Writing files so that a crash leaves the old one or the new one, never half of either."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from tallystick.errors import StorageError


def write_atomically(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file whole, synced, under its final name.

    Args:
        path: in an existing folder.
        data: its contents.
        mode: permissions; 0o600 for what only the owner may read.

    Raises:
        StorageError: the disk refuses; what was there before is unharmed.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}", remedy="Free disk space or correct the folder's permissions."
        ) from None
    finally:
        fresh.unlink(missing_ok=True)


class Scratch:
    """A hidden folder for what is not finished: gone when its process ends well, and else at the next one's start.

    Its owner holds a lock on it; the system lets go of a lock with its process, however that ended. So a folder that
    nobody holds was left by a kill.
    """

    def __init__(self, parent: Path, prefix: str) -> None:
        """Make a folder, and remove those of the same kind that were left behind.

        Args:
            parent: where.
            prefix: begins the names of its kind, and of nothing else there.

        Raises:
            OSError: it cannot be made.
        """
        for other in [path for path in parent.iterdir() if path.name.startswith(prefix)]:
            _remove_if_left(other)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            if self.path.exists():
                break
            # Another process came between making and locking, and took it for one that was left.
            os.close(self._lock)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the folder, unless it was renamed, and let go of it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def _remove_if_left(folder: Path) -> None:
    with contextlib.suppress(OSError):
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(held)
