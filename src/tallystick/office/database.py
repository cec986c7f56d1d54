"""`office.db`: what one organisation keeps for itself, and the only place with SQL for it.

Rules:

- Nothing here is shared or replayed: it holds what must not be on the ledger (values of party-only fields, salts, keys of
  deliveries under way, where files are). The file is readable by its owner alone.
- Every write is on disk when its method returns (WAL, `synchronous=FULL`), for the steps of an offer or a delivery rely
  on it: first here, then on the ledger.
- A row is a struct whose fields are the columns; lists and mappings are JSON text.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import msgspec

from tallystick.errors import StorageError

FORMAT = 1


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table; see `_TABLES`."""


class ApiKeyRow(Row, kw_only=True):
    """An API key: everything but its secret, of which only SHA-256 is kept (the secret has 256 random bits)."""

    id: str
    name: str
    hash: bytes
    roles: tuple[str, ...]
    scopes: tuple[str, ...]
    created: int
    expires: int
    revoked: int = 0


class SourceRow(Row, kw_only=True):
    """Where the data behind a fingerprint is; written before the fingerprint goes to the ledger."""

    fingerprint: str
    dataset: str
    path: str
    sidecar: str
    created: int


class NoteRow(Row, kw_only=True):
    """Values of party-only fields: `out` what this organisation committed to, `in` what it was told.

    `state` of `out`: draft (perhaps not recorded), kept (recorded, not taken yet), delivered; of `in`: early (its record
    is not in this copy yet), verified, refused (`reason` says why; the values are not kept).
    """

    direction: str
    commitment: str
    author: str
    recipient: str
    subject: str = ""
    salt: bytes = b""
    fields: dict[str, str] = {}
    sealed: bytes = b""
    state: str
    reason: str = ""
    created: int


class TransferRow(Row, kw_only=True):
    """One delivery under way or past.

    `id` is the nonce on the wire for `out`, and this node's own for `in`. `state` of `out`: opening, sent; of `in`:
    opening, fetching, arrived (renamed, not yet on the ledger), received, failed. `content_key` and `package` are kept
    for `out` so that a consumer can go on after this node restarts; `salt` for `in`, so that whoever gets the data from
    this node can compute its fingerprint.
    """

    id: str
    direction: str
    organisation: str
    agreement: str
    dataset: str
    version: int
    delivery: str = ""
    state: str
    path: str = ""
    root: str = ""
    files: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    content_key: bytes = b""
    package: bytes = b""
    recipient_key: str = ""
    salt: str = ""
    created: int
    changed: int
    error: str = ""


class ApplicationRow(Row, kw_only=True):
    """A card that somebody sent in; `state` is waiting or refused (whether it was admitted, the ledger tells)."""

    fingerprint: str
    organisation: str
    card: bytes
    received: int
    state: str


class EvidenceRow(Row, kw_only=True):
    """What proofs of recorded evidence are made of; written before its root goes to the ledger.

    `files` are (name, size, SHA-256 hex) in the order of the commitment's leaves.
    """

    root: str
    salt: bytes
    files: tuple[tuple[str, int, str], ...]
    folder: str
    evidence: str = ""
    transaction_id: str = ""
    position: int = 0
    proofs: int = 0
    created: int


R = TypeVar("R", bound=Row)

# table -> (struct, columns of the primary key)
_TABLES: dict[str, tuple[type[Row], tuple[str, ...]]] = {
    "api_keys": (ApiKeyRow, ("id",)),
    "sources": (SourceRow, ("fingerprint",)),
    "notes": (NoteRow, ("direction", "commitment", "author")),
    "transfers": (TransferRow, ("id",)),
    "applications": (ApplicationRow, ("fingerprint",)),
    "evidence": (EvidenceRow, ("root",)),
}
_NAMES = {struct: name for name, (struct, _) in _TABLES.items()}
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS notes_by_subject ON notes (subject)",
    "CREATE INDEX IF NOT EXISTS notes_by_state ON notes (direction, state)",
    "CREATE INDEX IF NOT EXISTS transfers_by_delivery ON transfers (delivery)",
    "CREATE INDEX IF NOT EXISTS transfers_by_agreement ON transfers (agreement)",
)


