"""Replaying the blocks and comparing every column of blocks, transactions, operations and events with the outcome.

In a block the checks go from what is signed to what follows from it: header, transactions, execution, the rest. What is
signed tells which of two cells that disagree is the damaged one.

Where several order together, a header may carry fewer signatures than their quorum, but never none: it names the hash of
the one before, so the next header with a quorum speaks for it, and at the end the others' signatures may be on their way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NoReturn

from tallystick.codec import MalformedError, encode_json
from tallystick.errors import TallystickError
from tallystick.fsck.began import Began
from tallystick.fsck.membership import MembershipReader, Succession
from tallystick.fsck.replayed import Replayed
from tallystick.fsck.report import Cell, Notes, Progress, damage, is_same
from tallystick.fsck.rows import Row, Rows, StoredBlock, expect_end, raise_order
from tallystick.fsck.source import COLUMNS, LedgerFile, as_bytes
from tallystick.fsck.tiles import LogChecker
from tallystick.keys import ED25519
from tallystick.machine import (
    Block,
    BlockResult,
    LedgerState,
    Rulebook,
    State,
    Transaction,
    decode_transaction,
    execute_block,
)
from tallystick.machine.parameters import ACCEPTED
from tallystick.merkle import Frontier, TileBuilder, leaf_hash
from tallystick.proofs.headers import (
    Header,
    check_signatures,
    decode_header,
    decode_signatures,
    header_hash,
    quorum,
    transactions_root,
)
from tallystick.store.database import operation_type

# Blocks are read in groups of about so much, so that signatures are checked many at a time.
_GROUP_TRANSACTIONS = 4_096
_GROUP_BYTES = 16 << 20
_GROUP_BLOCKS = 4_096
# How far to look for the row that is missing in a block, or too many.
_WINDOW = 25_000


class Replay:
    """One pass over all blocks.

    Attributes:
        state: after the last good block.
        replayed: its records, and the roots of the history so far.
        succession: who spoke for the zone until then.
    """

    def __init__(
        self,
        file: LedgerFile,
        rulebook: Rulebook,
        *,
        chain: str,
        genesis_hash: bytes,
        replayed: Replayed,
        succession: Succession,
        membership: MembershipReader,
        log: LogChecker | None,
        notes: Notes,
    ) -> None:
        self.replayed = replayed
        self.succession = succession
        self.state = LedgerState(
            chain=chain,
            genesis_hash=genesis_hash,
            height=0,
            time=0,
            reader=replayed,
            tree=replayed.tree,
            frontier=Frontier(),
        )
        self._file = file
        self._rulebook = rulebook
        self._membership = membership
        self._log = log
        self._notes = notes
        self._previous = genesis_hash
        self._blocks = Rows(file.rows("blocks"))
        self._transactions = Rows(file.rows("transactions"))
        self._operations = Rows(file.rows("operations"))
        self._events = Rows(file.rows("events"))
        self._place = ""
        self._first_known = 0

    def begin(self, began: Began) -> None:
        """Begin behind a block instead of the genesis; `replayed` and `succession` are of that block already."""
        base, beginning, notes = began.base, began.beginning, self._notes
        state = self.state
        state.height, state.time = beginning.height, beginning.time
        state.frontier = TileBuilder.from_edge(beginning.edge).frontier()
        for key, value in self.replayed.scan(ACCEPTED.name):
            record = ACCEPTED.decode(value)
            ids = tuple(bytes.fromhex(item) for item in record.ids)
            state.accepted_blocks.append((int(key), record.expires, ids))
            state.accepted.update(ids)
        self._previous = header_hash(decode_header(beginning.head.header))
        self._first_known = base.size
        for head in reversed(beginning.before):
            if head.size < base.size:
                self.replayed.add_moment(head.size, head.history_root, decode_header(head.header).height)
        self.replayed.add_moment(base.size, beginning.head.history_root, base.height)
        # Older blocks that are being put in are counted from below; nothing is said of them before all are there.
        self._blocks = Rows(_beyond(self._file, "blocks", base.height))
        self._transactions = Rows(_beyond(self._file, "transactions", base.transactions))
        self._operations = Rows(_beyond(self._file, "operations", base.size - 1))
        self._events = Rows(_beyond(self._file, "events", base.events))
        notes.begun = notes.blocks = notes.sealed = base.height
        notes.transactions, notes.operations, notes.events = base.transactions, base.size, base.events
        if self._log is not None:
            self._log.begin(beginning.edge)

    def run(self, progress: Progress | None) -> None:
        """Replay everything.

        Raises:
            DamageError: the first damaged place.
        """
        notes = self._notes
        total = self._file.last_height()
        if not notes.begun:
            self.replayed.add_moment(0, self.state.frontier.root(), 0)
        while group := self._read_group():
            self._verify(group)
            for block in group:
                self._check(block)
                if progress is not None and (notes.blocks % 256 == 0 or self._blocks.next is None):
                    progress(notes.blocks, max(total, notes.blocks))
        for table, rows in (("transactions", self._transactions), ("operations", self._operations)):
            expect_end(table, rows, "it belongs to no block")
        expect_end("events", self._events, "no operation caused it")

    def _read_group(self) -> list[StoredBlock]:
        """Read some blocks with the transactions that name their heights."""
        group: list[StoredBlock] = []
        height = self.state.height
        count = size = 0
        while len(group) < _GROUP_BLOCKS and count < _GROUP_TRANSACTIONS and size < _GROUP_BYTES:
            row = self._blocks.take()
            if row is None:
                break
            height += 1
            transactions: list[Row] = []
            while (item := self._transactions.next) is not None and is_same(height, item[1]):
                transactions.append(item)
                size += len(item[5]) if isinstance(item[5], (bytes, str)) else 0
                self._transactions.take()
            count += len(transactions)
            group.append(StoredBlock(row, transactions))
        return group

    def _verify(self, group: Sequence[StoredBlock]) -> None:
        """Decode the transactions of a group and check all their signatures at once."""
        checks = []
        for block in group:
            block.decoded = [self._decode(row[5]) for row in block.transactions]
            checks += [
                (item.key, item.signed, item.signature) for item in block.decoded if isinstance(item, Transaction)
            ]
        answers = iter(ED25519.verify_many(checks))
        for block in group:
            block.signed = [isinstance(item, Transaction) and next(answers) for item in block.decoded]

    def _decode(self, raw: Cell) -> Transaction | str:
        if not isinstance(raw, bytes):
            return "not bytes"
        try:
            return decode_transaction(raw, self.state.genesis_hash)
        except MalformedError as error:
            return error.reason

    # --- one block ---------------------------------------------------------------------------------------------------

    def _check(self, stored: StoredBlock) -> None:
        """Check one block, and make it the last of the state.

        Raises:
            DamageError: something in it.
        """
        height = self.state.height + 1
        self._place = f"block {height}: "
        if not is_same(height, stored.row[0]):
            raise_order("blocks", "height", height, stored.row[0])
        header, sealed = self._header(stored)
        items = self._check_transactions(stored, header)
        result = self._execute(header, stored, items)
        self._compare(stored, result)
        state, notes = self.state, self._notes
        self.replayed.write(result.writes)
        result.commit_to(state)
        self._previous = header_hash(header)
        if result.leaves:
            self.replayed.add_moment(result.size, result.history_root, height)
            if self._log is not None:
                self._log.take(result.leaves)
        if any(collection in self._membership.collections for collection, _, _ in result.writes):
            try:
                self.succession.follow(
                    self._membership.read(State(self.replayed)),
                    height=height,
                    size=result.size,
                    history_root=result.history_root,
                )
            except (TallystickError, LookupError, ValueError) as error:
                raise damage(f"block {height}", f"after it nobody can speak for the zone: {error}") from None
        notes.blocks = height
        notes.sealed = height if sealed else notes.sealed
        notes.transactions += len(items)
        notes.operations = result.size
        notes.events += len(result.events)
        notes.records = len(self.replayed)

    def _cell(self, table: str, row: Cell, column: str) -> str:
        return f"{self._place}{table} row {row!a}: column {column}"

    def _header(self, stored: StoredBlock) -> tuple[Header, bool]:
        """Return the header if those who order signed it and it follows the one before, and whether a quorum did.

        Raises:
            DamageError: it is not.
        """
        height, time, raw, signatures = stored.row[:4]
        try:
            header = decode_header(as_bytes(raw))
        except (MalformedError, TypeError) as error:
            raise damage(
                self._cell("blocks", height, "header"), f"not the canonical form of a header: {error}"
            ) from None
        faults = self._header_faults(header)
        try:
            signers = check_signatures(header, decode_signatures(as_bytes(signatures)), self.succession.validators)
        except (MalformedError, TypeError) as error:
            self._raise_unsigned(stored, header, faults, str(error))
        if not signers:
            self._raise_unsigned(stored, header, faults, "there is none")
        if faults:
            raise damage(self._cell("blocks", height, "header"), f"those who order signed it, but {faults[0]}")
        if not is_same(header.time, time):
            raise damage(self._cell("blocks", height, "time_ms"), "not the time in the header", header.time, time)
        return header, len(signers) >= quorum(len(self.succession.validators))

    def _header_faults(self, header: Header) -> list[str]:
        """Return what in a header does not follow from the blocks before."""
        state = self.state
        faults = []
        if header.chain != state.chain:
            faults.append(f"it is of the zone {header.chain}")
        if header.height != state.height + 1:
            faults.append(f"it is of height {header.height}")
        if header.previous != self._previous.hex():
            faults.append("it does not continue the block before")
        if header.time < state.time:
            faults.append("its time goes back")
        return faults

    def _raise_unsigned(self, stored: StoredBlock, header: Header, faults: list[str], reason: str) -> NoReturn:
        """Tell which is damaged where header and signatures do not fit: a header that replay gives too is not.

        Raises:
            DamageError: always.
        """
        height, time = stored.row[:2]
        raw = [item.raw for item in stored.decoded if isinstance(item, Transaction)]
        if not is_same(header.time, time):
            faults.append("its time is not that of the block")
        if transactions_root(raw).hex() != header.transactions_root:
            faults.append("it is of other transactions")
        if not faults:
            block = Block(header.height, header.time, tuple(raw))
            if execute_block(self.state, block, self._rulebook).app_hash.hex() != header.app_hash:
                faults.append("it is of another outcome")
        if faults:
            raise damage(self._cell("blocks", height, "header"), f"those who order have not signed it: {faults[0]}")
        raise damage(self._cell("blocks", height, "signatures"), f"not the signatures of those who order: {reason}")

    # --- transactions ------------------------------------------------------------------------------------------------

    def _check_transactions(self, stored: StoredBlock, header: Header) -> list[Transaction]:
        """Return the transactions of a block if they are those that its header and their authors signed.

        Raises:
            DamageError: they are not.
        """
        sequence = self._notes.transactions
        items: list[Transaction] = []
        for row, item, signed in zip(stored.transactions, stored.decoded, stored.signed, strict=True):
            sequence += 1
            if not is_same(sequence, row[0]):
                raise_order("transactions", "seq", sequence, row[0], self._place)
            if isinstance(item, str):
                raise damage(self._cell("transactions", sequence, "bytes"), f"not a transaction: {item}")
            if not signed:
                raise damage(
                    self._cell("transactions", sequence, "bytes"),
                    f"the signature is not {item.payload.organisation}'s over these operations",
                )
            items.append(item)
        if transactions_root([item.raw for item in items]).hex() != header.transactions_root:
            self._raise_other_transactions(self._notes.transactions + 1, stored, header)
        for row, item in zip(stored.transactions, items, strict=True):
            self._same("transactions", row[0], "id", item.id, row[2])
            self._same("transactions", row[0], "organisation", item.payload.organisation, row[3])
            seen = item.payload.seen
            moment = self.replayed.find_moment(seen.size)
            if moment is None and seen.size < self._first_known:
                continue
            if moment is None or moment.root.hex() != seen.root:
                raise damage(
                    self._cell("transactions", row[0], "bytes"),
                    f"{item.payload.organisation} had seen another history of size {seen.size} than this one",
                )
        return items

    def _raise_other_transactions(self, first: int, stored: StoredBlock, header: Header) -> None:
        """Name the row that is missing in a block, or too many: its number or its height was changed.

        Raises:
            DamageError: always.
        """
        rows = self._file.select(
            "transactions",
            "SELECT seq, height, bytes FROM transactions NOT INDEXED WHERE seq >= ? ORDER BY seq LIMIT ?",
            (first, _WINDOW),
        )
        frontier = Frontier()
        count = 0
        odd: Cell = None
        found = transactions_root(()).hex() == header.transactions_root
        after: Row | None = None
        for after in rows:
            if found or not isinstance(after[2], bytes):
                break
            if not is_same(first + count, after[0]):
                raise_order("transactions", "seq", first + count, after[0], self._place)
            if not is_same(header.height, after[1]) and odd is None:
                odd = after[0]
            frontier.append(leaf_hash(after[2]))
            count += 1
            after = None
            found = frontier.root().hex() == header.transactions_root
        if found and odd is None and after is not None:
            odd = after[0]
        if found and odd is not None:
            what = "the transaction is of this block" if count > len(stored.transactions) else "it is not of this block"
            raise damage(self._cell("transactions", odd, "height"), what)
        raise damage(f"{self._place}transactions", "they are not those that the header names")

    def _execute(self, header: Header, stored: StoredBlock, items: list[Transaction]) -> BlockResult:
        """Execute a block and compare the app hash.

        Raises:
            DamageError: the rules refuse a transaction, or the outcome is not the one that the header commits to.
        """
        block = Block(header.height, header.time, tuple(item.raw for item in items))
        result = execute_block(self.state, block, self._rulebook, decoded=items, verified=lambda _: True)
        for row, done in zip(stored.transactions, result.results, strict=True):
            if done.refused is not None:
                raise damage(
                    self._cell("transactions", row[0], "bytes"),
                    f"the rules refuse this transaction: {done.refused.name}",
                )
        if result.app_hash.hex() != header.app_hash:
            raise damage(
                self._cell("blocks", header.height, "header"),
                "those who order signed another outcome than executing the block gives",
                result.app_hash.hex(),
                header.app_hash,
            )
        return result

    # --- what follows from execution ---------------------------------------------------------------------------------

    def _compare(self, stored: StoredBlock, result: BlockResult) -> None:
        """Compare all that the store derived from a block.

        Raises:
            DamageError: a cell is not what it should be, or a row is missing.
        """
        height, events = result.block.height, self._notes.events
        block: Row = (result.state_root, result.history_root, result.size, events + len(result.events))
        for column, expected, found in zip(COLUMNS["blocks"][4:], block, stored.row[4:], strict=True):
            self._same("blocks", height, column, expected, found)
        for row, done in zip(stored.transactions, result.results, strict=True):
            self._same("transactions", row[0], "first_leaf", done.first_leaf, row[4])
            assert done.transaction is not None  # noqa: S101 - what is refused was found before
            for index, outcome in enumerate(done.outcomes):
                kind = operation_type(done.transaction.operations[index])
                self._compare_row("operations", self._operations, (done.first_leaf + index, row[0], kind, outcome.code))
        for number, emitted in enumerate(result.events, events + 1):
            body = encode_json(emitted.event).decode()
            self._compare_row("events", self._events, (number, emitted.leaf, body))

    def _compare_row(self, table: str, rows: Rows, expected: Row) -> None:
        columns = COLUMNS[table]
        found = rows.take()
        if found is None:
            raise damage(f"{self._place}{table} row {expected[0]!a}: column {columns[0]}", "it is missing")
        if not is_same(expected[0], found[0]):
            raise_order(table, columns[0], expected[0], found[0], self._place)
        for column, mine, theirs in zip(columns, expected, found, strict=True):
            self._same(table, expected[0], column, mine, theirs)

    def _same(self, table: str, row: Cell, column: str, expected: Cell, found: Cell) -> None:
        if not is_same(expected, found):
            raise damage(self._cell(table, row, column), "not what replay gives", expected, found)


def _beyond(file: LedgerFile, table: str, last: int) -> Iterator[Row]:
    """Yield the rows of a table whose number is above one."""
    for row in file.rows(table):
        if not isinstance(row[0], int) or row[0] > last:
            yield row
