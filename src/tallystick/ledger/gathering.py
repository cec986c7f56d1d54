"""Gathering: what an organisation's own people ask for at the same time travels in one signed transaction.

A transaction costs a signature, a place in the mempool and a check at every node, however many operations are in it. So
operations that the node signs itself, with the same key, are put together: the first goes at once, and what comes within
a few milliseconds of it goes together. Each operation succeeds or fails on its own (`atomic` is false), and whoever asked
gets the outcome and the place of their own, with which a receipt can be made.

Transactions that a client signed itself cannot be put together: nobody else may sign for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from tallystick.codec import encode_json
from tallystick.errors import NodeError, RejectedError
from tallystick.ledger.door import Ledger
from tallystick.machine import PARAMETERS, Message, Parameters
from tallystick.machine.parameters import PARAMETERS_KEY

GATHER_SECONDS = 0.005
MAX_OPERATIONS = 500
MAX_BYTES = 512 << 10


class Placed(NamedTuple):
    """Where an accepted operation is.

    Attributes:
        transaction: id.
        position: of the operation in it.
        height: of its block.
        leaf: its place in the history.
    """

    transaction: bytes
    position: int
    height: int
    leaf: int


@dataclass(eq=False)
class _Batch:
    """Operations for one transaction; `ready` is set when no more fit."""

    operations: list[bytes] = field(default_factory=list)
    asking: list[asyncio.Future[Placed]] = field(default_factory=list)
    bytes: int = 0
    ready: asyncio.Event = field(default_factory=asyncio.Event)


class Gathering:
    """Records operations of this organisation, those of the same moment in one transaction."""

    def __init__(self, ledger: Ledger, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            ledger: signs and submits.
            clock_s: seconds that never go back.
        """
        self._ledger = ledger
        self._clock_s = clock_s
        # Role -> the batch that still takes operations; and when its last one was sent.
        self._open: dict[str, _Batch] = {}
        self._sent: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def record(self, message: Message, *, role: str = "service") -> Placed:
        """Record one operation; return its place once it is in this node's own copy.

        Raises:
            RejectedError: it was rejected; nothing changed.
            NodeError: it could not be submitted; it may be recorded all the same where the answer was lost.
        """
        operation = encode_json(message)
        parameters = self._parameters()
        most = min(MAX_OPERATIONS, parameters.max_operations, parameters.block_operations_per_organisation)
        batch = self._open.get(role)
        if batch is None or batch.bytes + len(operation) > min(MAX_BYTES, parameters.max_transaction_bytes // 2):
            batch = self._begin(role)
        asking: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        batch.operations.append(operation)
        batch.asking.append(asking)
        batch.bytes += len(operation)
        if len(batch.operations) >= most:
            self._close(role, batch)
        return await asking

    def _parameters(self) -> Parameters:
        return self._ledger.state().find(PARAMETERS, PARAMETERS_KEY) or Parameters()

    def _begin(self, role: str) -> _Batch:
        full = self._open.get(role)
        if full is not None:
            self._close(role, full)
        batch = self._open[role] = _Batch()
        task = asyncio.create_task(self._send(role, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return batch

    def _close(self, role: str, batch: _Batch) -> None:
        if self._open.get(role) is batch:
            del self._open[role]
        batch.ready.set()

    async def _send(self, role: str, batch: _Batch) -> None:
        """Wait until the batch is full or its time has come, then submit it and tell everybody."""
        wait_s = self._sent.get(role, 0.0) + GATHER_SECONDS - self._clock_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, wait_s)):
                await batch.ready.wait()
        self._close(role, batch)
        self._sent[role] = self._clock_s()
        try:
            done = await self._ledger.submit(batch.operations, role=role, atomic=False)
        except (RejectedError, NodeError) as error:
            for asking in batch.asking:
                _fail(asking, error)
            return
        except BaseException as error:
            # The edge of this task: nobody may be left waiting, and the error is seen by those who asked.
            for asking in batch.asking:
                _fail(asking, error)
            raise
        for position, (asking, outcome) in enumerate(zip(batch.asking, done.outcomes, strict=True)):
            if outcome.error is not None:
                _fail(asking, outcome.error)
            elif not asking.done():
                asking.set_result(Placed(done.id, position, done.height, done.first_leaf + position))


def _fail(asking: asyncio.Future[Placed], error: BaseException) -> None:
    if asking.done():
        return
    if isinstance(error, asyncio.CancelledError):
        asking.cancel()
        return
    asking.set_exception(error)
    # Who asked may have gone.
    asking.exception()