class OfficeDatabase:
    """The file, open for reading and writing by the one office process of a node."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it if there is none.

        Raises:
            StorageError: it cannot be used, or is of a newer format.
        """
        self.path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000", "secure_delete = 1"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise self._broken(error) from None

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _prepare(self) -> None:
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > FORMAT:
            raise StorageError(
                f"{self.path} was made by a newer version of Tallystick", remedy="Upgrade this node, then start again."
            )
        self._connection.execute("BEGIN IMMEDIATE")
        for name, (struct, key) in _TABLES.items():
            columns = ", ".join(f"{column} {_kind_of(struct, column)} NOT NULL" for column in struct.__struct_fields__)
            self._connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({', '.join(key)}))")
        for statement in _INDEXES:
            self._connection.execute(statement)
        self._connection.execute(f"PRAGMA user_version = {FORMAT}")
        self._connection.execute("COMMIT")

    def put(self, row: Row) -> None:
        """Write a row, in place of the one with its key."""
        fields = row.__struct_fields__
        marks = ", ".join("?" * len(fields))
        # Names come from the structs above, never from outside.
        statement = f"INSERT OR REPLACE INTO {_NAMES[type(row)]} ({', '.join(fields)}) VALUES ({marks})"  # noqa: S608
        self._execute(statement, [_to_column(getattr(row, field)) for field in fields])

    def find(self, kind: type[R], **where: str) -> R | None:
        """Return the first row with these values, or None."""
        rows = self.rows(kind, limit=1, **where)
        return rows[0] if rows else None

    def rows(self, kind: type[R], *, limit: int = -1, **where: str) -> list[R]:
        """Return the rows with these values, oldest first."""
        condition = " AND ".join(f"{column} = ?" for column in where) or "1"
        age = "received" if kind is ApplicationRow else "created"
        columns = ", ".join(kind.__struct_fields__)
        statement = f"SELECT {columns} FROM {_NAMES[kind]} WHERE {condition} ORDER BY {age}, rowid LIMIT ?"  # noqa: S608
        return [_from_columns(kind, values) for values in self._execute(statement, [*where.values(), limit])]

    def count(self, kind: type[Row], **where: str) -> int:
        """Return how many rows have these values."""
        condition = " AND ".join(f"{column} = ?" for column in where) or "1"
        ((number,),) = self._execute(
            f"SELECT count(*) FROM {_NAMES[kind]} WHERE {condition}",  # noqa: S608
            list(where.values()),
        )
        return int(number)

    def remove(self, kind: type[Row], **where: str) -> None:
        """Remove the rows with these values; at least one column is named."""
        if not where:
            raise ValueError("name what is to be removed")
        condition = " AND ".join(f"{column} = ?" for column in where)
        self._execute(f"DELETE FROM {_NAMES[kind]} WHERE {condition}", list(where.values()))  # noqa: S608

    def _execute(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _broken(self, error: OSError | sqlite3.Error) -> StorageError:
        return StorageError(
            f"{self.path} cannot be used: {error}",
            remedy="Free disk space or check its owner, then try again; else restore it from a backup.",
        )


def _kind_of(struct: type[Row], column: str) -> str:
    kind = struct.__annotations__[column]
    return {"int": "INTEGER", "bytes": "BLOB"}.get(kind, "TEXT")


def _to_column(value: Any) -> Any:
    return value if isinstance(value, (str, int, bytes)) else msgspec.json.encode(value).decode()


def _from_columns(kind: type[R], values: tuple[Any, ...]) -> R:
    decoded = {
        field: msgspec.json.decode(value) if kind.__annotations__[field].startswith(("tuple", "dict")) else value
        for field, value in zip(kind.__struct_fields__, values, strict=True)
    }
    return msgspec.convert(decoded, kind)
