"""Every column of every row counts: one byte changed anywhere is found, and named by table, row and column."""

import re
import sqlite3

import pytest

from tallystick.store.schema import TABLES
from tests.support.ledgers import check

COLUMNS = [(table, column) for table, _, columns in TABLES for column, _, _ in columns]
# What follows from the history alone; of the other rows nobody can know how many arrived.
DERIVED = ("meta", "blocks", "transactions", "bundles", "operations", "events", "records", "trust")


class Escaped(str):
    """A text with a byte that is no UTF-8, written as a lone surrogate."""


def changes(value):
    """Return values that differ from a cell in one byte or in their kind."""
    if value is None:
        return [0, ""]
    if isinstance(value, int):
        return [value + 1, value - 1, value ^ 64, float(value) + 0.5, f"x{value}", None]
    if isinstance(value, bytes):
        middle = len(value) // 2
        return [
            bytes((value[0] ^ 1,)) + value[1:],
            value[:middle] + bytes((value[middle] ^ 32,)) + value[middle + 1 :],
            value[:-1] + bytes((value[-1] ^ 128,)),
            value + b"\x00",
            value[:-1],
            value.hex(),
        ]
    if not value:
        return ["x", "\x00", b""]
    middle = len(value) // 2
    return [
        chr(ord(value[0]) ^ 1) + value[1:],
        value[:middle] + chr(ord(value[middle]) ^ 1) + value[middle + 1 :],
        value[:-1] + chr(ord(value[-1]) ^ 1),
        value + "\x00",
        value[:middle] + "\x00" + value[middle:],
        value[:-1],
        value.encode(),
        Escaped(value[:-1] + "\udcff"),
    ]


def write(connection, table, column, rowid, value):
    """Set one cell; return the row's number afterwards, or None where SQLite itself refuses."""
    holder = "CAST(? AS TEXT)" if isinstance(value, Escaped) else "?"
    given = value.encode("utf-8", "surrogateescape") if isinstance(value, Escaped) else value
    try:
        rows = connection.execute(
            f'UPDATE "{table}" SET "{column}" = {holder} WHERE rowid = ? RETURNING rowid', (given, rowid)
        ).fetchall()
    except sqlite3.IntegrityError:
        return None
    return rows[0][0]


@pytest.mark.parametrize(("table", "column"), COLUMNS, ids=[".".join(pair) for pair in COLUMNS])
def test_any_changed_cell_is_found_and_named(home, table, column):
    """Whatever a cell is changed to, the first finding names the table, the row (as it was or is), and the column."""
    connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
    connection.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
    rows = connection.execute(f'SELECT rowid, "{column}" FROM "{table}"').fetchall()
    named = dict(connection.execute(f'SELECT rowid, {"name" if table == "meta" else "rowid"} FROM "{table}"'))
    tried = 0
    for rowid, value in rows:
        for change in changes(value):
            now = write(connection, table, column, rowid, change)
            if now is None:
                continue
            report = check(home)
            assert not report.ok, change
            place = report.first.place
            rows_named = {str(named[rowid]), str(now)}
            match = re.fullmatch(rf"(?:block \d+: )?{table} row (\S+)(?: \(.*\))?: columns? (.+)", place)
            assert match, (change, str(report.first))
            assert match[1] in rows_named, (change, str(report.first))
            assert column in match[2].split(", "), (change, str(report.first))
            tried += 1
            assert rowid == write(connection, table, column, now, value)
    connection.close()
    assert tried >= len(rows) > 0
    assert check(home).ok


@pytest.mark.parametrize("table", DERIVED)
def test_any_missing_row_is_found(home, table):
    """A row that is gone is missed."""
    connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
    for (rowid,) in connection.execute(f'SELECT rowid FROM "{table}"').fetchall():
        columns = ", ".join(column for name, column in COLUMNS if name == table)
        row = connection.execute(f'SELECT rowid, {columns} FROM "{table}" WHERE rowid = ?', (rowid,)).fetchone()
        connection.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (rowid,))
        report = check(home)
        assert not report.ok
        assert (
            f"{row[1] if table in ('meta', 'blocks') else rowid}" in report.first.place or table in report.first.place
        )
        holders = ", ".join("?" * len(row))
        connection.execute(f'INSERT INTO "{table}"(rowid, {columns}) VALUES ({holders})', row)
    connection.close()
    assert check(home).ok


@pytest.mark.parametrize("table", [name for name, _, _ in TABLES])
def test_any_additional_row_is_found(home, table):
    """A row that nothing leads to is noticed, wherever it is."""
    connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
    columns = [column for name, column in COLUMNS if name == table]
    row = list(connection.execute(f'SELECT {", ".join(columns)} FROM "{table}" ORDER BY rowid DESC LIMIT 1').fetchone())
    row[0] = row[0] + 1 if isinstance(row[0], int) else f"{row[0]}x"
    row = [value + b"x" if table == "transactions" and isinstance(value, bytes) else value for value in row]
    row = [value.replace("v", "w") if table == "forks" and isinstance(value, str) else value for value in row]
    row = [f"{value}x" if name == "key" else value for name, value in zip(columns, row, strict=True)]
    connection.execute(f'INSERT INTO "{table}" VALUES ({", ".join("?" * len(row))})', row)
    connection.close()
    report = check(home)
    assert not report.ok
    assert f"{table} row" in report.first.place
