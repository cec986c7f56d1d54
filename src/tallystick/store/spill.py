"""What of the state tree does not fit into memory: in files that only this process sees and that go with it.

Nothing here is ever read by another run: the tree is made anew from the records at each start, and what is read back is
checked against the tree's hashes. So nothing is synced, the files have no name, and a disk that refuses costs memory
and not correctness.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from pathlib import Path
from typing import IO

from tallystick.merkle.state_hash import ENTRY_BYTES

# A stored bucket's place: its number of units of 512 bytes from the beginning, above its number of entries.
_UNIT_BYTES = 512
_COUNT_BITS = 20
_COUNT = (1 << _COUNT_BITS) - 1
_SMALLEST = _UNIT_BYTES // ENTRY_BYTES
_PART_BUFFER_BYTES = 1 << 16


class EntryFile:
    """Buckets of a state tree by prefix; each has room for a power of two of entries, which is used again."""

    def __init__(self, folder: Path) -> None:
        """Prepare; the file is made when something is first saved.

        Args:
            folder: on the disk that has room: the node's home.
        """
        self._folder = folder
        self._file: IO[bytes] | None = None
        self._stored = array("Q", [0])
        self._free: dict[int, list[int]] = {}
        self._end = 0

    def save(self, prefix: int, bits: int, entries: bytes) -> bool:
        """Keep the entries of a bucket; none at all to forget it.

        Returns:
            whether they are kept; False where the disk refuses.
        """
        node = (1 << bits) | prefix
        stored = self._stored
        if node >= len(stored):
            stored.extend(_nothing(2 * node - len(stored)))
        before = stored[node]
        count = len(entries) // ENTRY_BYTES
        if not count:
            self._release(before)
            stored[node] = 0
            return True
        room = _room(count)
        if count > _COUNT:
            return False
        if before and _room(before & _COUNT) == room:
            unit, released = before >> _COUNT_BITS, 0
        else:
            unit, released = self._take(room), before
        try:
            written = os.pwrite(self._opened(), entries, unit * _UNIT_BYTES) == len(entries)
        except OSError:
            written = False
        if written:
            stored[node] = (unit << _COUNT_BITS) | count
            self._release(released)
        elif unit != before >> _COUNT_BITS or not before:
            self._free.setdefault(room, []).append(unit)
        return written

    def load(self, prefix: int, bits: int) -> bytes:
        """Return the entries of a bucket, or none where it is not kept."""
        node = (1 << bits) | prefix
        where = self._stored[node] if node < len(self._stored) else 0
        if not where:
            return b""
        try:
            return os.pread(self._opened(), (where & _COUNT) * ENTRY_BYTES, (where >> _COUNT_BITS) * _UNIT_BYTES)
        except OSError:
            return b""

    def _opened(self) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)
        return self._file.fileno()

    def _take(self, room: int) -> int:
        """Return a unit from which there is room for so many entries."""
        free = self._free.get(room)
        if free:
            return free.pop()
        unit = self._end
        self._end += room // _SMALLEST
        return unit

    def _release(self, where: int) -> None:
        """Let the room of a bucket be used again."""
        if where:
            self._free.setdefault(_room(where & _COUNT), []).append(where >> _COUNT_BITS)


class SpooledParts:
    """Unsorted entries in 256 parts, on disk but for a small buffer each (`merkle.state_buckets.Parts`)."""

    def __init__(self, folder: Path) -> None:
        """Make the file.

        Raises:
            OSError: the disk refuses.
        """
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)
        self._buffers = [bytearray() for _ in range(256)]
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in range(256)]
        self._end = 0
        self.total = 0

    def add(self, place: bytes, leaf: bytes) -> None:
        """Take an entry."""
        buffer = self._buffers[place[0]]
        buffer += place
        buffer += leaf
        if len(buffer) >= _PART_BUFFER_BYTES:
            self._write(place[0], buffer)

    def _write(self, number: int, buffer: bytearray) -> None:
        self._file.seek(self._end)
        self._file.write(buffer)
        self._chunks[number].append((self._end, len(buffer)))
        self._end += len(buffer)
        self.total += len(buffer)
        buffer.clear()

    def finish(self) -> int:
        """Return the bytes of all entries; none is added behind this."""
        return self.total + sum(map(len, self._buffers))

    def take(self, number: int) -> bytes:
        """Return the entries of a part."""
        chunks = [os.pread(self._file.fileno(), size, at) for at, size in self._chunks[number]]
        buffer = self._buffers[number]
        self._buffers[number] = bytearray()
        return b"".join([*chunks, buffer])


def _nothing(count: int) -> array[int]:
    """Return so many numbers that stand for buckets that are not kept."""
    return array("Q", bytes(8 * count))


def _room(count: int) -> int:
    """Return how many entries there is room for where so many are kept."""
    return max(_SMALLEST, 1 << (count - 1).bit_length())
