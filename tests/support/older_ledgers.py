"""Ledger files as earlier versions of the program left them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tallystick.machine import Rulebook
from tallystick.store import LedgerStore

# How format 1 kept transactions; all else was as it is.
FORMAT_1 = (
    "DROP VIEW history",
    "DROP TABLE transactions",
    "DROP TABLE bundles",
    "CREATE TABLE transactions(seq INTEGER PRIMARY KEY, height INTEGER NOT NULL, id BLOB NOT NULL, "
    "organisation TEXT NOT NULL, first_leaf INTEGER, bytes BLOB NOT NULL)",
    "CREATE UNIQUE INDEX transactions_id ON transactions(id)",
    "CREATE INDEX transactions_height ON transactions(height)",
    """CREATE VIEW history AS
SELECT o.leaf, t.height, strftime('%Y-%m-%dT%H:%M:%fZ', b.time_ms / 1000.0, 'unixepoch') AS time, t.organisation,
       o.type, o.outcome, lower(hex(t.id)) AS "transaction", o.leaf - t.first_leaf AS "index"
FROM operations o JOIN transactions t ON t.seq = o.tx JOIN blocks b ON b.height = t.height""",
    "UPDATE meta SET value = '1' WHERE name = 'format'",
)


def make_old(path: Path, rulebook: Rulebook) -> None:
    """Make a file one of format 1."""
    with closing(LedgerStore(path, rulebook, read_only=True)) as store:
        rows = []
        for row in store.query("SELECT seq, height, id, organisation, first_leaf FROM transactions ORDER BY seq"):
            found = store.find_transaction(row[2])
            assert found is not None
            rows.append((*row, found[2]))
    with closing(sqlite3.connect(path)) as connection:
        for statement in FORMAT_1:
            connection.execute(statement)
        connection.executemany("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
