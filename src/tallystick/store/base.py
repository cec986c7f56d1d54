"""What a ledger's file keeps of the time before its first block, where it began from a snapshot.

Rows of `meta`, written with the records in one SQL transaction and removed with the last of the older blocks:

- `base`: the block that the records were of, and how much there was before it.
- `base_edge`: the edge of the history after it, from which tiles and roots go on.
- `base_heads`: blocks before it without their transactions, newest first.
- `merged`: the height up to which older blocks have been put in since.

`began` stays for good: it tells that records were not written in the order in which blocks made them.
"""

from __future__ import annotations

import sqlite3

import msgspec

from tallystick.codec import encode_json
from tallystick.errors import IntegrityError
from tallystick.machine import Beginning, Head
from tallystick.merkle import Edge

BASE, BASE_EDGE, BASE_HEADS, MERGED, BEGAN = "base", "base_edge", "base_heads", "merged", "began"
BASE_ROWS = frozenset({BASE, BASE_EDGE, BASE_HEADS, MERGED, BEGAN})


class Base(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The block that a ledger began from.

    Attributes:
        events: that were caused up to it.
        height: of the block.
        size: of the history after it.
        transactions: that reached the history up to it.
    """

    events: int
    height: int
    size: int
    transactions: int


class _Edge(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    entries: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    size: int


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    header: str
    history_root: str
    size: int
    state_root: str


_base_decoder = msgspec.json.Decoder(Base)
_edge_decoder = msgspec.json.Decoder(_Edge)
_heads_decoder = msgspec.json.Decoder(list[_Head])


def find_base(connection: sqlite3.Connection) -> Base | None:
    """Return the block that a ledger began from; None where it has all from the first block on."""
    text = _find(connection, BASE)
    return None if text is None else decode_base(text)


def decode_base(text: str) -> Base:
    """Read the row `base`.

    Raises:
        IntegrityError: it is not one.
    """
    try:
        return _base_decoder.decode(text)
    except msgspec.MsgspecError as error:
        raise _damaged(BASE, error) from None


def decode_edge(text: str) -> Edge:
    """Read the row `base_edge`.

    Raises:
        IntegrityError: it is not one.
    """
    try:
        stored = _edge_decoder.decode(text)
        levels = tuple(tuple(bytes.fromhex(part) for part in level) for level in stored.levels)
    except (msgspec.MsgspecError, ValueError) as error:
        raise _damaged(BASE_EDGE, error) from None
    return Edge(stored.size, tuple(entry.encode() for entry in stored.entries), levels)


def decode_heads(text: str) -> list[Head]:
    """Read the row `base_heads`.

    Raises:
        IntegrityError: it is not one.
    """
    try:
        return [
            Head(each.header.encode(), bytes.fromhex(each.state_root), bytes.fromhex(each.history_root), each.size)
            for each in _heads_decoder.decode(text)
        ]
    except (msgspec.MsgspecError, ValueError) as error:
        raise _damaged(BASE_HEADS, error) from None


def read_edge(connection: sqlite3.Connection) -> Edge:
    """Return the edge of the history that a ledger began with.

    Raises:
        IntegrityError: it is not there, or not one.
    """
    return decode_edge(_find(connection, BASE_EDGE) or "")


def read_heads(connection: sqlite3.Connection) -> list[Head]:
    """Return what is known of the blocks before the one that a ledger began from, newest first.

    Raises:
        IntegrityError: it is not there, or not readable.
    """
    return decode_heads(_find(connection, BASE_HEADS) or "")


def merged_height(connection: sqlite3.Connection) -> int:
    """Return the height up to which older blocks have been put in."""
    return int(_find(connection, MERGED) or 0)


def base_rows(beginning: Beginning) -> list[tuple[str, str]]:
    """Return the rows of `meta` for a ledger that begins there."""
    base = Base(
        events=beginning.events,
        height=beginning.height,
        size=beginning.head.size,
        transactions=beginning.transactions,
    )
    edge = _Edge(
        entries=tuple(entry.decode() for entry in beginning.edge.entries),
        levels=tuple(tuple(part.hex() for part in level) for level in beginning.edge.levels),
        size=beginning.edge.size,
    )
    heads = [
        _Head(
            header=head.header.decode(),
            history_root=head.history_root.hex(),
            size=head.size,
            state_root=head.state_root.hex(),
        )
        for head in beginning.before
    ]
    return [
        (BASE, encode_json(base).decode()),
        (BASE_EDGE, encode_json(edge).decode()),
        (BASE_HEADS, encode_json(heads).decode()),
        (BEGAN, str(beginning.height)),
    ]


def _find(connection: sqlite3.Connection, name: str) -> str | None:
    row: tuple[str] | None = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return None if row is None else row[0]


def _damaged(name: str, error: Exception) -> IntegrityError:
    return IntegrityError(
        f"row {name} of table meta in the ledger is damaged: {error}",
        remedy="Restore the ledger from a backup, or join anew into a fresh home.",
    )
