"""The entries of a state tree, in buckets by prefix, with or without a limit of memory.

Without a loader every bucket is in memory. With one, those not touched for longest are dropped once all take more than
the limit (by the clock algorithm: one more round for whatever was touched since the hand last came by), and are read
back, and checked against the hash the tree has for them, when they are needed. A loader may know them from elsewhere
(the records); where nobody does, a saver is handed what changed before it is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from tallystick.errors import IntegrityError
from tallystick.merkle.state_hash import ENTRY_BYTES, subtree_root

BucketLoader = Callable[[int, int], bytes]
"""`loader(prefix, bits)`: all entries whose place begins with these bits, sorted and packed; see `prefix_range`."""

BucketSaver = Callable[[int, int, bytes], bool]
"""`saver(prefix, bits, entries)`: keep what the loader is to give; whether it could. No entries: forget the bucket."""

# What a bucket that is not empty takes in memory beside its entries.
BUCKET_BYTES = 64


def prefix_range(prefix: int, bits: int) -> tuple[bytes, bytes]:
    """Return the first and the last 32-byte place that begin with `bits` bits of this value, both included."""
    free = 256 - bits
    first = prefix << free
    return first.to_bytes(32, "big"), (first + (1 << free) - 1).to_bytes(32, "big")


class Buckets:
    """Packed entries by the tree node that they are under.

    Attributes:
        slots: one for each node: its entries, or None where there is no bucket or it is not in memory. Others may read
            it, and change it through `put` only.
        limited: whether buckets may be out of memory.
    """

    __slots__ = ("_cached", "_hand", "_limit", "_loader", "_saver", "_touched", "_unsaved", "limited", "slots")

    def __init__(
        self, bits: int, loader: BucketLoader | None, limit: int | None, saver: BucketSaver | None = None
    ) -> None:
        """Make 2^bits empty buckets, all to be in memory until `begin_limit`.

        Raises:
            ValueError: a limit without a loader.
        """
        if limit is not None and loader is None:
            raise ValueError("a limit of memory needs a loader")
        count = 1 << bits
        self.slots: list[bytes | None] = [None] * count + [b""] * count
        self.limited = False
        self._loader = loader
        self._saver = saver
        self._limit = limit or 0
        self._cached = 0
        self._touched = bytearray(2 * count)
        self._unsaved = bytearray(2 * count)
        self._hand = 0

    def begin_limit(self) -> None:
        """Hold to the limit from now on; before, what is in memory was not counted."""
        self.limited = True
        self._cached = sum([_cost(entries) for entries in self.slots])
        self._unsaved = bytearray(b"\x01") * len(self.slots)

    def grow(self) -> None:
        """Make room for buckets one level further down."""
        self.slots.extend([None] * len(self.slots))
        self._touched.extend(bytes(len(self._touched)))
        self._unsaved.extend(bytes(len(self._unsaved)))

    def get(self, node: int, expected: bytes) -> bytes:
        """Return the entries under a node, reading them back if need be.

        Args:
            node: in heap order, the root being 1.
            expected: its hash.

        Raises:
            IntegrityError: what the loader gave is not what the tree was made of.
        """
        entries = self.slots[node]
        if entries is None:
            bits = node.bit_length() - 1
            entries = self._loader(node - (1 << bits), bits) if self._loader else b""
            if len(entries) % ENTRY_BYTES or subtree_root(entries, bits) != expected:
                raise IntegrityError(
                    "the records on disk are not those that the state root stands for",
                    remedy="Run `tally ledger check`, and restore the ledger from a backup or from another member.",
                )
            self.put(node, entries)
            self._unsaved[node] = 0
        elif self.limited:
            self._touched[node] = 1
        return entries

    def put(self, node: int, entries: bytes | None) -> None:
        """Set the entries under a node; None when they are split up further down."""
        if self.limited:
            self._cached += _cost(entries) - _cost(self.slots[node])
            self._touched[node] = self._unsaved[node] = 1
            if entries is None and self._saver is not None:
                self._save(node, b"")
        self.slots[node] = entries

    def put_away(self, node: int, entries: bytes) -> None:
        """Set the entries under a node that are not to be in memory now, if they can be had again."""
        self.put(node, entries)
        if self._saver is None or self._save(node, entries):
            self._cached -= _cost(entries)
            self.slots[node] = None

    def _save(self, node: int, entries: bytes) -> bool:
        bits = node.bit_length() - 1
        return self._saver is not None and self._saver(node - (1 << bits), bits, entries)

    def fits(self, size: int) -> bool:
        """Tell whether this many more bytes are within the limit."""
        return not self.limited or self._cached + size <= self._limit

    def trim(self, kept: Iterable[int]) -> None:
        """Drop buckets once they are above the limit, a little more than need be, but none of those in `kept`.

        With a saver none has to be kept, as it has what was not applied where the loader reads.
        """
        if not self.limited or self._cached <= self._limit:
            return
        saving = self._saver is not None
        spared: frozenset[int] = frozenset(() if saving else kept)
        slots, touched, unsaved = self.slots, self._touched, self._unsaved
        enough = self._limit - self._limit // 32
        for _ in range(2 * len(slots)):
            node = self._hand = (self._hand + 1) % len(slots)
            if touched[node]:
                touched[node] = 0
            elif (entries := slots[node]) and node not in spared:
                if saving and unsaved[node] and not self._save(node, entries):
                    return  # no room on disk either: rather above the limit than wrong
                unsaved[node] = 0
                self._cached -= _cost(entries)
                slots[node] = None
                if self._cached <= enough:
                    return


def _cost(entries: bytes | None) -> int:
    return len(entries) + BUCKET_BYTES if entries else 0


class Parts(Protocol):
    """Entries in any order, parted by the first byte of their place."""

    def add(self, place: bytes, leaf: bytes) -> None:
        """Take an entry."""

    def finish(self) -> int:
        """Return the bytes of all entries; none is added behind this."""

    def take(self, number: int) -> bytes:
        """Return the entries of a part, which is empty then."""


class MemoryParts:
    """Parts in memory."""

    def __init__(self) -> None:
        self._parts = [bytearray() for _ in range(256)]

    def add(self, place: bytes, leaf: bytes) -> None:
        """Take an entry."""
        self._parts[place[0]] += place + leaf

    def finish(self) -> int:
        """Return the bytes of all entries."""
        return sum(map(len, self._parts))

    def take(self, number: int) -> bytes:
        """Return the entries of a part."""
        packed = bytes(self._parts[number])
        self._parts[number] = bytearray()
        return packed


def sorted_buckets(
    entries: Iterable[tuple[bytes, bytes]], parts: Parts | None = None
) -> tuple[int, Callable[[int], Iterator[tuple[int, bytes]]]]:
    """Take in many entries, in any order and without holding them as objects.

    Args:
        entries: (place, leaf hash) of each.
        parts: where they are held meanwhile; in memory by default.

    Returns:
        how many there are, and a function that gives, once, (node, packed entries) of each bucket that is not empty,
        for the number of bits it is called with.

    Raises:
        ValueError: something is not 32 bytes.
    """
    held = parts or MemoryParts()
    add = held.add
    for place, leaf in entries:
        if len(place) != 32 or len(leaf) != 32:
            raise ValueError("a place and a leaf hash are 32 bytes each")
        add(place, leaf)
    return held.finish() // ENTRY_BYTES, lambda bits: _split_up(held, bits)


def _split_up(parts: Parts, bits: int) -> Iterator[tuple[int, bytes]]:
    """Give the buckets of entries that are parted by the first byte of their place; empties the parts on the way.

    Raises:
        ValueError: a place comes twice.
    """
    top, shift = 1 << bits, 64 - bits
    pending: list[bytes] = []
    current, last = 0, b""
    for number in range(256):
        packed = parts.take(number)
        for entry in sorted([packed[at : at + ENTRY_BYTES] for at in range(0, len(packed), ENTRY_BYTES)]):
            node = top | (int.from_bytes(entry[:8], "big") >> shift)
            if node != current:
                if pending:
                    yield current, b"".join(pending)
                    pending = []
                current = node
            elif entry[:32] == last:
                raise ValueError("a place comes twice")
            last = entry[:32]
            pending.append(entry)
    if pending:
        yield current, b"".join(pending)
