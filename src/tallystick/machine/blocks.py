"""Blocks, the state that the next one depends on, and what executing one gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from tallystick.errors import RejectedError
from tallystick.machine.schema import Event
from tallystick.machine.state import Reader
from tallystick.machine.transactions import Transaction
from tallystick.merkle import Frontier, StateTree, StateUpdate

ACCEPTED_OUTCOME = 0


@dataclass(frozen=True, slots=True)
class Block:
    """Ordered transactions.

    Attributes:
        height: from 1.
        time: ms since the epoch, never before the previous block's.
        transactions: raw bytes, in order.
    """

    height: int
    time: int
    transactions: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one operation: code 0 is accepted, any other the number of its rejection."""

    code: int
    error: RejectedError | None = None


OK = Outcome(ACCEPTED_OUTCOME)


class TransactionResult(NamedTuple):
    """The result of one transaction of a block.

    Attributes:
        transaction: decoded, or None where it is malformed.
        refused: why it left nothing on the history, or None.
        outcomes: one for each operation where it is on the history.
        first_leaf: index in the history of its first operation.
    """

    transaction: Transaction | None
    refused: RejectedError | None
    outcomes: tuple[Outcome, ...] = ()
    first_leaf: int = -1


class EmittedEvent(NamedTuple):
    """An event with its place: leaf index in the history, and the event itself."""

    leaf: int
    event: Event


@dataclass(slots=True)
class LedgerState:
    """Everything that the next block depends on.

    Attributes:
        chain: chain id.
        genesis_hash: 32 bytes.
        height: of the last block; 0 before the first.
        time: of the last block, ms.
        reader: committed records.
        tree: the state tree over them.
        frontier: right edge of the history tree.
        accepted: ids of the accepted transactions not yet forgotten.
        accepted_blocks: (height, latest expiry, ids) of the `accepted` records, oldest first.
    """

    chain: str
    genesis_hash: bytes
    height: int
    time: int
    reader: Reader
    tree: StateTree
    frontier: Frontier
    accepted: set[bytes] = field(default_factory=set)
    accepted_blocks: list[tuple[int, int, tuple[bytes, ...]]] = field(default_factory=list)


@dataclass(slots=True)
class BlockResult:
    """What a block did; `commit_to` makes it the new state once it is on disk.

    Attributes:
        block: the block.
        results: one for each transaction, in order.
        leaves: data of the new history leaves.
        events: in order.
        writes: (collection, key, canonical bytes or None), sorted.
        state_root: after the block.
        history_root: after the block.
        size: of the history after the block.
        app_hash: 32 bytes.
        written: names of the collections in `writes`.
    """

    block: Block
    results: list[TransactionResult]
    leaves: list[bytes]
    events: list[EmittedEvent]
    writes: list[tuple[str, str, bytes | None]]
    state_root: bytes
    history_root: bytes
    size: int
    app_hash: bytes
    frontier: Frontier
    update: StateUpdate | None
    forgotten: int
    accepted: tuple[int, int, tuple[bytes, ...]] | None
    written: frozenset[str]

    def commit_to(self, state: LedgerState) -> None:
        """Make this block the last one of `state`; its reader must already answer with the writes."""
        state.height = self.block.height
        state.time = self.block.time
        state.frontier = self.frontier
        if self.update is not None:
            state.tree.apply(self.update)
        for _, _, ids in state.accepted_blocks[: self.forgotten]:
            state.accepted.difference_update(ids)
        del state.accepted_blocks[: self.forgotten]
        if self.accepted is not None:
            state.accepted_blocks.append(self.accepted)
            state.accepted.update(self.accepted[2])
