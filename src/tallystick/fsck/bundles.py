"""Reading the bundles of a block: which rows these are, and what is in them."""

from __future__ import annotations

from tallystick.codec import MalformedError
from tallystick.codec.bundles import decode_bundle
from tallystick.fsck.rows import Rows, StoredBlock
from tallystick.store.bundles import place_of


def take_bundles(rows: Rows, height: int, stored: StoredBlock) -> None:
    """Take the rows that a block's transactions are in, up to the first that cannot be one of them.

    What is odd about that one is told when the block's turn comes: the blocks before speak first.
    """
    stored.expected = place_of(height, 0)
    end = place_of(height + 1, 0)
    while (row := rows.next) is not None and isinstance(row[0], int) and row[0] < end:
        place, bundle = row
        if stored.fault:
            return
        if place != stored.expected:
            stored.odd = place
            return
        rows.take()
        stored.places.append(stored.expected)
        try:
            if not isinstance(bundle, bytes):
                raise MalformedError("not bytes")
            stored.raw += decode_bundle(bundle)
        except MalformedError as error:
            stored.fault = error.reason
        stored.expected = place_of(height, len(stored.raw))
