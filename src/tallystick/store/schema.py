"""Tables and views of `ledger.db`. The views are made from the record structs, so they cannot fall behind them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tallystick.machine import Collection

FORMAT_VERSION = 2

# (table, what it holds, [(column, declaration, meaning)]); the reference page is generated from this.
TABLES: tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "meta",
        "what this file is",
        (
            (
                "name",
                "TEXT PRIMARY KEY",
                "`format`, `chain`, `genesis`; `began` in a copy that began from a snapshot, with `base`, `base_edge`, "
                "`base_heads` and `merged` until it holds the blocks from before",
            ),
            ("value", "TEXT NOT NULL", "its value"),
        ),
    ),
    (
        "blocks",
        "ordered blocks, one row each",
        (
            ("height", "INTEGER PRIMARY KEY", "from 1"),
            ("time_ms", "INTEGER NOT NULL", "block time"),
            ("header", "TEXT NOT NULL", "canonical JSON of the header"),
            ("signatures", "TEXT NOT NULL", "of it, by those who order; canonical JSON"),
            ("state_root", "BLOB NOT NULL", "root of the state tree after the block"),
            ("history_root", "BLOB NOT NULL", "RFC 9162 root of the history after the block"),
            ("size", "INTEGER NOT NULL", "operations in the history after the block"),
            ("last_event", "INTEGER NOT NULL", "events.seq of the last event up to this block"),
        ),
    ),
    (
        "transactions",
        "what organisations signed",
        (
            ("seq", "INTEGER PRIMARY KEY", "order"),
            ("height", "INTEGER NOT NULL", "its block"),
            ("id", "BLOB NOT NULL", "SHA-256 of what was signed"),
            ("organisation", "TEXT NOT NULL", "who signed"),
            ("first_leaf", "INTEGER", "operations.leaf of its first operation; null where it was refused"),
            ("position", "INTEGER NOT NULL", "its place in the block, from 0"),
        ),
    ),
    (
        "bundles",
        "the signed transactions themselves, many in one piece",
        (
            (
                "place",
                "INTEGER PRIMARY KEY",
                "height * 4294967296 + transactions.position, of its first transaction; others of that block follow",
            ),
            (
                "bytes",
                "BLOB NOT NULL",
                "a zlib stream (RFC 1950) of the transactions in order, each behind its length: 4 bytes, big-endian",
            ),
        ),
    ),
    (
        "operations",
        "the history: one row for each operation",
        (
            ("leaf", "INTEGER PRIMARY KEY", "index in the history, from 0"),
            ("tx", "INTEGER NOT NULL", "transactions.seq"),
            ("type", "TEXT NOT NULL", "what was asked"),
            ("outcome", "INTEGER NOT NULL", "0 accepted, else the number of the rejection"),
        ),
    ),
    (
        "events",
        "what operations caused",
        (
            ("seq", "INTEGER PRIMARY KEY", "order, from 1"),
            ("leaf", "INTEGER NOT NULL", "operations.leaf of the cause"),
            ("body", "TEXT NOT NULL", "canonical JSON, its `type` in the past tense"),
        ),
    ),
    (
        "records",
        "the state: every record as it is now",
        (
            ("id", "INTEGER PRIMARY KEY", "row"),
            ("collection", "TEXT NOT NULL", "which collection"),
            ("key", "TEXT NOT NULL", "key in it"),
            ("value", "TEXT NOT NULL", "canonical JSON"),
        ),
    ),
    (
        "checkpoints",
        "signed roots of the history",
        (
            ("size", "INTEGER PRIMARY KEY", "of the history"),
            ("root", "BLOB NOT NULL", "of the history"),
            ("height", "INTEGER NOT NULL", "block whose header commits to it"),
            ("note", "TEXT NOT NULL", "the checkpoint, signed by one that orders"),
        ),
    ),
    (
        "cosignatures",
        "who witnessed a checkpoint",
        (
            ("size", "INTEGER NOT NULL", "of the checkpoint"),
            ("organisation", "TEXT NOT NULL", "the witness"),
            ("time_s", "INTEGER NOT NULL", "when it says it signed, seconds"),
            ("signature", "BLOB NOT NULL", "64 bytes"),
        ),
    ),
    (
        "trust",
        "versions of the trust file",
        (
            ("version", "INTEGER PRIMARY KEY", "from 1"),
            ("entry", "TEXT NOT NULL", "canonical JSON without signatures"),
        ),
    ),
    (
        "trust_signatures",
        "signatures under versions of the trust file",
        (
            ("version", "INTEGER NOT NULL", "trust.version"),
            ("organisation", "TEXT NOT NULL", "who signed"),
            ("signature", "BLOB NOT NULL", "64 bytes"),
        ),
    ),
    (
        "forks",
        "proofs that somebody showed two histories",
        (
            ("id", "INTEGER PRIMARY KEY", "order"),
            ("proof", "TEXT NOT NULL UNIQUE", "a fork proof that anyone can check"),
        ),
    ),
)

INDEXES = (
    "CREATE UNIQUE INDEX records_key ON records(collection, key)",
    "CREATE UNIQUE INDEX transactions_id ON transactions(id)",
    "CREATE INDEX transactions_height ON transactions(height)",
    "CREATE INDEX blocks_size ON blocks(size)",
    "CREATE UNIQUE INDEX cosignatures_one ON cosignatures(size, organisation)",
    "CREATE UNIQUE INDEX trust_signatures_one ON trust_signatures(version, organisation)",
)

HISTORY_VIEW = """CREATE VIEW history AS
SELECT o.leaf, t.height, strftime('%Y-%m-%dT%H:%M:%fZ', b.time_ms / 1000.0, 'unixepoch') AS time, t.organisation,
       o.type, o.outcome, lower(hex(t.id)) AS "transaction", o.leaf - t.first_leaf AS "index"
