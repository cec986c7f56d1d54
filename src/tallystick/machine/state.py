"""The state as operations see it: typed records over a read-only base, with writes kept aside in layers.

Three layers: the base (committed records, behind `Reader`), the block's writes, and the writes of the operation (or
atomic transaction) now running. The last is merged into the block's on success and dropped on a rejection, so that a
rejected operation changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from tallystick.machine.schema import Collection, Record
from tallystick.merkle import state_key

R = TypeVar("R", bound=Record)


class Reader(Protocol):
    """Committed records, as of the last block."""

    def read(self, collection: str, key: str) -> bytes | None:
        """Return the canonical bytes of a record, or None."""

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield (key, bytes) of the keys that start with `prefix`, in order of their UTF-8 bytes."""


class Places(Protocol):
    """Which records there are, without their values: the state tree answers this from memory."""

    def find_leaf(self, place: bytes) -> bytes | None:
        """Return the leaf hash at a place (`merkle.state_key`), or None where there is no record."""


class State:
    """Typed, layered view of the records. One is made for each block and used by one thread.

    Attributes:
        known_places: (collection, key) -> place in the state tree, where it was computed already.
        touched: names of the collections that anything was written to, though it may have been undone.
    """

    __slots__ = ("_block", "_cache", "_created", "_places", "_reader", "_undo", "known_places", "touched")

    def __init__(self, reader: Reader, places: Places | None = None) -> None:
        """Look at committed records.

        Args:
            reader: the records.
            places: answers faster that a record is not there; must agree with `reader`.
        """
        self._reader = reader
        self._places = places
        # (collection, key) -> (collection object, record or None): all writes of the block so far.
        self._block: dict[tuple[str, str], tuple[Collection[Any], Any]] = {}
        # Committed records already read, so that each is fetched and decoded once a block.
        self._cache: dict[tuple[str, str], Any] = {}
        # While an operation runs: what each key held in `_block` before, to put back on a rejection.
        self._undo: list[tuple[tuple[str, str], tuple[Collection[Any], Any] | None]] | None = None
        self._created = 0
        self.known_places: dict[tuple[str, str], bytes] = {}
        self.touched: set[str] = set()

    def find(self, collection: Collection[R], key: str) -> R | None:
        """Return the record, or None."""
        where = (collection.name, key)
        written = self._block.get(where)
        if written is not None:
            found: R | None = written[1]
            return found
        return self._committed(collection, where)

    def get(self, collection: Collection[R], key: str) -> R:
        """Return the record.

        Raises:
            KeyError: there is none; operations check with `find` first and reject by number.
        """
        record = self.find(collection, key)
        if record is None:
            raise KeyError(f"{collection.name}/{key}")
        return record

    def has(self, collection: Collection[Any], key: str) -> bool:
        """Tell whether there is such a record."""
        where = (collection.name, key)
        if self._places is not None and where not in self._block and where not in self._cache:
            place = self.known_places[where] = state_key(collection.name, key)
            if self._places.find_leaf(place) is None:
                self._cache[where] = None
                return False
        return self.find(collection, key) is not None

    def put(self, collection: Collection[R], key: str, record: R) -> None:
        """Write a record; seen by all that follows in the block."""
        where = (collection.name, key)
        before = self._block.get(where)
        existed = before[1] is not None if before is not None else self._committed(collection, where) is not None
        if not existed:
            self._created += 1
        if self._undo is not None:
            self._undo.append((where, before))
        self._block[where] = (collection, record)
        self.touched.add(collection.name)

    def remove(self, collection: Collection[Any], key: str) -> None:
        """Remove a record of the machine's own bookkeeping.

        Raises:
            ValueError: the collection is not bookkeeping: what was recorded stays.
        """
        if not collection.bookkeeping:
            raise ValueError(f"records of {collection.name} are never removed")
        where = (collection.name, key)
        if self._undo is not None:
            self._undo.append((where, self._block.get(where)))
        self._block[where] = (collection, None)
        self.touched.add(collection.name)

    def scan(self, collection: Collection[R], prefix: str = "") -> Iterator[tuple[str, R]]:
        """Yield (key, record) of the keys that start with `prefix`, in order of their UTF-8 bytes."""
        written = sorted(
            (key.encode(), key) for name, key in self._block if name == collection.name and key.startswith(prefix)
        )
        position = 0
        for key, value in self._reader.scan(collection.name, prefix):
            encoded = key.encode()
            while position < len(written) and written[position][0] < encoded:
                yield from self._written(collection, written[position][1])
                position += 1
            if position < len(written) and written[position][0] == encoded:
                yield from self._written(collection, key)
                position += 1
            else:
                yield key, collection.decode(value)
        for _, key in written[position:]:
            yield from self._written(collection, key)

    def begin(self) -> int:
        """Start what may be undone as a whole; return the mark to undo to."""
        if self._undo is None:
            self._undo = []
            self._created = 0
        return len(self._undo)

    def rollback(self, mark: int, created: int) -> None:
        """Put back everything written since `mark`; `created` is the count of new records at that mark."""
        undo = self._undo
        assert undo is not None  # noqa: S101 - begin() comes before rollback()
        while len(undo) > mark:
            where, before = undo.pop()
            if before is None:
                del self._block[where]
            else:
                self._block[where] = before
        self._created = created

    @property
    def created(self) -> int:
        """Records created since `begin`."""
        return self._created

    def finish(self) -> None:
        """Keep what was written since `begin`."""
        self._undo = None
        self._created = 0

    def writes(self) -> list[tuple[str, str, bytes | None]]:
        """Return (collection, key, canonical bytes or None) of all writes of the block, in order of collection, key.

        A record that was only put back to what it had been is left out, and so is one that came and went.
        """
        result: list[tuple[str, str, bytes | None]] = []
        # Python compares text by code point, which is the order of its UTF-8 bytes.
        for where in sorted(self._block):
            collection, record = self._block[where]
            before = self._committed(collection, where)
            if record is not None:
                if record != before:
                    result.append((where[0], where[1], collection.encode(record)))
            elif before is not None:
                result.append((where[0], where[1], None))
        return result

    def _committed(self, collection: Collection[R], where: tuple[str, str]) -> R | None:
        cache = self._cache
        if where in cache:
            found: R | None = cache[where]
            return found
        value = self._reader.read(where[0], where[1])
        record = None if value is None else collection.decode(value)
        cache[where] = record
        return record

    def _written(self, collection: Collection[R], key: str) -> Iterator[tuple[str, R]]:
        record = self._block[(collection.name, key)][1]
        if record is not None:
            yield key, record
