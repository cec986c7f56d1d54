"""Putting older blocks into a ledger that began from a snapshot, from another file in which they were executed.

Step by step, oldest first, each step one SQL transaction that also notes how far it came: what reads or writes the
ledger meanwhile is held up by no more than a step. Until the last one nothing counts of what was put in: the ledger
still says that it began later. The last step takes that away.

Rows keep the numbers that they have in the other file. Those of the ledger's own follow on them, by the counts that the
snapshot came with; where these were wrong, which nothing that is signed tells before, they are put right first.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tallystick.errors import IntegrityError, StorageError
from tallystick.store.base import BASE, BASE_EDGE, BASE_HEADS, MERGED, Base, merged_height
from tallystick.store.bundles import place_of
from tallystick.store.database import LedgerStore
from tallystick.store.faults import broken

_STEP_OPERATIONS = 2_000
_STEP_BLOCKS = 500


class OlderRows:
    """The ledger's side of older blocks."""

    def __init__(self, store: LedgerStore, path: Path) -> None:
        """Open both files.

        Args:
            store: the ledger, which has a base.
            path: of the file with all blocks up to that one, and none after it.

        Raises:
            StorageError: it cannot be used.
        """
        self._store = store
        try:
            store._connection.execute("ATTACH DATABASE ? AS older", (str(path),))
        except sqlite3.Error as error:
            raise broken(path, error) from None

    def close(self) -> None:
        """Close the other file."""
        self._store._connection.execute("DETACH DATABASE older")

    def step(self) -> int:
        """Put in the next few blocks; return the height reached.

        Raises:
            StorageError: nothing of this step was written.
            IntegrityError: the other file does not end with the block that this ledger began from.
        """
        store, base = self._store, self._store.base
        if base is None:
            raise StorageError(f"{store.path} has its older blocks already", remedy="Nothing is to be done.")
        reached = merged_height(store._connection)
        if not reached:
            self._begin(base)
        end = self._end_of_step(reached, base)
        with store._transaction() as connection:
            self._copy(connection, reached, end, base)
            if end < base.height:
                connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (MERGED, str(end)))
            else:
                # A checkpoint of the size that it began with is of the first block with that size.
                connection.execute(
                    "UPDATE checkpoints SET height = (SELECT min(height) FROM blocks WHERE size = ?) WHERE size = ?",
                    (base.size, base.size),
                )
                connection.execute("DELETE FROM meta WHERE name IN (?, ?, ?, ?)", (BASE, BASE_EDGE, BASE_HEADS, MERGED))
        if end == base.height:
            store.look_again()
        return end

    def _begin(self, base: Base) -> None:
        """Check that the other file leads to where this ledger began, and let this one's numbers follow on its."""
        rows = self._store.query(
            "SELECT o.last_event, (SELECT max(seq) FROM older.transactions), o.header = m.header "
            "FROM older.blocks o JOIN main.blocks m ON m.height = o.height WHERE o.height = ?",
            (base.height,),
        )
        if not rows or not rows[0][2]:
            raise IntegrityError(
                f"the older blocks do not lead to block {base.height}, from which this copy began",
                remedy="They are fetched again; if it happens again, compare with other members: tally ledger compare.",
            )
        events, transactions, _ = rows[0]
        transactions = transactions or 0
        if (events, transactions) != (base.events, base.transactions):
            self._renumber(base, transactions - base.transactions, events - base.events)

    def _renumber(self, base: Base, transactions: int, events: int) -> None:
        """Move this ledger's own numbers; by way of negative ones, so that none meets another."""
        with self._store._transaction() as connection:
            run = connection.execute
            run("UPDATE operations SET tx = tx + ?", (transactions,))
            run("UPDATE transactions SET seq = -(seq + ?)", (transactions,))
            run("UPDATE transactions SET seq = -seq")
            run("UPDATE events SET seq = -(seq + ?)", (events,))
            run("UPDATE events SET seq = -seq")
            run("UPDATE blocks SET last_event = last_event + ?", (events,))
            run(
                "UPDATE meta SET value = json_set(value, '$.events', ?, '$.transactions', ?) WHERE name = ?",
                (base.events + events, base.transactions + transactions, BASE),
            )
        self._store.look_again()

    def _end_of_step(self, reached: int, base: Base) -> int:
        """Return the last height of the next step: at least one block, else as many as are within its measure."""
        (size,) = self._store.query("SELECT coalesce(max(size), 0) FROM older.blocks WHERE height <= ?", (reached,))[0]
        (end,) = self._store.query(
            "SELECT max(height) FROM older.blocks WHERE height > ? AND height <= ? AND (size <= ? OR height = ?)",
            (reached, min(reached + _STEP_BLOCKS, base.height), size + _STEP_OPERATIONS, reached + 1),
        )[0]
        if end is None:
            raise IntegrityError(
                f"block {reached + 1} is missing among the older blocks",
                remedy="They are fetched again at the next start.",
            )
        return int(end)

    @staticmethod
    def _copy(connection: sqlite3.Connection, reached: int, end: int, base: Base) -> None:
        run = connection.execute
        between = (reached, end)
        # The block that this ledger began from has its row already; only its counts of rows are taken over.
        run(
            "INSERT INTO main.blocks SELECT * FROM older.blocks WHERE height > ? AND height <= ? AND height < ?",
            (*between, base.height),
        )
        run(
            "INSERT INTO main.operations SELECT o.* FROM older.transactions t JOIN older.operations o ON o.tx = t.seq "
            "WHERE t.height > ? AND t.height <= ? ORDER BY o.leaf",
            between,
        )
        run(
            "INSERT INTO main.transactions SELECT * FROM older.transactions WHERE height > ? AND height <= ? ORDER BY seq",
            between,
        )
        run(
            "INSERT INTO main.bundles SELECT * FROM older.bundles WHERE place >= ? AND place < ? ORDER BY place",
            (place_of(reached + 1, 0), place_of(end + 1, 0)),
        )
        run(
            "INSERT INTO main.events SELECT * FROM older.events WHERE "
            "seq > (SELECT coalesce(max(last_event), 0) FROM older.blocks WHERE height <= ?) AND "
            "seq <= (SELECT last_event FROM older.blocks WHERE height = ?) ORDER BY seq",
            between,
        )
