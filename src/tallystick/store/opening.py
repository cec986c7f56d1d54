"""Opening and making `ledger.db`, and what all that read or write it share."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tallystick.errors import StorageError
from tallystick.machine import Rulebook
from tallystick.merkle import Edge
from tallystick.store.base import Base, find_base, read_edge
from tallystick.store.converting import convert, needs_converting
from tallystick.store.faults import broken, missing, reading
from tallystick.store.schema import FORMAT_VERSION, create_statements


def open_reader(path: Path) -> sqlite3.Connection:
    """Open `ledger.db` for reading only; anybody may while the node runs.

    Raises:
        StorageError: there is none, or it is not a database.
    """
    if not path.is_file():
        raise missing(path)
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        connection.execute("PRAGMA query_only = 1")
        connection.execute("SELECT 1 FROM meta").fetchone()
    except (sqlite3.Error, UnicodeError) as error:
        raise broken(path, error) from None
    return connection


def open_writer(path: Path) -> sqlite3.Connection:
    """Open `ledger.db` for writing; one process may.

    Raises:
        StorageError: there is none, it is not a database, or the disk refuses.
    """
    open_reader(path).close()
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2.0)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 20000")
        connection.execute("PRAGMA cache_size = -65536")
    except (sqlite3.Error, UnicodeError) as error:
        raise broken(path, error) from None
    return connection


def create_ledger(
    path: Path, rulebook: Rulebook, *, chain: str, genesis: bytes, records: Iterable[tuple[str, str, bytes]]
) -> None:
    """Make the file of a new copy: genesis and its records, no block yet. Appears whole or not at all.

    Raises:
        StorageError: it exists already or cannot be written.
    """
    if path.exists():
        raise StorageError(f"{path} exists already", remedy="Choose another folder; a ledger is never overwritten.")
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(fresh, isolation_level=None)
        connection.execute("PRAGMA page_size = 4096")
        connection.execute("BEGIN")
        for statement in create_statements(rulebook.collections.values()):
            connection.execute(statement)
        meta = (("format", str(FORMAT_VERSION)), ("chain", chain), ("genesis", genesis.decode()))
        connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
        connection.executemany(
            "INSERT INTO records(collection, key, value) VALUES (?, ?, ?)",
            ((collection, key, value.decode()) for collection, key, value in records),
        )
        connection.execute("COMMIT")
        connection.close()
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.rename(path)
    except sqlite3.Error as error:
        raise broken(path, error) from None
    finally:
        fresh.unlink(missing_ok=True)


class OpenLedger:
    """An open file.

    Attributes:
        path: where it is.
        converted: how many blocks were brought from an older format when it was opened.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self.path = path
        self.converted = 0
        self._connection = open_reader(path) if read_only else open_writer(path)
        if not read_only:
            with reading(path):
                if needs_converting(self._connection):
                    self.converted = convert(self._connection, path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def base(self) -> Base | None:
        """The block that this copy began from, as long as it lacks what was before; None where it has everything."""
        return find_base(self._connection)

    def base_edge(self) -> Edge | None:
        """Return the edge of the history after the block that this copy began from; None where it has everything."""
        return None if self.base is None else read_edge(self._connection)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a SELECT of this program's own and return its rows."""
        return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def _transaction(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """One SQL transaction: all of it is on disk when this ends, or none.

        Args:
            synced: False leaves it to the next one to wait for the disk. A crash of this process loses nothing; one of
                the machine may lose this and what came after, never something before.
        """
        connection = self._connection
        if not synced:
            connection.execute("PRAGMA synchronous = NORMAL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise broken(self.path, error) from None
            raise
        finally:
            if not synced:
                connection.execute("PRAGMA synchronous = FULL")
