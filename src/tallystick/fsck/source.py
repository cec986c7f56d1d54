"""Reading a `ledger.db` as evidence: one snapshot, every value as it stands, no index and no type believed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tallystick.fsck.report import Cell, DamageError, Finding, Notes, damage, difference
from tallystick.machine import Collection
from tallystick.store.schema import TABLES, create_statements

COLUMNS: dict[str, tuple[str, ...]] = {name: tuple(column for column, _, _ in columns) for name, _, columns in TABLES}
_BATCH = 512
_INTEGRITY_LINES = 10


class LedgerFile:
    """A ledger file, opened for reading, in one read transaction from opening to closing.

    It works on a plain copy and beside a running node, whose writes after opening are not seen.
    """

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            DamageError: there is none, or it is not a database.
        """
        self.path = path
        if not path.is_file():
            raise damage(path.name, f"there is no ledger at {path}")
        try:
            self._connection = _connect(path, "mode=ro")
        except sqlite3.Error as error:
            # A folder that may not be written to has no room for the files that readers of a shared log need.
            wal = path.with_name(path.name + "-wal")
            if wal.exists() and wal.stat().st_size:
                raise damage(path.name, f"it cannot be read: {error}") from None
            try:
                self._connection = _connect(path, "mode=ro&immutable=1")
            except sqlite3.Error as again:
                raise damage(path.name, f"it cannot be read: {again}") from None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self, table: str) -> Iterator[tuple[Cell, ...]]:
        """Yield all rows of a table in the order of their row numbers, with the columns of the schema.

        Raises:
            DamageError: the table cannot be read to its end.
        """
        for row in self.numbered_rows(table):
            yield row[1:]

    def numbered_rows(self, table: str) -> Iterator[tuple[Cell, ...]]:
        """Yield the rows as `rows` does, each behind its row number.

        Raises:
            DamageError: the table cannot be read to its end.
        """
        names = ", ".join(f'"{column}"' for column in COLUMNS[table])
        last = None
        for row in self.select(table, f'SELECT rowid, {names} FROM "{table}" NOT INDEXED ORDER BY rowid'):  # noqa: S608
            number = row[0]
            # Pages that lead back to each other would have no end.
            if not isinstance(number, int) or (last is not None and number <= last):
                raise damage(f"table {table}", f"its rows are out of order behind row {last}")
            last = number
            yield row

    def select(self, table: str, statement: str, parameters: tuple[Any, ...] = ()) -> Iterator[tuple[Cell, ...]]:
        """Yield the rows of a statement of our own; `table` is the place to name if it cannot be read.

        Raises:
            DamageError: it cannot be read.
        """
        try:
            cursor = self._connection.execute(statement, parameters)
            while rows := cursor.fetchmany(_BATCH):
                yield from rows
        except (sqlite3.Error, OverflowError, ValueError, MemoryError) as error:
            raise damage(f"table {table}", f"it cannot be read: {error}") from None

    def last_height(self) -> int:
        """Return the height of the last block as the file has it; only for telling progress."""
        for row in self.select("blocks", "SELECT max(height) FROM blocks"):
            return row[0] if isinstance(row[0], int) else 0
        return 0

    def check_schema(self, collections: Iterable[Collection[Any]], notes: Notes) -> None:
        """Compare all tables, indexes and views with those that the store makes.

        Raises:
            DamageError: tables are missing or other ones, so that rows cannot be read.
        """
        fresh = sqlite3.connect(":memory:")
        for statement in create_statements(collections):
            fresh.execute(statement)
        query = "SELECT type, name, tbl_name, sql FROM sqlite_master"
        expected = {(row[0], row[1]): row for row in fresh.execute(query)}
        fresh.close()
        found: dict[tuple[Cell, Cell], tuple[Cell, ...]] = {}
        for row in self.select("sqlite_master", query):
            found[row[0], row[1]] = row
        broken = False
        for name in sorted(expected):
            mine, theirs = expected[name], found.pop(name, None)
            if theirs is None:
                notes.say(f"schema: {name[0]} {name[1]}", "it is missing")
            elif mine != theirs:
                notes.add(difference(f"schema: {name[0]} {name[1]}", "it is another one", mine[3], theirs[3]))
            else:
                continue
            broken = broken or name[0] == "table"
        for kind, unknown in found:
            thing = kind if isinstance(kind, str) else ascii(kind)
            shown = unknown if isinstance(unknown, str) and unknown.isidentifier() else ascii(unknown)
            notes.say(f"schema: {thing} {shown}", "a ledger has no such thing")
        if broken:
            raise DamageError(Finding("schema", "", "", "with other tables than these nothing more can be read"))

    def check_pages(self, notes: Notes) -> None:
        """Let SQLite check its own pages and indexes."""
        rows = list(self.select("sqlite_master", f"PRAGMA integrity_check({_INTEGRITY_LINES})"))
        for row in rows:
            if row[0] != "ok":
                notes.say(self.path.name, f"SQLite's own check: {' '.join(str(row[0]).split())}")


def _connect(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True, isolation_level=None, timeout=5.0)
    try:
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA trusted_schema = 0")
        connection.execute("PRAGMA cell_size_check = 1")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except (sqlite3.Error, ValueError, MemoryError) as error:
        connection.close()
        raise error if isinstance(error, sqlite3.Error) else sqlite3.DatabaseError(str(error)) from None
    return connection


def as_bytes(value: Cell) -> bytes:
    """Return the bytes of a text cell as they stand in the file."""
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value.encode("utf-8", "surrogateescape")
