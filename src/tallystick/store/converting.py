"""A file of format 1 becomes one of format 2, in one SQL transaction: whatever stops it leaves format 1, whole.

Format 1 kept each transaction as it is, in the column `bytes` of `transactions`. Block by block, a block's rows are written
anew, its transactions in bundles, and the old rows deleted; the pages that they leave are those that the next blocks are
written to, so that the file hardly grows meanwhile. In the end about a quarter of it is free. It is not given back: the next
blocks take it, and to rewrite the file without it would need as much space again, and the time, while a node waits.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from tallystick.codec.bundles import cut_bundles
from tallystick.store.bundles import bundle_rows
from tallystick.store.faults import broken
from tallystick.store.schema import FORMAT_VERSION, HISTORY_VIEW, INDEXES, table_statement

_OLD = "transactions_of_format_1"


def convert(connection: sqlite3.Connection, path: Path) -> int:
    """Bring a file that is open for writing from format 1 to format 2; return how many blocks had transactions.

    Raises:
        StorageError: the disk refuses; nothing was changed.
    """
    run = connection.execute
    try:
        run("BEGIN IMMEDIATE")
        if _format(connection) != "1":
            run("ROLLBACK")
            return 0
        run("DROP VIEW history")
        run("DROP INDEX transactions_id")
        run("DROP INDEX transactions_height")
        run(f"ALTER TABLE transactions RENAME TO {_OLD}")
        run(table_statement("transactions"))
        run(table_statement("bundles"))
        count = 0
        while _convert_block(connection):
            count += 1
        run(f"DROP TABLE {_OLD}")
        for index in INDEXES:
            if " ON transactions(" in index:
                run(index)
        run(HISTORY_VIEW)
        run("UPDATE meta SET value = ? WHERE name = 'format'", (str(FORMAT_VERSION),))
        run("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            run("ROLLBACK")
        if not isinstance(error, sqlite3.Error):
            raise
        found = broken(path, error)
        raise type(found)(f"{found.message}; it stays as it was, of format 1", remedy=found.remedy) from None
    # All that was written is in the write-ahead log, which would keep that size. If it cannot be emptied, it is later.
    with suppress(sqlite3.Error):
        run("PRAGMA wal_checkpoint(TRUNCATE)")
    return count


def needs_converting(connection: sqlite3.Connection) -> bool:
    """Tell whether a file is of format 1."""
    return _format(connection) == "1"


def _format(connection: sqlite3.Connection) -> object:
    row = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    return None if row is None else row[0]


def _convert_block(connection: sqlite3.Connection) -> bool:
    """Write the transactions of the first block anew that has not been; return False where there is none."""
    found = connection.execute(f"SELECT seq, height, id, organisation, first_leaf, bytes FROM {_OLD} ORDER BY seq")  # noqa: S608
    first = found.fetchone()
    if first is None:
        return False
    height = first[1]
    rows = [first, *takewhile(lambda row: row[1] == height, found)]
    found.close()
    connection.executemany(
        "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)",
        ((*row[:5], position) for position, row in enumerate(rows)),
    )
    connection.executemany(
        "INSERT INTO bundles VALUES (?, ?)", bundle_rows(height, cut_bundles(row[5] for row in rows))
    )
    connection.execute(f"DELETE FROM {_OLD} WHERE seq <= ?", (rows[-1][0],))  # noqa: S608
    return True
