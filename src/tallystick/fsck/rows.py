"""Rows as a ledger file has them, on their way into replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tallystick.fsck.report import Cell, damage
from tallystick.fsck.source import COLUMNS
from tallystick.machine import Transaction

Row = tuple[Cell, ...]


@dataclass(slots=True)
class StoredBlock:
    """A block as the file has it: its row, the rows of its transactions, and what these are.

    Attributes:
        row: of `blocks`.
        transactions: rows of `transactions` that name its height.
        decoded: each transaction, or why it is none.
        signed: whether each is signed by the key that it names.
    """

    row: Row
    transactions: list[Row]
    decoded: list[Transaction | str] = field(default_factory=list)
    signed: list[bool] = field(default_factory=list)


class Rows:
    """Rows of a table, with a look at the next one."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._rows = rows
        self.next = next(rows, None)

    def take(self) -> Row | None:
        """Return the next row and step behind it; None at the end."""
        row = self.next
        self.next = next(self._rows, None) if row is not None else None
        return row


def raise_order(table: str, column: str, expected: Cell, found: Cell, place: str = "") -> None:
    """Name the row that is missing, or the one that is too many.

    Raises:
        DamageError: always.
    """
    if isinstance(expected, int) and isinstance(found, int) and found > expected:
        raise damage(f"{place}{table} row {expected!a}: column {column}", "this row is missing", expected, found)
    raise damage(f"{place}{table} row {found!a}: column {column}", "a row out of order", expected, found)


def expect_end(table: str, rows: Rows, what: str) -> None:
    """Check that there are no more rows.

    Raises:
        DamageError: there is one.
    """
    if rows.next is not None:
        raise damage(f"{table} row {rows.next[0]!a}: column {COLUMNS[table][0]}", f"one row too many: {what}")
