"""Rows as a ledger file has them, on their way into replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from tallystick.fsck.report import Cell, damage
from tallystick.fsck.source import COLUMNS, LedgerFile
from tallystick.machine import Transaction

Row = tuple[Cell, ...]


@dataclass(slots=True)
class StoredBlock:
    """A block as the file has it: its row, its bundles, and what these hold.

    Attributes:
        row: of `blocks`.
        raw: the transactions in its bundles, as far as they can be read.
        places: of these bundles.
        expected: the place that a bundle behind them would have.
        odd: the place of a row behind them that has another one; None where there is none.
        fault: why the last of them cannot be read; "" where all can.
        decoded: each transaction, or why it is none.
        signed: whether each is signed by the key that it names.
    """

    row: Row
    raw: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    expected: int = 0
    odd: Cell = None
    fault: str = ""
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


def beyond(file: LedgerFile, table: str, last: int) -> Iterator[Row]:
    """Yield the rows of a table whose number is above one."""
    for row in file.rows(table):
        if not isinstance(row[0], int) or row[0] > last:
            yield row


def name_cell(place: str, table: str, row: Cell, column: str) -> str:
    """Return the name of a cell; `place` comes before that of the table."""
    return f"{place}{table} row {row!a}: column {column}"


def raise_order(
    table: str, column: str, expected: Cell, found: Cell, place: str = "", *, surplus: bool = False
) -> NoReturn:
    """Name the row that is missing, or the one that is too many.

    Args:
        table: whose rows they are.
        column: the one that numbers them.
        expected: the number of the next row.
        found: the number that the next row has.
        place: what comes before the name of the table.
        surplus: no row is missing, so it is that one.

    Raises:
        DamageError: always.
    """
    if not surplus and isinstance(expected, int) and isinstance(found, int) and found > expected:
        raise damage(name_cell(place, table, expected, column), "this row is missing", expected, found)
    raise damage(name_cell(place, table, found, column), "a row out of order", expected, found)


def expect_end(table: str, rows: Rows, what: str) -> None:
    """Check that there are no more rows.

    Raises:
        DamageError: there is one.
    """
    if rows.next is not None:
        raise damage(name_cell("", table, rows.next[0], COLUMNS[table][0]), f"one row too many: {what}")
