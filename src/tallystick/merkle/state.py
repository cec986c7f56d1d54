"""The state tree in memory: its root after a set of changes, and proofs against it.

How it is kept, none of which affects a root or a proof:

- The upper part of the tree is a list in heap order: node 1 is the root, 2h and 2h + 1 are the halves of h.
- What is below some depth is a bucket: the packed entries (place and leaf hash) with one prefix. A change computes its
  bucket anew, and the nodes above once for all changes together.
- The number of buckets is a power of two that follows the size. When it doubles, each `apply` splits about as many as it
  has changed or added entries, so that no block waits for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256

from tallystick.errors import IntegrityError
from tallystick.merkle.state_buckets import BucketLoader, Buckets, BucketSaver, Parts, sorted_buckets
from tallystick.merkle.state_entries import merged, position, replaced
from tallystick.merkle.state_hash import EMPTY, ENTRY_BYTES, border, state_leaf, subtree_root
from tallystick.merkle.state_proof import StateProof

# Entries a bucket on average before the number of buckets doubles: few as long as memory allows, since a change hashes
# its whole bucket; many when most are on disk, so that what stays in memory is small and a reading brings something.
_DENSE = 4
_SPARSE = 32
# What an entry takes in memory, nodes and buckets included, while buckets are dense.
_DENSE_ENTRY_BYTES = 128
_SPLITS_AT_LEAST = 8
# In place of the hash of a node that is further down than its bucket.
_BELOW = b""
_NODE = b"\x01"


@dataclass(frozen=True, slots=True, eq=False)
class StateUpdate:
    """What a set of changes makes of a tree; does nothing until that tree applies it.

    Attributes:
        root: the state root afterwards.
        size: records afterwards.
        version: of the tree that it was computed from.
        rows: new hashes by node, the deepest level first.
        buckets: new entries by node.
    """

    root: bytes
    size: int
    version: int
    rows: list[dict[int, bytes]]
    buckets: dict[int, bytes]


class StateTree:
    """The compact sparse Merkle tree over all records of a state."""

    def __init__(
        self,
        *,
        loader: BucketLoader | None = None,
        max_cached_bytes: int | None = None,
        saver: BucketSaver | None = None,
    ) -> None:
        """Make an empty tree.

        Args:
            loader: reads the entries of a bucket from where the records are kept, or from where `saver` puts them. Without
                a saver it must know what was applied by the time of the second `preview` after that `apply`.
            max_cached_bytes: how much the entries in memory may take; None for no limit. Needs a loader.
            saver: keeps the entries of a bucket that changed and is dropped from memory.

        Raises:
            ValueError: a limit without a loader.
        """
        self._loader = loader
        self._saver = saver
        self._limit = max_cached_bytes
        self._start(0)

    def _start(self, bits: int) -> None:
        self._bits = bits
        self._growing = False
        self._sweep = 0  # while growing, the next bucket to split
        self._size = 0
        self._version = 0
        self._nodes: list[bytes] = [EMPTY] * (2 << bits)
        self._buckets = Buckets(bits, self._loader, self._limit, self._saver)
        self._recent: Iterable[int] = ()

    @classmethod
    def build(
        cls,
        entries: Iterable[tuple[bytes, bytes]],
        *,
        loader: BucketLoader | None = None,
        max_cached_bytes: int | None = None,
        saver: BucketSaver | None = None,
        parts: Parts | None = None,
    ) -> StateTree:
        """Make the tree of many records at once.

        Args:
            entries: (place, leaf hash) of each record, in any order.
            loader: as for a new tree.
            max_cached_bytes: as for a new tree.
            saver: as for a new tree.
            parts: where the entries are held while they are sorted; in memory by default.

        Raises:
            ValueError: a place comes twice, something is not 32 bytes, or there is a limit without a loader.
        """
        tree = cls(loader=loader, max_cached_bytes=max_cached_bytes, saver=saver)
        size, buckets_of = sorted_buckets(entries, parts)
        bits = 0
        while tree._too_few(size, bits):
            bits += 1
        tree._start(bits)
        tree._size = size
        tree._watch_limit()
        nodes, buckets = tree._nodes, tree._buckets
        counts = bytearray(len(nodes))  # leaves under a node: 0, 1, or 2 for more
        for node, bucket in buckets_of(bits):
            nodes[node] = subtree_root(bucket, bits)
            counts[node] = min(len(bucket) // ENTRY_BYTES, 2)
            if buckets.fits(len(bucket)):
                buckets.put(node, bucket)
            else:
                buckets.put_away(node, bucket)
        for node in range((1 << bits) - 1, 0, -1):
            count = counts[2 * node] + counts[2 * node + 1]
            if count < 2:
                nodes[node] = nodes[2 * node] if counts[2 * node] else nodes[2 * node + 1]
            else:
                nodes[node] = sha256(_NODE + nodes[2 * node] + nodes[2 * node + 1]).digest()
            counts[node] = min(count, 2)
        return tree

    @property
    def root(self) -> bytes:
        """The state root: 32 zero bytes when there is no record."""
        return self._nodes[1]

    def __len__(self) -> int:
        return self._size

    def find_leaf(self, place: bytes) -> bytes | None:
        """Return the leaf hash at a place, or None."""
        buckets = self._buckets
        node = self._bucket_of(place)
        entries = buckets.slots[node]
        if entries is None or buckets.limited:
            buckets.trim(self._recent)
            entries = buckets.get(node, self._nodes[node])
        at = entries.find(place)
        if at < 0:
            return None
        if at % ENTRY_BYTES:  # met by chance across two entries
            at = position(entries, place)
        return entries[at + 32 : at + ENTRY_BYTES] if entries[at : at + 32] == place else None

    def preview(self, changes: Mapping[bytes, bytes | None]) -> StateUpdate:
        """Return what the tree becomes with these changes, and leave it as it is.

        Args:
            changes: place -> new leaf hash, or None to remove what is there (or is not).

        Raises:
            ValueError: something is not 32 bytes.
            IntegrityError: a bucket that was read back is not what it was.
        """
        self._buckets.trim(self._recent)
        nodes, buckets, slots = self._nodes, self._buckets, self._buckets.slots
        groups: dict[int, list[bytes]] = {}
        for place in changes:
            node = self._bucket_of(place)
            if node in groups:
                groups[node].append(place)
            else:
                groups[node] = [place]
        deepest = self._bits + self._growing
        rows: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})  # of the deepest level, and of the one above
        few: dict[int, int] = {}
        changed: dict[int, bytes] = {}
        growth = 0
        for node, places in groups.items():
            before = slots[node]
            if before is None or buckets.limited:
                before = buckets.get(node, nodes[node])
            if len(places) == 1:
                after = replaced(before, places[0], changes[places[0]])
            else:
                after = merged(before, places, changes)
            changed[node] = after
            growth += len(after) - len(before)
            if len(after) <= ENTRY_BYTES:
                few[node] = len(after) // ENTRY_BYTES
            depth = node.bit_length() - 1
            rows[deepest - depth][node] = subtree_root(after, depth)
        levels = self._climb(rows[0], rows[1], few) if groups else []
        root = levels[-1][1] if levels else nodes[1]
        return StateUpdate(root, self._size + growth // ENTRY_BYTES, self._version, levels, changed)

    def apply(self, update: StateUpdate) -> None:
        """Make a previewed update the tree's state.

        Raises:
            ValueError: the tree has changed since that preview.
        """
        if update.version != self._version:
            raise ValueError("the state tree has changed since this update was computed")
        self._write(update.rows)
        buckets = self._buckets
        for node, entries in update.buckets.items():
            buckets.put(node, entries)
        added = update.size - self._size
        self._size = update.size
        self._version += 1
        self._recent = update.buckets
        self._watch_limit()
        if self._growing or self._too_few(self._size, self._bits):
            # Few buckets may take many entries: then their number must not lag behind.
            self._grow(_SPLITS_AT_LEAST + max(len(update.buckets), added))

    def proof(self, place: bytes, value_hash_of: Callable[[bytes], bytes]) -> StateProof:
        """Return what proves that a record is at a place, or that none is.

        Args:
            place: 32 bytes.
            value_hash_of: gives the SHA-256 of the value at a place that has one; asked only when the proof of absence
                needs another record's.

        Raises:
            IntegrityError: that hash is not the one in the tree.
        """
        self._buckets.trim(self._recent)
        node = self._bucket_of(place)
        depth = node.bit_length() - 1
        path = [self._nodes[(node >> level) ^ 1] for level in range(depth)]
        entries = self._buckets.get(node, self._nodes[node])
        low, high = 0, len(entries) // ENTRY_BYTES
        while high - low > 1:
            middle = border(entries, depth, low, high)
            below, above = entries[low * ENTRY_BYTES : middle * ENTRY_BYTES], entries[middle * 64 : high * 64]
            if (place[depth >> 3] >> (7 - (depth & 7))) & 1:
                path.insert(0, subtree_root(below, depth + 1))
                low = middle
            else:
                path.insert(0, subtree_root(above, depth + 1))
                high = middle
            depth += 1
        entry: bytes | None = entries[low * ENTRY_BYTES : high * ENTRY_BYTES]
        siblings = _without_empty(path)
        if not entry and siblings and len(path) <= node.bit_length() - 1:
            # A lone record on the other side stands further up, and with it the place where this one would be.
            entry = self._only_entry((node >> (len(path) - len(siblings))) ^ 1)
            if entry:
                siblings = _without_empty(siblings[1:])
        if not entry:
            return StateProof("empty", tuple(siblings))
        if entry[:32] == place:
            return StateProof("present", tuple(siblings))
        value_hash = value_hash_of(entry[:32])
        if state_leaf(entry[:32], value_hash) != entry[32:]:
            raise IntegrityError(
                "a record is not the one that the state root stands for", remedy="Run `tally ledger check`."
            )
        return StateProof("other", tuple(siblings), entry[:32], value_hash)

    def _bucket_of(self, place: bytes) -> int:
        """Return the node of the bucket that a place belongs to."""
        if len(place) != 32:
            raise ValueError("a place is 32 bytes")
        bits = self._bits
        if self._growing:
            node = (2 << bits) | (int.from_bytes(place[:8], "big") >> (63 - bits))
            return node if self._nodes[node] else node >> 1
        return (1 << bits) | (int.from_bytes(place[:8], "big") >> (64 - bits))

    def _climb(self, row: dict[int, bytes], upper: dict[int, bytes], few: dict[int, int]) -> list[dict[int, bytes]]:
        """Compute all nodes above changed ones.

        Args:
            row: new hashes by node, of the deepest level.
            upper: new hashes of the level above that do not depend on `row`.
            few: how many leaves are under a changed node, if 0 or 1; emptied on the way.

        Returns:
            new hashes by node, a mapping a level, up to the root.
        """
        nodes, new = self._nodes, sha256
        rows = [row]
        while 1 not in row:
            if few:
                self._climb_few(row, upper, few)
            else:
                for node, value in row.items():
                    if not node & 1:
                        right = row[node + 1] if node + 1 in row else nodes[node + 1]
                        upper[node >> 1] = new(_NODE + value + right).digest()
                    elif node - 1 not in row:
                        upper[node >> 1] = new(_NODE + nodes[node - 1] + value).digest()
            rows.append(upper)
            row, upper = upper, {}
        return rows

    def _climb_few(self, row: dict[int, bytes], upper: dict[int, bytes], few: dict[int, int]) -> None:
        """Compute one level where some nodes have fewer than two leaves, which have no node of their own over them."""
        for node, value in row.items():
            other = node ^ 1
            if node & 1 and other in row:
                continue
            count = few.pop(node, 2)
            if other in row:
                beside = row[other]
                others = few.pop(other, 2)
            else:
                beside = self._nodes[other]
                others = 0 if beside == EMPTY else 1 if not count and self._only_entry(other) else 2
            if count + others < 2:
                upper[node >> 1] = value if count else beside
                few[node >> 1] = count + others
            else:
                pair = _NODE + beside + value if node & 1 else _NODE + value + beside
                upper[node >> 1] = sha256(pair).digest()

    def _only_entry(self, node: int) -> bytes | None:
        """Return the one entry under a node that is not empty, or None if there are more."""
        nodes = self._nodes
        while 2 * node < len(nodes) and nodes[2 * node]:
            if nodes[2 * node] == EMPTY:
                node = 2 * node + 1
            elif nodes[2 * node + 1] == EMPTY:
                node = 2 * node
            else:
                return None
        entries = self._buckets.get(node, nodes[node])
        return entries if len(entries) == ENTRY_BYTES else None

    def _write(self, rows: list[dict[int, bytes]]) -> None:
        nodes = self._nodes
        for row in rows:
            for node, value in row.items():
                nodes[node] = value

    def _too_few(self, size: int, bits: int) -> bool:
        """Tell whether there are too few buckets for this many entries."""
        return size > (_DENSE if self._all_in_memory(size) else _SPARSE) << bits

    def _all_in_memory(self, size: int) -> bool:
        """Tell whether so many entries are within the limit, however they lie."""
        return self._limit is None or size * _DENSE_ENTRY_BYTES <= self._limit

    def _watch_limit(self) -> None:
        """Hold to the limit of memory once there are too many entries; counting before would only take time."""
        if not self._buckets.limited and not self._all_in_memory(self._size):
            self._buckets.begin_limit()

    def _grow(self, splits: int) -> None:
        """Go on doubling the number of buckets, by at most so many splits."""
        while splits > 0 and (self._growing or self._too_few(self._size, self._bits)):
            if not self._growing:
                self._nodes.extend([_BELOW] * len(self._nodes))
                self._buckets.grow()
                self._growing = True
                self._sweep = 1 << self._bits
            end = min(self._sweep + splits, 2 << self._bits)
            for node in range(self._sweep, end):
                self._split(node)
            splits -= end - self._sweep
            self._sweep = end
            if end == 2 << self._bits:
                self._bits += 1
                self._growing = False

    def _split(self, node: int) -> None:
        """Replace a bucket by two, one level further down."""
        buckets = self._buckets
        entries = buckets.get(node, self._nodes[node])
        depth = node.bit_length()
        middle = border(entries, depth - 1, 0, len(entries) // ENTRY_BYTES) * ENTRY_BYTES
        buckets.put(node, None)
        for child, part in ((2 * node, entries[:middle]), (2 * node + 1, entries[middle:])):
            self._nodes[child] = subtree_root(part, depth)
            buckets.put(child, part)


def _without_empty(path: list[bytes]) -> list[bytes]:
    """Return a path, from the leaf up, without the empty siblings that it begins with."""
    for index, sibling in enumerate(path):
        if sibling != EMPTY:
            return path[index:]
    return []