FROM operations o JOIN transactions t ON t.seq = o.tx JOIN blocks b ON b.height = t.height"""


def create_statements(collections: Iterable[Collection[Any]]) -> list[str]:
    """Return the statements that make an empty `ledger.db`."""
    statements = [table_statement(name) for name, _, _ in TABLES]
    statements += INDEXES
    statements.append(HISTORY_VIEW)
    statements += [view_statement(collection) for collection in collections]
    return statements


def table_statement(table: str) -> str:
    """Return the statement that makes a table."""
    (columns,) = (columns for name, _, columns in TABLES if name == table)
    declared = ", ".join(f"{column} {declaration}" for column, declaration, _ in columns)
    return f"CREATE TABLE {table}({declared})"


def view_columns(collection: Collection[Any]) -> list[tuple[str, str, str]]:
    """Return (column, JSON path, kind) of a collection's view; kind is `time`, `value` or `json`."""
    columns = []
    for field in msgspec.structs.fields(collection.record):
        kind = "time" if field.name in TIME_FIELDS or field.name.endswith("_at") else "value"
        columns.append((field.name, f"$.{field.encode_name}", kind))
    return columns


# Record fields that hold milliseconds since the epoch, besides all that end in `_at`; their views show ISO 8601.
TIME_FIELDS = frozenset({"added", "admitted", "begins", "created", "ends", "expires", "recorded", "revoked", "sent"})


def view_statement(collection: Collection[Any]) -> str:
    """Return the statement that makes the readable view of a collection."""
    selected = ['key AS "key"']
    for column, path, kind in view_columns(collection):
        if column == "key":
            continue
        value = f"json_extract(value, '{path}')"
        if kind == "time":
            value = (
                f"CASE WHEN json_type(value, '{path}') = 'integer' THEN "
                f"strftime('%Y-%m-%dT%H:%M:%fZ', {value} / 1000.0, 'unixepoch') ELSE {value} END"
            )
        selected.append(f'{value} AS "{column}"')
    columns = ", ".join(selected)
    return f"CREATE VIEW \"{collection.name}\" AS SELECT {columns} FROM records WHERE collection = '{collection.name}'"  # noqa: S608 - names are ours


def ledger_tables_reference(collections: Iterable[Collection[Any]]) -> str:
    """Return the Markdown of `docs/reference/ledger-tables.md`."""
    lines = [
        "# Tables and views of ledger.db",
        "",
        "Every organisation's copy of the record is this SQLite file. `SELECT` is the query language:",
        "",
        "```sh",
        "sqlite3 -readonly -header -column tally-home/ledger.db 'select * from agreements'",
        "```",
        "",
        "Views show times as ISO 8601 (UTC); records hold milliseconds. Hashes and keys in records are lower-case hex.",
        "",
        "## Views: one for each collection of records, and `history`",
    ]
    for collection in collections:
        lines += ["", f"### {collection.name}", "", f"{collection.doc[:1].upper()}{collection.doc[1:]}.", ""]
        lines += ["| column | from | shown as |", "| --- | --- | --- |", "| `key` | the record's key | text |"]
        for column, path, kind in view_columns(collection):
            if column != "key":
                lines.append(f"| `{column}` | `{path}` | {'time' if kind == 'time' else 'value'} |")
    lines += [
        "",
        "### history",
        "",
        "Every operation with its place, time, author and outcome: `leaf`, `height`, `time`, `organisation`, `type`,",
        "`outcome`, `transaction`, `index`.",
        "",
        "## Tables",
    ]
    for name, doc, columns in TABLES:
        lines += ["", f"### Table {name}", "", f"{doc[:1].upper()}{doc[1:]}.", ""]
        lines += ["| column | declared | meaning |", "| --- | --- | --- |"]
        lines += [f"| `{column}` | `{declared}` | {meaning} |" for column, declared, meaning in columns]
    return "\n".join(lines) + "\n"
