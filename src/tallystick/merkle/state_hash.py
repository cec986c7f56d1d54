"""What the state tree hashes: places, leaves, and the tree over a sorted run of them.

The tree is a compact sparse Merkle tree over 256-bit places. At depth d a set of leaves has the hash

- 32 zero bytes, when it is empty;
- the hash of the leaf, when it has one;
- otherwise SHA-256(0x01 || hash of those with bit d clear || hash of those with bit d set), bits counted from the most
  significant.

So a lone leaf stands at its shortest unique prefix, while a subtree with two leaves or more keeps its full depth.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from struct import Struct

ENTRY_BYTES = 64
EMPTY = bytes(32)

_LEAF = b"\x00"
_NODE = b"\x01"
_PLACE = b"\x02"
_EMPTY_LEFT = _NODE + EMPTY
# An entry as the first 64 bits of its place, which nearly always are enough to tell places apart, and its leaf hash.
_unpack = Struct(">Q24x32s").iter_unpack


def state_key(collection: str, key: str) -> bytes:
    """Return the place of a record: SHA-256 over 0x02 and both names, each behind its length as four bytes."""
    first = collection.encode()
    second = key.encode()
    length = len(first).to_bytes(4, "big")
    return sha256(b"".join((_PLACE, length, first, len(second).to_bytes(4, "big"), second))).digest()


def state_leaf(place: bytes, value_hash: bytes) -> bytes:
    """Return the hash of the leaf that holds a value at a place.

    Args:
        place: 32 bytes, from `state_key`.
        value_hash: SHA-256 of the record's canonical bytes.
    """
    return sha256(_LEAF + place + value_hash).digest()


def subtree_root(entries: bytes, depth: int) -> bytes:
    """Return the hash of the leaves in a packed run, as a subtree at `depth`.

    Args:
        entries: 64 bytes each, place and leaf hash, sorted by place; all places share their first `depth` bits.
        depth: 0 for the whole tree.
    """
    count = len(entries) // ENTRY_BYTES
    if count < 2:
        return entries[32:] if count else EMPTY
    if count == 2:
        (first, left), (second, right) = _unpack(entries)
        branch = 64 - (first ^ second).bit_length()
        if branch == 64:
            return _merge(_with_long_places(entries), 256, depth)
        value = sha256(_NODE + left + right).digest()
        while branch > depth:
            branch -= 1
            value = sha256(_EMPTY_LEFT + value if (first >> (63 - branch)) & 1 else _NODE + value + EMPTY).digest()
        return value
    return _merge(_unpack(entries), 64, depth) or _merge(_with_long_places(entries), 256, depth)


def _with_long_places(entries: bytes) -> Iterator[tuple[int, bytes]]:
    """Give (place, leaf hash) of packed entries, for those whose places are alike in the first 64 bits."""
    for at in range(0, len(entries), ENTRY_BYTES):
        yield int.from_bytes(entries[at : at + 32], "big"), entries[at + 32 : at + ENTRY_BYTES]


def _merge(leaves: Iterator[tuple[int, bytes]], bits: int, depth: int) -> bytes:
    """Return the hash of two leaves or more, in order of their places, as a subtree at `depth`.

    One pass over neighbours: the depth at which two of them part is where a node joins all before, as far as they are
    alike, with all after.

    Args:
        leaves: the first `bits` bits of each place, and the leaf hash.
        bits: 64 or 256.
        depth: less than `bits`.

    Returns:
        32 bytes, or none when two places are alike in all these bits.
    """
    new = sha256
    place, value = next(leaves)
    height = bits  # depth at which `value` stands; a lone leaf may stand anywhere
    # Left halves whose right half is still to come: depth of the node over both, and hash.
    branches: list[int] = [depth - 1]
    lefts: list[bytes] = []
    for following, leaf in leaves:
        branch = bits - (place ^ following).bit_length()
        if branch == bits:
            return b""
        while branches[-1] > branch:
            over = branches.pop()
            if height != bits:
                while height > over + 1:
                    height -= 1
                    value = new(
                        _EMPTY_LEFT + value if (place >> (bits - 1 - height)) & 1 else _NODE + value + EMPTY
                    ).digest()
            value = new(_NODE + lefts.pop() + value).digest()
            height = over
        if height != bits:
            while height > branch + 1:
                height -= 1
                value = new(
                    _EMPTY_LEFT + value if (place >> (bits - 1 - height)) & 1 else _NODE + value + EMPTY
                ).digest()
        branches.append(branch)
        lefts.append(value)
        value, place, height = leaf, following, bits
    while True:
        over = branches.pop()
        if height != bits:
            while height > over + 1:
                height -= 1
                value = new(
                    _EMPTY_LEFT + value if (place >> (bits - 1 - height)) & 1 else _NODE + value + EMPTY
                ).digest()
        if not lefts:
            return value
        value = new(_NODE + lefts.pop() + value).digest()
        height = over


def border(entries: bytes, depth: int, low: int, high: int) -> int:
    """Return where, between two entry numbers of a packed run, the entries with bit `depth` set begin."""
    at, shift = depth >> 3, 7 - (depth & 7)
    while low < high:
        middle = (low + high) >> 1
        if (entries[middle * ENTRY_BYTES + at] >> shift) & 1:
            high = middle
        else:
            low = middle + 1
    return low
