"""Execution of blocks, begun while the votes on one travel.

Most blocks that this node votes for are decided, and between its vote and the decision its application has little to do.
So it executes the block then, against the last one on disk and in memory; the answer is there when the decision comes.
Nothing depends on it: another block that is decided instead is executed then, and what was done for nothing is dropped.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter

from tallystick.codec import MalformedError
from tallystick.machine import Block, BlockResult, LedgerState, Rulebook
from tallystick.machine.execution import execute_block
from tallystick.ordering.cometbft.voting import Opened
from tallystick.ordering.meter import Meter


@dataclass(slots=True)
class _Expected:
    """A block that may be decided, and its result once it was executed."""

    state: LedgerState
    height: int
    time: int
    opened: Opened
    result: BlockResult | None = None


class Executor:
    """Executes blocks against the last one on disk, without changing anything."""

    def __init__(self, rulebook: Rulebook, meter: Meter) -> None:
        """Prepare.

        Args:
            rulebook: the operations.
            meter: is told how long each block takes.
        """
        self._rulebook = rulebook
        self._meter = meter
        self._expected: _Expected | None = None

    def expect(self, state: LedgerState, height: int, time: int, opened: Opened) -> None:
        """Execute a block in the next turn of the loop, when the vote for it is on its way.

        Args:
            state: after the last block on disk.
            height: of the block; where it does not follow the state, nothing is done.
            time: of the block, ms.
            opened: its transactions.
        """
        self._expected = None
        if height == state.height + 1 and time >= state.time:
            self._expected = _Expected(state, height, time, opened)
            asyncio.get_running_loop().call_soon(self._execute_expected, self._expected)

    def execute(self, state: LedgerState, height: int, time: int, opened: Opened) -> BlockResult:
        """Return the result of a decided block: the one that is there already, or a new one.

        Args:
            state: after the last block on disk.
            height: of the block, which follows the state.
            time: of the block, ms.
            opened: its transactions.
        """
        expected, self._expected = self._expected, None
        if (
            expected is not None
            and expected.result is not None
            and expected.opened is opened
            and (expected.height, expected.time) == (height, time)
            and expected.state is state
        ):
            return expected.result
        return self._execute(state, height, time, opened)

    def _execute_expected(self, expected: _Expected) -> None:
        # Meanwhile another block may be expected, or this one may have been decided and executed.
        if self._expected is expected:
            expected.result = self._execute(expected.state, expected.height, expected.time, expected.opened)

    def _execute(self, state: LedgerState, height: int, time: int, opened: Opened) -> BlockResult:
        transactions = tuple(raw for bundle in opened.bundles for raw in bundle.transactions)
        bad = {
            item.decoded.raw
            for item in opened.checked
            if not item.signed and not isinstance(item.decoded, MalformedError)
        }
        began = perf_counter()
        result = execute_block(
            state,
            Block(height, time, transactions),
            self._rulebook,
            decoded=[item.decoded for item in opened.checked],
            verified=lambda transaction: transaction.raw not in bad,
        )
        self._meter.observe("apply_seconds", perf_counter() - began)
        return result
