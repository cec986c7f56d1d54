"""The packed entries of a bucket, place and leaf hash of each, sorted by place: where one is, and changing them."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.merkle.state_hash import ENTRY_BYTES


def position(entries: bytes, place: bytes) -> int:
    """Return the offset of the entry at a place, or of where it would be."""
    low, high = 0, len(entries) // ENTRY_BYTES
    while low < high:
        middle = (low + high) >> 1
        at = middle * ENTRY_BYTES
        if entries[at : at + 32] < place:
            low = middle + 1
        else:
            high = middle
    return low * ENTRY_BYTES


def replaced(entries: bytes, place: bytes, leaf: bytes | None) -> bytes:
    """Return packed entries with one leaf set or removed.

    Raises:
        ValueError: the leaf is not 32 bytes.
    """
    if leaf is not None and len(leaf) != 32:
        raise ValueError("a leaf hash is 32 bytes")
    at = rest = entries.find(place)
    if at >= 0 and not at % ENTRY_BYTES:
        rest = at + ENTRY_BYTES
    else:  # not there, or met by chance across two entries
        at = rest = position(entries, place)
        if entries[at : at + 32] == place:
            rest = at + ENTRY_BYTES
    return entries[:at] + entries[rest:] if leaf is None else entries[:at] + place + leaf + entries[rest:]


def merged(entries: bytes, places: list[bytes], changes: Mapping[bytes, bytes | None]) -> bytes:
    """Return packed entries with several leaves set or removed.

    Raises:
        ValueError: a leaf is not 32 bytes.
    """
    leaves = {entries[at : at + 32]: entries[at + 32 : at + 64] for at in range(0, len(entries), ENTRY_BYTES)}
    for place in places:
        leaf = changes[place]
        if leaf is None:
            leaves.pop(place, None)
        elif len(leaf) == 32:
            leaves[place] = leaf
        else:
            raise ValueError("a leaf hash is 32 bytes")
    return b"".join([place + leaves[place] for place in sorted(leaves)])
