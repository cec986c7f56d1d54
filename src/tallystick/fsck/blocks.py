"""Replaying the blocks: what is signed, and whether executing it gives the outcome that the header commits to.

In a block the checks go from what is signed to what follows from it: header, bundles of transactions, execution, the rest.
What is signed tells which of two cells that disagree is the damaged one. Of a bundle counts what it holds: how that is
compressed is nobody's word, and another program, or another version of this one, may do it in another way.

Where several order together, a header may carry fewer signatures than their quorum, but never none: it names the hash of
the one before, so the next header with a quorum speaks for it, and at the end the others' signatures may be on their way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from tallystick.codec import MalformedError
from tallystick.errors import TallystickError
from tallystick.fsck.began import Began
from tallystick.fsck.bundles import take_bundles
from tallystick.fsck.derived import DerivedRows
from tallystick.fsck.membership import MembershipReader, Succession
from tallystick.fsck.replayed import Replayed
from tallystick.fsck.report import Cell, Notes, Progress, damage, is_same
from tallystick.fsck.rows import Rows, StoredBlock, beyond, expect_end, name_cell, raise_order
from tallystick.fsck.source import LedgerFile, as_bytes
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
from tallystick.merkle import Frontier, TileBuilder
from tallystick.proofs.headers import (
    Header,
    check_signatures,
    decode_header,
    decode_signatures,
    header_hash,
    quorum,
    transactions_root,
)
from tallystick.store.bundles import place_of

# Blocks are read in groups of about so much, so that signatures are checked many at a time.
_GROUP_TRANSACTIONS = 4_096
_GROUP_BYTES = 16 << 20
_GROUP_BLOCKS = 4_096


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
        self._bundles = Rows(file.rows("bundles"))
        self._derived = DerivedRows(file, notes)
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
        self._blocks = Rows(beyond(self._file, "blocks", base.height))
        self._bundles = Rows(beyond(self._file, "bundles", place_of(base.height + 1, 0) - 1))
        self._derived.begin(self._file, base)
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
        for table, rows in (
            ("transactions", self._derived.transactions),
            ("bundles", self._bundles),
            ("operations", self._derived.operations),
        ):
            expect_end(table, rows, "it belongs to no block")
        expect_end("events", self._derived.events, "no operation caused it")

    def _read_group(self) -> list[StoredBlock]:
        """Read some blocks with their transactions."""
        group: list[StoredBlock] = []
        height = self.state.height
        count = size = 0
        while len(group) < _GROUP_BLOCKS and count < _GROUP_TRANSACTIONS and size < _GROUP_BYTES:
            row = self._blocks.take()
            if row is None:
                break
            height += 1
            stored = StoredBlock(row)
            take_bundles(self._bundles, height, stored)
            size += sum(map(len, stored.raw))
            count += len(stored.raw)
            group.append(stored)
        return group

    def _verify(self, group: Sequence[StoredBlock]) -> None:
        """Decode the transactions of a group and check all their signatures at once."""
        checks = []
        for block in group:
            block.decoded = [self._decode(raw) for raw in block.raw]
            checks += [
                (item.key, item.signed, item.signature) for item in block.decoded if isinstance(item, Transaction)
            ]
        answers = iter(ED25519.verify_many(checks))
        for block in group:
            block.signed = [isinstance(item, Transaction) and next(answers) for item in block.decoded]

    def _decode(self, raw: bytes) -> Transaction | str:
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
        self._derived.compare(stored, result)
        state, notes = self.state, self._notes
        self.replayed.write(result.writes)
        result.commit_to(state)
        self._previous = header_hash(header)
        if result.leaves:
            self.replayed.add_moment(result.size, result.history_root, height)
            if self._log is not None:
                self._log.take(result.leaves)
        if not result.written.isdisjoint(self._membership.collections):
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
        return name_cell(self._place, table, row, column)

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
        raw = stored.raw
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
        items: list[Transaction] = []
        rooted = transactions_root(stored.raw).hex() == header.transactions_root
        if stored.odd is not None:
            # What is there is all of it, or a bundle is missing before the next that is there.
            if rooted:
                raise_order("bundles", "place", stored.expected, stored.odd, self._place, surplus=True)
            raise_order("bundles", "place", stored.expected, stored.odd, self._place)
        for number, (item, signed) in enumerate(zip(stored.decoded, stored.signed, strict=True)):
            if isinstance(item, str):
                raise damage(self._bundle(stored, number), f"transaction {number} of the block is none: {item}")
            if not signed:
                raise damage(
                    self._bundle(stored, number),
                    f"transaction {number} of the block: the signature is not {item.payload.organisation}'s over these "
                    "operations",
                )
            items.append(item)
        if stored.fault:
            raise damage(self._cell("bundles", stored.places[-1], "bytes"), stored.fault)
        if not rooted:
            self._raise_other_transactions(stored, header)
        for number, item in enumerate(items):
            seen = item.payload.seen
            moment = self.replayed.find_moment(seen.size)
            if moment is None and seen.size < self._first_known:
                continue
            if moment is None or moment.root.hex() != seen.root:
                raise damage(
                    self._bundle(stored, number),
                    f"{item.payload.organisation} had seen another history of size {seen.size} than this one",
                )
        return items

    def _bundle(self, stored: StoredBlock, number: int) -> str:
        """Return the cell that holds a transaction of a block."""
        place = place_of(self.state.height + 1, number)
        return self._cell("bundles", max(each for each in stored.places if each <= place), "bytes")

    def _raise_other_transactions(self, stored: StoredBlock, header: Header) -> NoReturn:
        """Name the bundle that is not what the header names: the only one, the one that is missing, or one too many.

        Raises:
            DamageError: always.
        """
        if not stored.places:
            raise damage(self._cell("bundles", stored.expected, "place"), "this row is missing")
        first = place_of(header.height, 0)
        for place in stored.places:
            if transactions_root(stored.raw[: place - first]).hex() == header.transactions_root:
                raise_order("bundles", "place", None, place, self._place, surplus=True)
        what = "they are not those that the header names"
        if len(stored.places) == 1:
            raise damage(self._cell("bundles", stored.places[0], "bytes"), what)
        raise damage(f"{self._place}bundles", what)

    def _execute(self, header: Header, stored: StoredBlock, items: list[Transaction]) -> BlockResult:
        """Execute a block and compare the app hash.

        Raises:
            DamageError: the rules refuse a transaction, or the outcome is not the one that the header commits to.
        """
        block = Block(header.height, header.time, tuple(item.raw for item in items))
        result = execute_block(self.state, block, self._rulebook, decoded=items, verified=lambda _: True)
        for number, done in enumerate(result.results):
            if done.refused is not None:
                raise damage(
                    self._bundle(stored, number),
                    f"the rules refuse transaction {number} of the block: {done.refused.name}",
                )
        if result.app_hash.hex() != header.app_hash:
            raise damage(
                self._cell("blocks", header.height, "header"),
                "those who order signed another outcome than executing the block gives",
                result.app_hash.hex(),
                header.app_hash,
            )
        return result
