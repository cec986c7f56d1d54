"""Handing transactions to this node's engine, and learning what admission said of each.

The engine could tell (`broadcast_tx_sync`), but it asks the application about one transaction of a request after the other,
and a request of fifty then takes fifty turns of this very process. The application is in this process: so the engine is
told not to wait (`broadcast_tx_async`), its own refusals come back at once, and what the application answers is noted
here as it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tallystick.errors import PeerError
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.rpc import Admitted, EngineRpc

# An engine that took a transaction asks about it at once; one that does not has other troubles.
JUDGE_SECONDS = 30.0
_RESTART = "See with `tally node status` whether the engine runs; its log says why not."


class _Batch:
    """Transactions on their way, and what is known of them so far."""

    def __init__(self, raws: Sequence[bytes]) -> None:
        self.raws = raws
        self.answers: dict[bytes, Admitted] = {}
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def note(self, raw: bytes, answer: Admitted) -> None:
        """Take one answer; the first counts."""
        self.answers.setdefault(raw, answer)
        if len(self.answers) == len(self.raws) and not self.settled.done():
            self.settled.set_result(None)


class Offering:
    """What was handed to the engine and is not judged yet."""

    def __init__(self, rpc: EngineRpc) -> None:
        """Prepare.

        Args:
            rpc: of the engine.
        """
        self._rpc = rpc
        self._unjudged: dict[bytes, _Batch] = {}

    async def offer(self, raws: Sequence[bytes]) -> list[Admitted]:
        """Hand over transactions, each once; return what became of each, in order.

        Raises:
            PeerError: the engine does not answer, or does not ask about what it took.
        """
        batch = _Batch(raws)
        self._unjudged |= dict.fromkeys(raws, batch)
        try:
            for raw, answer in zip(raws, await self._rpc.send(raws, wait=False), strict=True):
                # Where the engine has nothing to say, the application will.
                if answer.code or answer.log:
                    batch.note(raw, answer)
            async with asyncio.timeout(JUDGE_SECONDS):
                await batch.settled
        except TimeoutError:
            raise PeerError("the engine keeps what it took to itself", remedy=_RESTART) from None
        finally:
            for raw in raws:
                if self._unjudged.get(raw) is batch:
                    del self._unjudged[raw]
        return [batch.answers[raw] for raw in raws]

    def judged(self, raw: bytes, answer: abci.ResponseCheckTx) -> None:
        """Take note of what the application answers the engine about a transaction, wherever that has it from."""
        batch = self._unjudged.get(raw)
        if batch is not None:
            batch.note(raw, Admitted(answer.code, answer.codespace, answer.log))

    def engine_began(self) -> None:
        """Fail what another engine took with it."""
        for batch in set(self._unjudged.values()):
            if not batch.settled.done():
                batch.settled.set_exception(PeerError("the engine was started again", remedy=_RESTART))
                batch.settled.exception()
