"""What a validator's node tells another member's, whose engine is to begin in the middle of the engines' chain.

It passes on what its own engine answers to a light client, and lets its core offer that height to the engine that asks.
Whoever gets it checks it (`ordering.cometbft.light`); nothing of it is secret within the zone. Only members that have
announced an engine ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.codec import encode_json
from tallystick.errors import AccessError, PeerError
from tallystick.machine import State
from tallystick.modules.organisations.queries import find_engine
from tallystick.node.homes import Home
from tallystick.node.peers.messages import EngineSpan, EngineTold, heights_decoder
from tallystick.node.peers.ports import CoreLink
from tallystick.node.peers.server import Answer, Call, Endpoint
from tallystick.store import LedgerStore

if TYPE_CHECKING:
    from tallystick.ordering.cometbft.rpc import EngineRpc


class EngineDesk:
    """This node's engine, for other members' nodes."""

    def __init__(self, home: Home, store: LedgerStore, core: CoreLink) -> None:
        """Prepare.

        Args:
            home: the node's.
            store: its copy, for reading.
            core: offers heights to other engines.
        """
        self._home = home
        self._store = store
        self._core = core
        self._validates = home.part == "validator"
        self._rpc: EngineRpc | None = None

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        return [
            Endpoint("GET", "/engine", self._span),
            Endpoint("POST", "/engine/beginnings", self._begin, most=4_096),
        ]

    async def close(self) -> None:
        """Close the connection to the engine."""
        if self._rpc is not None:
            await self._rpc.close()

    def _engine(self, asker: str) -> EngineRpc:
        """Return the connection to this node's engine.

        Raises:
            PeerError: there is none.
            AccessError: the asker has no use for it.
        """
        if not self._validates:
            raise PeerError("this node has no engine", remedy="Ask the nodes of the zone's validators.")
        if find_engine(State(self._store), asker) is None:
            raise AccessError(f"{asker} has announced no engine", remedy="Announce it: `tally node validate`.")
        if self._rpc is None:
            # Only validators need what knows the engine.
            from tallystick.ordering.cometbft.rpc import EngineRpc

            self._rpc = EngineRpc(self._home.engine_rpc_path)
            self._rpc.open()
        return self._rpc

    async def _span(self, call: Call) -> Answer:
        status = await self._engine(call.organisation).status()
        return Answer(encode_json(EngineSpan(first=status.first, last=status.height)))

    async def _begin(self, call: Call) -> Answer:
        height = heights_decoder.decode(call.body).height
        engine = self._engine(call.organisation)
        found = [await engine.light_block(at) for at in range(height, height + 3)]
        parameters = await engine.parameters(height + 1)
        await self._core.ask("engine_begins", [call.organisation, height])
        told = EngineTold(
            commits=tuple(commit.decode() for commit, _ in found),
            parameters=parameters.decode(),
            validators=tuple(validators.decode() for _, validators in found),
        )
        return Answer(encode_json(told))
