"""The history as files that anybody can serve and check: C2SP tlog-tiles (https://c2sp.org/tlog-tiles).

Rules:

- A full tile or bundle has 256 entries and never changes. A partial one is written under a name of its own for each
  width, and may go once the full one is there.
- A hash goes up a level only when the tile under it is full.
- Nothing here touches a disk: builders return what to write, readers are given a function that reads.

Order of writing, for whoever does: full and partial files first, then the checkpoint that needs them, and only then
delete what is obsolete. A crash between any two leaves at most files that nobody needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError, StorageError
from tallystick.merkle.log import HASH_BYTES, root_from_hashes

TILE_WIDTH = 256
TILE_LEVELS = 8  # tree levels that one tile spans: 2^8 = 256
ENTRIES = -1  # the level of a bundle of entries, under the hash tiles of level 0
MAX_ENTRY_BYTES = 0xFFFF
_CACHED_TILES = 64

K = TypeVar("K")
V = TypeVar("V")

TileSource = Callable[[str], bytes | None]
"""`read(path)`: the contents of a file of the log, its path relative to the log's folder; None when it is not there."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile or an entry bundle: level (`ENTRIES` for a bundle), index in that level, width 1 to 256."""

    level: int
    index: int
    width: int

    @property
    def path(self) -> str:
        """Where it is served, relative to the log."""
        if self.level == ENTRIES:
            return entries_path(self.index, self.width)
        return tile_path(self.level, self.index, self.width)


class TileFiles(NamedTuple):
    """What a flush asks for: `files` to write as (path, contents), then `obsolete` folders (`….p`) to delete whole.

    An obsolete folder may not exist, and holds nothing but partial files whose full file is in place.
    """

    files: list[tuple[str, bytes]]
    obsolete: list[str]


def _index_path(index: int) -> str:
    """Return an index in groups of three digits, all but the last behind an x: 1234067 is x001/x234/067."""
    text = f"{index % 1000:03d}"
    while index >= 1000:
        index //= 1000
        text = f"x{index % 1000:03d}/{text}"
    return text


