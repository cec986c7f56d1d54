"""The history's tree: RFC 9162 section 2.1, with SHA-256.

Rules:

- A leaf is hashed behind 0x00 and an inner node behind 0x01, so that neither passes for the other.
- Building functions raise ValueError when asked for what does not exist: that is a mistake of the caller.
- Verifying functions return a verdict and never raise: what they are given may come from anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any

HASH_BYTES = 32
# Sizes are 64-bit numbers in every format that carries them; a path over so many leaves has at most 64 steps.
MAX_SIZE = 2**63
EMPTY_ROOT = sha256(b"").digest()

_LEAF = b"\x00"
_NODE = b"\x01"

Node = Callable[[int, int], bytes]
"""`node(level, index)`: hash over leaves index * 2^level up to, not including, (index + 1) * 2^level."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf with this data."""
    return sha256(_LEAF + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the inner node over two hashes."""
    return sha256(_NODE + left + right).digest()


def tree_root(leaves: Iterable[bytes]) -> bytes:
    """Return MTH, the root over the data of all leaves in order (RFC 9162 section 2.1.1)."""
    return root_from_hashes([sha256(_LEAF + data).digest() for data in leaves])


def root_from_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return the root over the hashes of all leaves in order.

    Pairs neighbours level by level and carries a last odd one up as it is, which gives the same tree as splitting at
    the largest power of two.
    """
    if not hashes:
        return EMPTY_ROOT
    row = list(hashes)
    while len(row) > 1:
        odd = row[-1] if len(row) & 1 else None
        row = [sha256(_NODE + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=False)]
        if odd is not None:
            row.append(odd)
    return row[0]


def path_in(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the inclusion path of one leaf in a tree that is small enough to have all its leaves at hand.

    Args:
        leaves: data of all leaves.
        index: which one, from 0.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ValueError("no such leaf")
    row = [sha256(_LEAF + data).digest() for data in leaves]
    path = []
    while len(row) > 1:
        if index ^ 1 < len(row):
            path.append(row[index ^ 1])
        odd = row[-1] if len(row) & 1 else None
        row = [sha256(_NODE + left + right).digest() for left, right in zip(row[::2], row[1::2], strict=False)]
        if odd is not None:
            row.append(odd)
        index >>= 1
    return path


def range_hash(start: int, end: int, node: Node) -> bytes:
    """Return the root over leaves `start` to `end` (not included), `start` being where such a subtree may begin.

    That is, `start` is a multiple of the smallest power of two that is not below `end - start`.
    """
    parts = []
    while start < end:
        level = (end - start).bit_length() - 1
        parts.append(node(level, start >> level))
        start += 1 << level
    root = parts.pop()
    while parts:
        root = sha256(_NODE + parts.pop() + root).digest()
    return root


def inclusion_path(index: int, size: int, node: Node) -> list[bytes]:
    """Return PATH: what proves leaf `index` in the tree of the first `size` leaves (RFC 9162 section 2.1.3.1).

    Args:
        index: of the leaf, from 0.
        size: leaves of the tree.
        node: hashes of perfect subtrees; only ones that lie within `size` are asked for.

    Returns:
        hashes from the leaf up.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start = middle
    path.reverse()
    return path


def consistency_path(first: int, second: int, node: Node) -> list[bytes]:
    """Return PROOF: what proves that a tree of `second` leaves begins with the `first` (RFC 9162 section 2.1.4.1).

    Empty when `first` is 0 or equal to `second`.

    Raises:
        ValueError: `first` is larger than `second`, or negative.
    """
    if not 0 <= first <= second:
        raise ValueError("sizes are in the wrong order")
    if first == 0:
        return []
    start, end = 0, second
    path = []
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(range_hash(middle, end, node))
            end = middle
        else:
            path.append(range_hash(start, middle, node))
            start = middle
    # The verifier knows the older root itself; it lacks this hash only where the older tree is not one perfect subtree.
    if start:
        path.append(range_hash(start, end, node))
    path.reverse()
    return path


def _split(count: int) -> int:
    """Return the largest power of two below `count`, which is 2 or more."""
    return 1 << ((count - 1).bit_length() - 1)


def _is_hash(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == HASH_BYTES


def _is_path(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) <= 64 and all(_is_hash(step) for step in value)


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < MAX_SIZE


def root_from_path(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that a leaf hash and its inclusion path lead to (RFC 9162 section 2.1.3.2).

    Returns:
        32 bytes, or None when the path has not the one length that this index and size ask for, or anything given is
        not what it should be.
    """
    if not (_is_hash(leaf) and _is_size(index) and _is_size(size) and _is_path(path)) or index >= size:
        return None
    last = size - 1
    root = leaf
    for step in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            root = sha256(_NODE + step + root).digest()
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            root = sha256(_NODE + root + step).digest()
        index >>= 1
        last >>= 1
    return root if last == 0 else None


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether the leaf with this hash is at `index` in the tree of `size` leaves with this root."""
    return _is_hash(root) and root_from_path(leaf, index, size, path) == root


def verify_consistency(first: int, first_root: bytes, second: int, second_root: bytes, path: Sequence[bytes]) -> bool:
    """Tell whether a tree of `second` leaves begins with one of `first` (RFC 9162 section 2.1.4.2).

    The empty tree begins every tree; its path is empty.
    """
    if not (_is_size(first) and _is_size(second) and first <= second):
        return False
    if not (_is_hash(first_root) and _is_hash(second_root) and _is_path(path)):
        return False
    if first == 0:
        return not path and first_root == EMPTY_ROOT and (second > 0 or second_root == EMPTY_ROOT)
    if first == second:
        return not path and first_root == second_root
    if not path:
        return False
    steps = list(path) if first & (first - 1) else [first_root, *path]
    index, last = first - 1, second - 1
    while index & 1:
        index >>= 1
        last >>= 1
    older = newer = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            older = sha256(_NODE + step + older).digest()
            newer = sha256(_NODE + step + newer).digest()
            while not index & 1 and index:
                index >>= 1
                last >>= 1
        else:
            newer = sha256(_NODE + newer + step).digest()
        index >>= 1
        last >>= 1
    return last == 0 and older == first_root and newer == second_root


class Frontier:
    """The right edge of a growing tree: enough to append leaves and to know the root, in at most 63 hashes.

    Attributes:
        size: leaves so far.
        hashes: roots of the perfect subtrees that make up the tree, the largest (leftmost) first; one for each bit
            that is set in `size`. Not to be changed by others.
    """

    __slots__ = ("hashes", "size")

    def __init__(self) -> None:
        self.size = 0
        self.hashes: list[bytes] = []

    @classmethod
    def from_hashes(cls, size: int, hashes: Sequence[bytes]) -> Frontier:
        """Take up again where a frontier with this size and these hashes was left.

        Raises:
            ValueError: the hashes are not as many as the size asks for, or not 32 bytes each.
        """
        if not _is_size(size) or len(hashes) != size.bit_count() or not all(_is_hash(part) for part in hashes):
            raise ValueError("hashes do not fit the size")
        frontier = cls()
        frontier.size = size
        frontier.hashes = list(hashes)
        return frontier

    def append(self, leaf: bytes) -> None:
        """Add one leaf by its hash."""
        size = self.size
        hashes = self.hashes
        while size & 1:
            leaf = sha256(_NODE + hashes.pop() + leaf).digest()
            size >>= 1
        hashes.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add leaves by their hashes, in order."""
        count = self.size
        hashes = self.hashes
        pop, push, new = hashes.pop, hashes.append, sha256
        for leaf in leaves:
            size = count
            value = leaf
            while size & 1:
                value = new(_NODE + pop() + value).digest()
                size >>= 1
            push(value)
            count += 1
        self.size = count

    def root(self) -> bytes:
        """Return the root of the tree so far."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in self.hashes[-2::-1]:
            root = sha256(_NODE + left + root).digest()
        return root

    def copy(self) -> Frontier:
        """Return a frontier that grows on its own from here."""
        frontier = Frontier()
        frontier.size = self.size
        frontier.hashes = self.hashes.copy()
        return frontier

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Frontier):
            return NotImplemented
        return self.size == other.size and self.hashes == other.hashes

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Frontier(size={self.size}, root={self.root().hex()[:16]})"
