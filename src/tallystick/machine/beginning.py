"""Where a ledger begins that was not executed from its genesis: a block, and what goes on from it.

A newcomer to a large zone takes the records after some block instead of executing all blocks before it. Records apart,
this is what the next block depends on, and what proofs about later operations need of the past.
"""

from __future__ import annotations

from typing import NamedTuple

from tallystick.merkle import Edge


class Head(NamedTuple):
    """A block without its transactions.

    Attributes:
        header: canonical bytes.
        state_root: after the block.
        history_root: after the block.
        size: of the history after it.
    """

    header: bytes
    state_root: bytes
    history_root: bytes
    size: int


class Beginning(NamedTuple):
    """A block from which a ledger goes on.

    Attributes:
        height: of the block.
        time: of the block, ms.
        head: the block.
        signatures: of its header, by those who order; canonical JSON.
        edge: of the history after it.
        transactions: that reached the history until then.
        events: that operations caused until then.
        before: blocks before it, newest first: the histories that authors of the next transactions may have seen.
    """

    height: int
    time: int
    head: Head
    signatures: bytes
    edge: Edge
    transactions: int
    events: int
    before: tuple[Head, ...]
