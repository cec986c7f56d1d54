"""Whole rows and the schema: what is deleted, added, exchanged, redirected or left stale is found."""

import itertools
import random
import sqlite3
from contextlib import closing

import pytest

from tallystick.node.inspection import check
from tallystick.store.schema import INDEXES, TABLES

COLUMNS = {name: [column for column, _, _ in columns] for name, _, columns in TABLES}
# Of what others sent, nobody can know how much arrived: a missing row there proves nothing.
DERIVED = ("meta", "blocks", "transactions", "bundles", "operations", "events", "records", "trust")


def alter(home, *statements):
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def alter_schema(home, *statements):
    """Change the schema's own table, which SQLite lets only those do who say that they mean it."""
    alter(home, "PRAGMA writable_schema = 1", *statements)


def first_place(home):
    report = check(home)
    assert not report.ok
    return report.first.place


@pytest.mark.parametrize("table", DERIVED)
def test_deleted_row_is_found(home, table):
    """A row that is gone is missed, and its table is named; but an empty last block, to which nothing leads."""
    names = ", ".join(COLUMNS[table])
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as connection:
        numbers = [row[0] for row in connection.execute(f'SELECT rowid FROM "{table}" ORDER BY rowid')]
        numbers = numbers[:-1] if table == "blocks" else numbers
        for number in random.Random(table).sample(numbers, min(12, len(numbers))):
            row = connection.execute(f'SELECT rowid, {names} FROM "{table}" WHERE rowid = ?', (number,)).fetchone()
            connection.execute(f'DELETE FROM "{table}" WHERE rowid = ?', (number,))
            assert table in first_place(home), number
            holders = ", ".join("?" * len(row))
            connection.execute(f'INSERT INTO "{table}"(rowid, {names}) VALUES ({holders})', row)
    assert check(home).ok


@pytest.mark.parametrize("table", DERIVED)
def test_exchanged_rows_are_found(home, table):
    """Two rows, each good, in each other's place are found."""
    columns = [
        name for name in COLUMNS[table] if name not in ("height", "seq", "leaf", "id", "place", "version", "name")
    ]
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as connection:
        names = ", ".join(columns)
        rows = connection.execute(f'SELECT rowid, {names} FROM "{table}" ORDER BY rowid').fetchall()
        pairs = [(one, other) for one, other in itertools.pairwise(rows) if one[1:] != other[1:]]
        for one, other in random.Random(table).sample(pairs, min(8, len(pairs))):
            write(connection, table, columns, {one[0]: other[1:], other[0]: one[1:]})
            assert table in first_place(home), (one[0], other[0])
            write(connection, table, columns, {one[0]: one[1:], other[0]: other[1:]})
    assert check(home).ok


def write(connection, table, columns, rows):
    """Give rows new values; where a pair must be unique, both step aside first."""
    if table == "records":
        connection.executemany("UPDATE records SET key = id WHERE id = ?", [(number,) for number in rows])
    sets = ", ".join(f"{column} = ?" for column in columns)
    connection.executemany(
        f'UPDATE "{table}" SET {sets} WHERE rowid = ?', [(*values, number) for number, values in rows.items()]
    )


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("INSERT INTO meta VALUES ('more', 'x')", "meta row 'more'"),
        ("INSERT INTO blocks SELECT height + 1, time_ms, header, signatures, state_root, history_root, size, last_event "
         "FROM blocks ORDER BY height DESC LIMIT 1", "blocks row 55"),
        ("INSERT INTO operations VALUES (10000, 1, 'record_evidence', 0)", "operations row 10000"),
        ("INSERT INTO events VALUES (10000, 0, '{}')", "events row 10000"),
        ("INSERT INTO records VALUES (10000, 'evidence', 'ev-more', '{}')", "records row 10000"),
        ("INSERT INTO checkpoints SELECT size + 500, root, height, note FROM checkpoints LIMIT 1", "checkpoints row"),
        ("INSERT INTO cosignatures SELECT size, 'harbour-school-2', time_s, signature FROM cosignatures LIMIT 1",
         "cosignatures row"),
        ("INSERT INTO trust VALUES (9, '{}')", "trust row 9"),
        ("INSERT INTO trust_signatures VALUES (1, 'city-agency', zeroblob(64))", "trust_signatures row"),
        ("INSERT INTO forks VALUES (2, '{}')", "forks row 2"),
    ],
)  # fmt: skip
def test_added_row_is_found(home, statement, place):
    """A row that nothing leads to is named."""
    alter(home, statement)
    assert place in first_place(home)


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("CREATE TRIGGER sly AFTER INSERT ON records BEGIN DELETE FROM events; END", "schema: trigger sly"),
        ("CREATE TEMP VIEW evidence AS SELECT 1", ""),
        ("CREATE VIEW sly AS SELECT * FROM records", "schema: view sly"),
        ("CREATE INDEX sly ON events(leaf)", "schema: index sly"),
        ("ANALYZE", "schema: table sqlite_stat1"),
    ],
)
def test_additions_to_the_schema_are_found(home, statement, place):
    """A trigger, view, index or table that a ledger has not is named; what ends with a connection is not in the file."""
    alter(home, statement)
    report = check(home)
    assert place == ("" if report.ok else report.first.place)


def test_redefined_view_is_found(home):
    """A view that shows other rows than were recorded is named, for people read views."""
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        views = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view' ORDER BY name").fetchall()
    assert len(views) > 15
    for name, sql in views:
        quiet = sql.replace("'accepted'", "'hidden'") if "accepted" in name else f"{sql} LIMIT 0"
        alter(home, f'DROP VIEW "{name}"', quiet)
        assert f"schema: view {name}" == first_place(home)
        alter(home, f'DROP VIEW "{name}"', sql)
    # A view made again stands elsewhere in the schema and says the same.
    assert check(home).ok


@pytest.mark.parametrize("index", [statement.split(" ON ")[0].split()[-1] for statement in INDEXES])
def test_index_that_does_not_fit_its_table_is_found(home, index):
    """An index that was left behind by its table would hide rows from whoever asks by it."""
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        (table, root, sql) = connection.execute(
            "SELECT tbl_name, rootpage, sql FROM sqlite_master WHERE name = ?", (index,)
        ).fetchone()
        (number,) = connection.execute(f'SELECT min(rowid) FROM "{table}"').fetchone()
    alter_schema(home, f"DELETE FROM sqlite_master WHERE name = '{index}'")
    # Without the index, a row moves; with it again, the index still says where the row was.
    alter(home, f'UPDATE "{table}" SET rowid = 5000 WHERE rowid = {number}')
    alter_schema(home, f"INSERT INTO sqlite_master VALUES ('index', '{index}', '{table}', {root}, '{sql}')")
    report = check(home)
    assert not report.ok
    assert any(f"missing from index {index}" in finding.what for finding in report.findings), report.findings


def test_exchanged_tables_are_found(home):
    """Two tables of the same shape that point to each other's pages are found."""
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE name IN ('trust', 'forks')"))
    alter_schema(
        home,
        f"UPDATE sqlite_master SET rootpage = {roots['forks']} WHERE name = 'trust'",
        f"UPDATE sqlite_master SET rootpage = {roots['trust']} WHERE name = 'forks'",
    )
    assert not check(home).ok
