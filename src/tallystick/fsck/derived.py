"""Comparing what the store derived from each block with what executing it gives: roots and counts in `blocks`, and the
rows of transactions, operations and events.
"""

from __future__ import annotations

from tallystick.codec import encode_json
from tallystick.fsck.report import Cell, Notes, damage, is_same
from tallystick.fsck.rows import Row, Rows, StoredBlock, beyond, name_cell, raise_order
from tallystick.fsck.source import COLUMNS, LedgerFile
from tallystick.machine import BlockResult
from tallystick.store.base import Base
from tallystick.store.kept import operation_type


class DerivedRows:
    """The rows that follow from the blocks, taken in step with them.

    Attributes:
        transactions: those of that table which no block has had yet; likewise `operations` and `events`.
    """

    def __init__(self, file: LedgerFile, notes: Notes) -> None:
        """Begin with the first rows; `notes` counts the blocks that were found good."""
        self._notes = notes
        self._place = ""
        self.transactions = Rows(file.rows("transactions"))
        self.operations = Rows(file.rows("operations"))
        self.events = Rows(file.rows("events"))

    def begin(self, file: LedgerFile, base: Base) -> None:
        """Begin behind a block instead of the genesis."""
        self.transactions = Rows(beyond(file, "transactions", base.transactions))
        self.operations = Rows(beyond(file, "operations", base.size - 1))
        self.events = Rows(beyond(file, "events", base.events))

    def compare(self, stored: StoredBlock, result: BlockResult) -> None:
        """Compare all that the store derived from a block.

        Raises:
            DamageError: a cell is not what it should be, or a row is missing.
        """
        height, events = result.block.height, self._notes.events
        self._place = f"block {height}: "
        block: Row = (result.state_root, result.history_root, result.size, events + len(result.events))
        for column, expected, found in zip(COLUMNS["blocks"][4:], block, stored.row[4:], strict=True):
            self._same("blocks", height, column, expected, found)
        for number, done in enumerate(result.results):
            item = done.transaction
            assert item is not None  # noqa: S101 - what is refused was found before
            sequence = self._notes.transactions + 1 + number
            transaction: Row = (sequence, height, item.id, item.payload.organisation, done.first_leaf, number)
            self._compare_row("transactions", self.transactions, transaction)
            for index, outcome in enumerate(done.outcomes):
                kind = operation_type(item.operations[index])
                self._compare_row(
                    "operations", self.operations, (done.first_leaf + index, sequence, kind, outcome.code)
                )
        for number, emitted in enumerate(result.events, events + 1):
            body = encode_json(emitted.event).decode()
            self._compare_row("events", self.events, (number, emitted.leaf, body))

    def _compare_row(self, table: str, rows: Rows, expected: Row) -> None:
        columns = COLUMNS[table]
        found = rows.take()
        if found is None:
            raise damage(name_cell(self._place, table, expected[0], columns[0]), "it is missing")
        if not is_same(expected[0], found[0]):
            raise_order(table, columns[0], expected[0], found[0], self._place)
        for column, mine, theirs in zip(columns, expected, found, strict=True):
            self._same(table, expected[0], column, mine, theirs)

    def _same(self, table: str, row: Cell, column: str, expected: Cell, found: Cell) -> None:
        if not is_same(expected, found):
            raise damage(name_cell(self._place, table, row, column), "not what replay gives", expected, found)
