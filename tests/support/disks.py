"""Disks that fill up: a file system of a few MiB of its own, and what takes its room away."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.components import require


class SmallDisk:
    """A mounted file system.

    Attributes:
        path: where it is mounted.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free_bytes(self) -> int:
        """What is left."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def leave(self, room: int) -> None:
        """Fill it up to so many bytes, rounded down to pages."""
        self.empty()
        with self._ballast.open("wb") as file:
            for _ in range((self.free_bytes - room) // 4_096):
                file.write(bytes(4_096))

    def empty(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def mounted_disk(path: Path, mib: int) -> Iterator[SmallDisk]:
    """Mount a small disk, and unmount it in the end; the test is left out or fails where nobody may mount.

    Args:
        path: a folder to make.
        mib: its size.
    """
    mount = require("mount")
    path.mkdir()
    subprocess.run([mount, "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "small-disk", path], check=True)
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: a reader that a failed test left open must not keep the mount for ever.
        subprocess.run([mount.with_name("umount"), "-l", path], check=True)
