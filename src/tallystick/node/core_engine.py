"""The engine of a core, whichever its part asks for: started, held, and stopped together with its verifier."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tallystick.errors import NodeError, PeerError
from tallystick.machine import BlockResult
from tallystick.node.core_copy import Copy
from tallystick.node.engine import find_verifier
from tallystick.node.engines import EngineParts, make_distributed, make_replica, make_solo, make_watch
from tallystick.ordering import Replica, Solo, Submitted, VerifierProcess

if TYPE_CHECKING:
    from tallystick.node.engine_watch import EngineWatch
    from tallystick.ordering.cometbft.engine import Distributed


class CoreEngine:
    """Orders for the zone, or follows those who do.

    Attributes:
        engine: what does it; there once this is started.
        verifier: checks signatures; likewise.
        watch: looks after the engine's process, where this node validates.
    """

    engine: Solo | Replica | Distributed
    verifier: VerifierProcess

    def __init__(self, copy: Copy) -> None:
        """Prepare.

        Args:
            copy: this node's.
        """
        self._copy = copy
        self.watch: EngineWatch | None = None

    async def start(
        self, *, on_block: Callable[[BlockResult, bytes, bytes], None], distrust: Callable[[], NodeError | None]
    ) -> None:
        """Start the engine.

        Args:
            on_block: told of each block after it is on disk.
            distrust: gives why this node does not trust those who order, or None.

        Raises:
            AccessError: this node is told to order but does not hold the orderer's key.
        """
        copy = self._copy
        self.verifier = VerifierProcess(find_verifier())
        parts = EngineParts(
            home=copy.home,
            system=copy.system,
            state=copy.state,
            store=copy.store,
            verifier=self.verifier,
            validators=copy.validators,
            clock_ms=copy.clock_ms,
            on_block=on_block,
            measures=copy.measures,
            misbehaved=lambda found, height, time: copy.misbehaviour.record(found, height=height, time=time),
        )
        if copy.part == "orderer":
            self.engine = self._start_solo(parts, distrust())
        elif copy.part == "validator":
            engine = make_distributed(parts)
            reason = distrust()
            if reason is not None:
                engine.hold(reason)
            self.engine = engine
            self.watch = make_watch(parts, engine, trusted=lambda: distrust() is None)
            await engine.start()
        else:
            self.engine = make_replica(parts)

    def _start_solo(self, parts: EngineParts, distrust: NodeError | None) -> Solo:
        engine = make_solo(parts)
        if self._copy.home.is_restored:
            engine.hold(
                PeerError(
                    "this copy was restored from a backup, or is older than what it published, and asks the witnesses "
                    "how far the history had gone",
                    remedy="Wait until enough other members' nodes answer; `tally node status` tells how many.",
                )
            )
        if distrust is not None:
            engine.hold(distrust)
        engine.start()
        return engine

    async def run(self) -> None:
        """Raise what ended a loop without which the engine only seems to work; a replica has none."""
        if not isinstance(self.engine, Replica):
            await self.engine.run()

    async def stop(self) -> None:
        """Stop engine and verifier."""
        if isinstance(self.engine, Replica):
            await self.verifier.close()
        else:
            await self.engine.stop()

    def hold(self, reason: NodeError) -> None:
        """Let an engine that orders take nothing any more."""
        # An alarm of before the start is told to the engine when it is made.
        engine = getattr(self, "engine", None)
        if engine is not None and not isinstance(engine, Replica):
            engine.hold(reason)

    # --- requests ----------------------------------------------------------------------------------------------------

    def submit(self, transaction: bytes, source: str) -> asyncio.Future[Submitted]:
        """Take one transaction from this node's office, or from another member's node; see `Solo.submit`."""
        engine = self.engine
        if isinstance(engine, Replica):
            raise PeerError("this node does not order", remedy="Send transactions to the orderer's node.")
        return engine.submit(transaction, source)

    async def release(self, _: Any) -> bool:
        """Let a restored orderer order again: its office has asked the witnesses and caught up."""
        self._copy.home.clear_restored()
        if isinstance(self.engine, Solo):
            self.engine.hold(None)
        return True

    async def begins(self, body: list[Any]) -> bool:
        """Offer a height to another member's engine as its beginning."""
        engine = self.engine
        if isinstance(engine, (Solo, Replica)):
            raise PeerError("this node has no engine", remedy="Ask the nodes of the zone's validators.")
        asker, height = body
        engine.offer_beginning(asker, height)
        return True
