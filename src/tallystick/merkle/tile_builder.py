"""Turns a growing history into tiles, holding no more of it than the unfinished tile of each level.

Appending costs two list operations, and 255 hashes once in 256 leaves. Files are made by `flush`, as often as the
caller wants to publish: the partial bundle and tiles are written anew each time, under the name of their width.
"""

from __future__ import annotations

from typing import NamedTuple

from tallystick.merkle.log import HASH_BYTES, Frontier, leaf_hash, root_from_hashes
from tallystick.merkle.tiles import (
    ENTRIES,
    MAX_ENTRY_BYTES,
    TILE_LEVELS,
    TILE_WIDTH,
    Tile,
    TileFiles,
    TileSource,
    damaged,
    encode_entries,
    entries_path,
    missing,
    read_entries,
    read_hashes,
)


class Edge(NamedTuple):
    """All that a log needs of its past to go on growing, and to prove what comes: its unfinished bundle and tiles.

    Attributes:
        size: leaves so far.
        entries: data of the leaves in the unfinished bundle.
        levels: hashes in the unfinished tile of each level, lowest first.
    """

    size: int
    entries: tuple[bytes, ...]
    levels: tuple[tuple[bytes, ...], ...]


class TileBuilder:
    """Collects leaves and hands out the files that make them a C2SP tlog-tiles log.

    Attributes:
        size: leaves so far. Not to be changed by others.
    """

    def __init__(self) -> None:
        self.size = 0
        self._entries: list[bytes] = []
        # Hashes of the unfinished tile of each level, lowest first; 0 to 255 each.
        self._levels: list[list[bytes]] = [[]]
        # Finished since the last flush.
        self._finished: list[tuple[str, bytes]] = []
        self._obsolete: list[str] = []
        # Hashes that each level had at the last flush (-1: unknown), so that only new partial tiles are written.
        self._flushed: list[int] = [0]
        # Whether the unfinished tile of each level may have partial files by now.
        self._has_partial: list[bool] = [False]

    @classmethod
    def resume(cls, size: int, read: TileSource) -> TileBuilder:
        """Take up a log again where its files end, or at any earlier size.

        A partial file may be replaced by the full one, and a missing partial hash tile is computed from the tiles under
        it; only the bundle of the last `size % 256` entries has to be there. When it is not, resume at the multiple of
        256 below and append the leaves that are missing.

        Args:
            size: leaves that the log is to begin with.
            read: gives the contents of a file of the log by its path, or None.

        Raises:
            StorageError: a file that is needed is missing.
            IntegrityError: a file has a wrong length or form, or entries and hashes do not belong together.
        """
        builder = cls()
        builder.size = size
        width = size % TILE_WIDTH
        if width:
            index = size // TILE_WIDTH
            builder._entries = read_entries(read, index, width)
            hashes = [leaf_hash(entry) for entry in builder._entries]
            stored = read_hashes(read, Tile(0, index, width))
            if stored is not None and stored != hashes:
                raise damaged(entries_path(index, width))
            builder._levels[0] = hashes
        level = 1
        while size >> (TILE_LEVELS * level):
            builder._levels.append(_resume_level(size, level, read))
            level += 1
        # Which widths were written before is not known here: write the present ones again, delete all in the end.
        builder._flushed = [-1] * len(builder._levels)
        builder._has_partial = [True] * len(builder._levels)
        return builder

    @classmethod
    def from_edge(cls, edge: Edge) -> TileBuilder:
        """Take up a log whose files from before are elsewhere; `frontier` tells whether the edge is of a known history.

        Raises:
            ValueError: the parts do not fit the size, or the entries not their hashes.
        """
        builder = cls()
        builder.size = edge.size
        count = 1
        while edge.size >> (TILE_LEVELS * count):
            count += 1
        widths = [(edge.size >> (TILE_LEVELS * level)) % TILE_WIDTH for level in range(count)]
        if [len(level) for level in edge.levels] != widths:
            raise ValueError("hashes do not fit the size")
        if any(len(part) != HASH_BYTES for level in edge.levels for part in level):
            raise ValueError("not a hash")
        if tuple(leaf_hash(entry) for entry in edge.entries) != edge.levels[0]:
            raise ValueError("entries do not fit their hashes")
        builder._entries = list(edge.entries)
        builder._levels = [list(level) for level in edge.levels]
        builder._flushed = [-1] * count
        builder._has_partial = [True] * count
        return builder

    def edge(self) -> Edge:
        """Return what `from_edge` needs to go on from here."""
        return Edge(self.size, tuple(self._entries), tuple(tuple(level) for level in self._levels))

    def append(self, leaf_data: bytes, leaf: bytes) -> None:
        """Add one leaf.

        Args:
            leaf_data: what its bundle holds, at most 65,535 bytes; the ledger's are at most 512.
            leaf: its hash, which the caller has already.

        Raises:
            ValueError: the data is too long, or the hash not 32 bytes.
        """
        if len(leaf_data) > MAX_ENTRY_BYTES or len(leaf) != HASH_BYTES:
            raise ValueError("not a leaf of the history")
        self._entries.append(leaf_data)
        self._levels[0].append(leaf)
        self.size += 1
        if not self.size % TILE_WIDTH:
            self._finish()

    def _finish(self) -> None:
        """Put away the bundle and every tile that just became full; each hands its root to the level above."""
        self._put_away(Tile(ENTRIES, self.size // TILE_WIDTH - 1, TILE_WIDTH), encode_entries(self._entries))
        self._entries = []
        level = 0
        while len(self._levels[level]) == TILE_WIDTH:
            hashes = self._levels[level]
            index = (self.size >> (TILE_LEVELS * (level + 1))) - 1
            self._put_away(Tile(level, index, TILE_WIDTH), b"".join(hashes))
            self._levels[level] = []
            self._has_partial[level] = False
            level += 1
            if level == len(self._levels):
                self._levels.append([])
                self._flushed.append(0)
                self._has_partial.append(False)
            self._levels[level].append(root_from_hashes(hashes))

    def _put_away(self, tile: Tile, data: bytes) -> None:
        self._finished.append((tile.path, data))
        if self._has_partial[max(tile.level, 0)]:
            self._obsolete.append(f"{tile.path}.p")

    def flush(self) -> TileFiles:
        """Return the files that the log needs for its present size and has not been given before.

        Returns:
            files in an order that is safe to write in, each path once, and the folders of partial files whose full
            file is among them. Delete those only after everything else is written. The first flush after `resume`
            writes the partial files of the present size again. Should writing fail, `resume` anew: it is told once.
        """
        files = self._finished
        obsolete = self._obsolete
        for level, hashes in enumerate(self._levels):
            count = self.size >> (TILE_LEVELS * level)
            if hashes and count != self._flushed[level]:
                index = count // TILE_WIDTH
                if level == 0:
                    files.append((Tile(ENTRIES, index, len(hashes)).path, encode_entries(self._entries)))
                files.append((Tile(level, index, len(hashes)).path, b"".join(hashes)))
                self._has_partial[level] = True
            self._flushed[level] = count
        self._finished = []
        self._obsolete = []
        return TileFiles(files, obsolete)

    def frontier(self) -> Frontier:
        """Return the frontier of the tree so far; its root tells whether resumed files are this ledger's history."""
        parts = []
        for level in reversed(range(len(self._levels))):
            hashes = self._levels[level]
            start = 0
            for inner in reversed(range(TILE_LEVELS)):
                if len(hashes) & (1 << inner):
                    parts.append(root_from_hashes(hashes[start : start + (1 << inner)]))
                    start += 1 << inner
        return Frontier.from_hashes(self.size, parts)


def _resume_level(size: int, level: int, read: TileSource) -> list[bytes]:
    """Return the hashes of the unfinished tile of a level above 0, computing them from below if it is not there."""
    index, width = divmod(size >> (TILE_LEVELS * level), TILE_WIDTH)
    if not width:
        return []
    hashes = read_hashes(read, Tile(level, index, width))
    if hashes is not None:
        return hashes
    hashes = []
    for below in range(index * TILE_WIDTH, index * TILE_WIDTH + width):
        tile = Tile(level - 1, below, TILE_WIDTH)
        full = read_hashes(read, tile)
        if full is None:
            raise missing(tile.path)
        hashes.append(root_from_hashes(full))
    return hashes
