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
from tallystick.merkle import (
    TILE_WIDTH,
    Edge,
    Frontier,
    TileBuilder,
    decode_entries,
    encode_entries,
    entries_path,
    leaf_hash,
    tile_path,
)
from tallystick.merkle.log import HASH_BYTES
from tallystick.merkle.tiles import TILE_LEVELS

CHECKPOINT = "checkpoint"
_PARTIAL = ".p"
_BUNDLES = "entries"


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

    def resume(
        self,
        size: int,
        leaves: Callable[[int, int], Iterator[bytes]],
        root: bytes | None = None,
        begin: Edge | None = None,
    ) -> None:
        """Continue from what is on disk up to `size`, adding what is missing there.

        Args:
            size: of the history in `ledger.db`.
            leaves: gives the data of leaves from one index to another.
            root: of the history; where what is on disk does not lead to it, all is written anew.
            begin: edge of the history before the first leaf that `leaves` can give, where it cannot give all.
        """
        self.broken = False
        self._folders.clear()
        first = 0 if begin is None else begin.size
        stored = self._stored_size(size)
        try:
            self._builder = TileBuilder.resume(stored, self.read) if stored > first else _builder(begin)
        except NodeError:
            stored = 0
            self._builder = _builder(begin)
        self._catch_up(self._builder.size, size, leaves)
        if stored > first and root is not None and self.frontier().root() != root:
            self._builder = _builder(begin)
            self._catch_up(first, size, leaves)

    def frontier(self) -> Frontier:
        """Return the right edge of the history's tree; its root tells whether the tiles are of this history."""
        return self._builder.frontier()

    def _catch_up(self, stored: int, size: int, leaves: Callable[[int, int], Iterator[bytes]]) -> None:
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

    def write_checkpoint(self, note: str) -> bool:
        """Write a checkpoint of at most the size that was flushed, behind the partial files that its size needs.

        A replica's tiles grow in other steps than the orderer's checkpoints: the partial files of just this size need
        not be there yet.

        Returns:
            whether it was written; False where the tiles do not reach its size yet.

        Raises:
            StorageError: the disk refuses.
        """
        try:
            for partial, full in _unfinished(_size_of(note)):
                if (self.folder / partial).exists() or (self.folder / full).exists():
                    continue
                data = self.read(partial)
                if data is None:
                    return False
                self._write(partial, data)
            self._write(CHECKPOINT, note.encode())
            return True
        except OSError as error:
            raise StorageError(
                f"cannot write the log under {self.folder}: {error.strerror}",
                remedy="Free disk space; it is written again with the next checkpoint.",
            ) from None

    def read(self, path: str) -> bytes | None:
        """Return a tile, bundle or checkpoint, or None; a partial one is cut from a wider one if it is not there."""
        target = self.folder / path
        try:
            return target.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return self._cut(target) if target.parent.suffix == _PARTIAL else None

    def _cut(self, target: Path) -> bytes | None:
        """Return a partial file from the narrowest of its neighbours that holds it, or None."""
        try:
            width = int(target.name)
            wider = min(int(name) for name in os.listdir(target.parent) if name.isdigit() and int(name) > width)
            data = target.with_name(str(wider)).read_bytes()
            if _BUNDLES in target.parts:
                return encode_entries(decode_entries(data)[:width])
        except (OSError, ValueError):
            return None
        return data[: width * HASH_BYTES]

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
        size = _size_of(data.decode("utf-8", "replace"))
        return size if size <= limit else 0


def _builder(begin: Edge | None) -> TileBuilder:
    return TileBuilder() if begin is None else TileBuilder.from_edge(begin)


def _unfinished(size: int) -> Iterator[tuple[str, str]]:
    """Yield the path of each partial file of a size, with that of the full one which may have taken its place."""
    for level in range(64):
        index, width = divmod(size >> (TILE_LEVELS * level), TILE_WIDTH)
        if not index and not width:
            return
        if width and not level:
            yield entries_path(index, width), entries_path(index)
        if width:
            yield tile_path(level, index, width), tile_path(level, index)


def _size_of(note: str) -> int:
    """Return the size that a checkpoint names; 0 where it is none."""
    lines = note.split("\n", 2)
    size = lines[1] if len(lines) > 2 else ""
    return int(size) if size.isascii() and size.isdigit() and len(size) < 17 else 0