def _path(prefix: str, index: int, width: int) -> str:
    if index < 0 or not 1 <= width <= TILE_WIDTH:
        raise ValueError("no such tile")
    suffix = "" if width == TILE_WIDTH else f".p/{width}"
    return f"{prefix}/{_index_path(index)}{suffix}"


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of a hash tile, such as `tile/1/x001/234` or, partial, `tile/0/000.p/17`.

    Raises:
        ValueError: level not 0 to 63, index negative, or width not 1 to 256.
    """
    if not 0 <= level <= 63:
        raise ValueError("no such tile")
    return _path(f"tile/{level}", index, width)


def entries_path(index: int, width: int = TILE_WIDTH) -> str:
    """Return the path of an entry bundle, such as `tile/entries/000.p/17`.

    Raises:
        ValueError: index negative, or width not 1 to 256.
    """
    return _path("tile/entries", index, width)


def encode_entries(leaves: Iterable[bytes]) -> bytes:
    """Return the bundle of these leaf data: each behind its length in two bytes, big-endian.

    Raises:
        ValueError: one is longer than 65,535 bytes.
    """
    parts = []
    for leaf in leaves:
        if len(leaf) > MAX_ENTRY_BYTES:
            raise ValueError("entry too long")
        parts.append(len(leaf).to_bytes(2, "big"))
        parts.append(leaf)
    return b"".join(parts)


def decode_entries(bundle: bytes) -> list[bytes]:
    """Return the leaf data in a bundle of 1 to 256.

    Raises:
        MalformedError: it ends inside an entry, or holds none or more than 256.
    """
    leaves = []
    offset = 0
    while offset < len(bundle):
        start = offset + 2
        offset = start + int.from_bytes(bundle[offset:start], "big")
        if start > len(bundle) or offset > len(bundle):
            raise MalformedError("entry bundle ends early")
        leaves.append(bundle[start:offset])
    if not 1 <= len(leaves) <= TILE_WIDTH:
        raise MalformedError("entry bundle has a wrong number of entries")
    return leaves


def tiles_for(old_size: int, new_size: int) -> list[Tile]:
    """List the bundles and tiles, full and partial, that a log needs new when it grows from one size to another.

    In an order that is safe to write in: entries, then hashes from the lowest level up.

    Raises:
        ValueError: a log does not shrink.
    """
    if not 0 <= old_size <= new_size:
        raise ValueError("a log does not shrink")
    tiles: list[Tile] = []
    for level in (ENTRIES, *range(64)):
        shift = TILE_LEVELS * max(level, 0)
        before, after = old_size >> shift, new_size >> shift
        if before == after:
            break
        tiles.extend(Tile(level, index, TILE_WIDTH) for index in range(before // TILE_WIDTH, after // TILE_WIDTH))
        if after % TILE_WIDTH:
            tiles.append(Tile(level, after // TILE_WIDTH, after % TILE_WIDTH))
    return tiles


def missing(path: str) -> StorageError:
    """Return the error for a file of the log that is not there."""
    return StorageError(
        f"the history's file {path} is missing",
        remedy="Run `tally ledger check`; restore the log folder from a backup or let it be rebuilt from the ledger.",
    )


def damaged(path: str) -> IntegrityError:
    """Return the error for a file of the log that is not what it should be."""
    return IntegrityError(
        f"the history's file {path} is damaged",
        remedy="Run `tally ledger check`; restore the log folder from a backup or let it be rebuilt from the ledger.",
    )


def read_hashes(read: TileSource, tile: Tile) -> list[bytes] | None:
    """Return the hashes of a tile, from the full one when the partial is gone; None when neither is there.

    Raises:
        IntegrityError: the file has the wrong length.
    """
    for width in dict.fromkeys((tile.width, TILE_WIDTH)):
        path = replace(tile, width=width).path
        data = read(path)
        if data is not None:
            if len(data) != width * HASH_BYTES:
                raise damaged(path)
            return [data[at : at + HASH_BYTES] for at in range(0, tile.width * HASH_BYTES, HASH_BYTES)]
    return None


def read_entries(read: TileSource, index: int, width: int) -> list[bytes]:
    """Return the first `width` entries of a bundle, from the full one when the partial is gone.

    Raises:
        StorageError: neither is there.
        IntegrityError: the file is not a bundle of that many.
    """
    for wide in dict.fromkeys((width, TILE_WIDTH)):
        path = entries_path(index, wide)
        data = read(path)
        if data is not None:
            try:
                leaves = decode_entries(data)
            except MalformedError:
                raise damaged(path) from None
            if len(leaves) != wide:
                raise damaged(path)
            return leaves[:width]
    raise missing(entries_path(index, width))


class TileReader:
    """Reads the tree of a log of one size from its tiles; keeps the last few in memory.

    Its `node` is what `inclusion_path` and `consistency_path` ask for. It does not check hashes against a root: whoever
    uses a path does that.
    """

    def __init__(self, read: TileSource, size: int) -> None:
        """Open a log.

        Args:
            read: gives the contents of a file by its path, or None.
            size: leaves of the tree; every tile that it needs must be there, full or of the width of this size.
        """
        self.size = size
        self._read = read
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._bundles: dict[int, list[bytes]] = {}

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of the perfect subtree of 2^level leaves number `index`.

        Raises:
            ValueError: it is not within the size.
            StorageError: a tile is missing.
            IntegrityError: a tile has the wrong length.
        """
        if level < 0 or index < 0 or (index + 1) << level > self.size:
            raise ValueError("no such subtree")
        tile_level, inner = divmod(level, TILE_LEVELS)
        first = index << inner
        hashes = self._tile(tile_level, first // TILE_WIDTH)
        at = first % TILE_WIDTH
        return root_from_hashes(hashes[at : at + (1 << inner)])

    def leaf(self, index: int) -> bytes:
        """Return the data of one leaf.

        Raises:
            ValueError: there is no such leaf.
            StorageError: its bundle is missing.
            IntegrityError: its bundle is not one.
        """
        if not 0 <= index < self.size:
            raise ValueError("no such leaf")
        number, at = divmod(index, TILE_WIDTH)
        leaves = self._bundles.get(number)
        if leaves is None:
            leaves = read_entries(self._read, number, min(TILE_WIDTH, self.size - number * TILE_WIDTH))
            _remember(self._bundles, number, leaves)
        return leaves[at]

    def _tile(self, level: int, index: int) -> list[bytes]:
        hashes = self._tiles.get((level, index))
        if hashes is None:
            width = min(TILE_WIDTH, (self.size >> (TILE_LEVELS * level)) - index * TILE_WIDTH)
            tile = Tile(level, index, width)
            found = read_hashes(self._read, tile)
            if found is None:
                raise missing(tile.path)
            hashes = found
            _remember(self._tiles, (level, index), hashes)
        return hashes


def _remember(cache: dict[K, V], key: K, value: V) -> None:
    """Keep a value, and forget the oldest when there are too many."""
    if len(cache) >= _CACHED_TILES:
        del cache[next(iter(cache))]
    cache[key] = value
