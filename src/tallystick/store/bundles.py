"""A block's transactions as they are kept: in bundles, each of a part of the block.

Transactions of one zone have most of their bytes in common, and in a bundle take a third of what they take alone. A
block has as many bundles as it needs: one for all would have to be taken apart as a whole wherever one transaction is
read. The number of a bundle's row says what is in it: `height << POSITION_BITS | position` of its first transaction.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from tallystick.codec import MalformedError
from tallystick.codec.bundles import CLOSED_AT_BYTES, Bundle, decode_bundle

POSITION_BITS = 32
_KEPT_BUNDLES = 16


def place_of(height: int, position: int) -> int:
    """Return the number under which a bundle is kept that begins with this transaction of a block."""
    return height << POSITION_BITS | position


def are_cut(bundles: Sequence[Bundle]) -> bool:
    """Tell whether bundles that somebody else made are cut as `cut_bundles` does: neither long nor many."""
    for number, bundle in enumerate(bundles, 1):
        before_last = sum(map(len, bundle.transactions[:-1]))
        if before_last >= CLOSED_AT_BYTES:
            return False
        if number < len(bundles) and before_last + len(bundle.transactions[-1]) < CLOSED_AT_BYTES:
            return False
    return True


def bundle_rows(height: int, bundles: Iterable[Bundle]) -> Iterator[tuple[int, bytes]]:
    """Yield a block's bundles as rows of `bundles`."""
    position = 0
    for bundle in bundles:
        yield place_of(height, position), bundle.encoded
        position += len(bundle.transactions)


def read_bundles(connection: sqlite3.Connection, height: int) -> Iterator[bytes]:
    """Yield all transactions of a block.

    Raises:
        MalformedError: what is kept of them is damaged.
    """
    rows = connection.execute(
        "SELECT bytes FROM bundles WHERE place >= ? AND place < ? ORDER BY place",
        (place_of(height, 0), place_of(height + 1, 0)),
    )
    for (bundle,) in rows:
        yield from decode_bundle(bundle)


class BundleReader:
    """Reads single transactions, and keeps the last few bundles taken apart: what is read next is mostly beside.

    What is kept never goes out of date: a transaction's height and position are for good.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[int, list[bytes]] = OrderedDict()

    def transaction(self, connection: sqlite3.Connection, height: int, position: int) -> bytes:
        """Return a transaction by its place.

        Raises:
            MalformedError: it is not there, or what is kept of it is damaged.
        """
        place = place_of(height, position)
        for start, transactions in reversed(self._kept.items()):
            if start <= place < start + len(transactions):
                self._kept.move_to_end(start)
                return transactions[place - start]
        row: tuple[int, bytes] | None = connection.execute(
            "SELECT place, bytes FROM bundles WHERE place >= ? AND place <= ? ORDER BY place DESC LIMIT 1",
            (place_of(height, 0), place),
        ).fetchone()
        start, transactions = (0, []) if row is None else (row[0], decode_bundle(row[1]))
        if place - start >= len(transactions):
            raise MalformedError(f"no bundle has transaction {position} of block {height}")
        self._kept[start] = transactions
        while len(self._kept) > _KEPT_BUNDLES:
            self._kept.popitem(last=False)
        return transactions[place - start]
