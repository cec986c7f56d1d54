"""Damage to files of a home, and what a ledger file says to a reader: the ground truth that a checker is held against."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tallystick.codec import MalformedError
from tallystick.codec.bundles import decode_bundle
from tallystick.store.schema import TABLES


def content(path: Path) -> str | None:
    """Return everything that a ledger file says, its schema included, or None where SQLite cannot read it.

    Bytes that can be changed without changing this are in unused space, or in an index that no reader of rows asks.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
            return _read_all(connection)
    except (sqlite3.Error, ValueError, OverflowError, MemoryError):
        return None


def content_with_log(path: Path) -> str | None:
    """Return what `content` does, its write-ahead log included."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return _read_all(connection)
    except (sqlite3.Error, ValueError, OverflowError, MemoryError):
        return None


def _read_all(connection: sqlite3.Connection) -> str:
    connection.text_factory = bytes
    said: list[list[tuple[object, ...]]] = [
        connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()
    ]
    for table, _, _ in TABLES:
        rows = connection.execute(f'SELECT rowid, * FROM "{table}" NOT INDEXED ORDER BY rowid').fetchall()
        said.append([(*row[:-1], _unpacked(row[-1])) for row in rows] if table == "bundles" else rows)
    return repr(said)


def _unpacked(bundle: object) -> object:
    """Return what a bundle holds, since compressed in another way it says the same; itself where it is none."""
    try:
        return decode_bundle(bundle) if isinstance(bundle, bytes) else bundle
    except MalformedError:
        return bundle


@contextmanager
def flipped(path: Path, at: int, bits: int = 1) -> Iterator[None]:
    """Change bits of one byte of a file, in place, for as long as the block runs."""
    with path.open("r+b", buffering=0) as file:
        whole = os.pread(file.fileno(), 1, at)
        os.pwrite(file.fileno(), bytes((whole[0] ^ bits,)), at)
        try:
            yield
        finally:
            os.pwrite(file.fileno(), whole, at)


@contextmanager
def replaced(path: Path, data: bytes) -> Iterator[None]:
    """Give a file other contents for as long as the block runs."""
    whole = path.read_bytes()
    path.write_bytes(data)
    try:
        yield
    finally:
        path.write_bytes(whole)
