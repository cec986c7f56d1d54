"""`log/`: the history as a C2SP tlog-tiles directory, and the latest checkpoint, for tools that exist.

Everything here is derived from `ledger.db`. Order of writing, and what a crash leaves: tiles and bundles first, each
whole under its final name by an atomic rename; then `checkpoint`, which is what makes them valid. Tiles beyond the
checkpoint are harmless and are written again, byte for byte the same.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tallystick.errors import NodeError, StorageError
from tallystick.merkle import TileBuilder, leaf_hash

CHECKPOINT = "checkpoint"


class TileLog:
    """Writes tiles as the history grows, and reads them for proofs.

    Attributes:
        folder: `log/` of a node's home.
        broken: a write failed; call `resume` before the next flush.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._builder = TileBuilder()
        self.broken = False
        self._folders: set[Path] = set()

    @property
    def size(self) -> int:
        """Leaves taken so far."""
        return self._builder.size

    def resume(self, size: int, leaves: Callable[[int, int], Iterator[bytes]]) -> None:
        """Continue from what is on disk up to `size`, adding what is missing there.

        Args:
            size: of the history in `ledger.db`.
            leaves: gives the data of leaves from one index to another.
        """
        self.broken = False
        self._folders.clear()
        stored = self._stored_size(size)
        try:
            self._builder = TileBuilder.resume(stored, self.read)
        except NodeError:
            stored = 0
            self._builder = TileBuilder()
        for leaf in leaves(stored, size):
            self.append((leaf,))
            if self._builder.size % 65_536 == 0:
                self.flush()
        self.flush()

    def append(self, leaves: Iterable[bytes]) -> None:
        """Take leaves of a block that is on disk."""
        for leaf in leaves:
            self._builder.append(leaf, leaf_hash(leaf))

    def flush(self, checkpoint: str | None = None) -> None:
        """Write what is new, then the checkpoint.

        Raises:
            StorageError: the disk refuses; `ledger.db` is not touched and the next start writes what is missing.
        """
        try:
            files, obsolete = self._builder.flush()
            for path, data in files:
                self._write(path, data)
            if checkpoint is not None:
                self._write(CHECKPOINT, checkpoint.encode())
            for path in obsolete:
                shutil.rmtree(self.folder / path, ignore_errors=True)
        except OSError as error:
            self.broken = True
            raise StorageError(
                f"cannot write the log under {self.folder}: {error.strerror}",
                remedy="Free disk space; missing tiles are written again at the next start.",
            ) from None

    def write_checkpoint(self, note: str) -> None:
        """Write `checkpoint`; the tiles of its size are written already.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            self._write(CHECKPOINT, note.encode())
        except OSError as error:
            raise StorageError(
                f"cannot write the log under {self.folder}: {error.strerror}",
                remedy="Free disk space; it is written again with the next checkpoint.",
            ) from None

    def read(self, path: str) -> bytes | None:
        """Return a tile, bundle or checkpoint, or None."""
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _write(self, path: str, data: bytes) -> None:
        target = self.folder / path
        if target.parent not in self._folders:
            target.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(target.parent)
        fresh = target.with_name(target.name + ".new")
        fresh.write_bytes(data)
        os.replace(fresh, target)

    def _stored_size(self, limit: int) -> int:
        """Return the size that the checkpoint on disk names, if it is no larger than the history."""
        data = self.read(CHECKPOINT)
        if data is None:
            return 0
        lines = data.decode("utf-8", "replace").split("\n")
        size = lines[1] if len(lines) > 2 else ""
        return int(size) if size.isascii() and size.isdigit() and int(size) <= limit else 0
