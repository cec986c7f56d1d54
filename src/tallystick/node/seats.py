"""What the distributed engine asks of the ledger: who has a seat, which engines are known, what was in old blocks."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.codec import sha256
from tallystick.errors import IntegrityError
from tallystick.machine import State
from tallystick.machine.execution import app_hash_of
from tallystick.merkle import Frontier, StateTree, state_key, state_leaf
from tallystick.modules import decode_genesis, genesis_writes
from tallystick.modules.organisations.queries import engines, seatings
from tallystick.modules.organisations.records import SEATINGS
from tallystick.node.engine_genesis import POWER
from tallystick.ordering.cometbft.replay import KeptBlock
from tallystick.proofs.headers import decode_header
from tallystick.store import LedgerStore


class Seats:
    """Who votes on blocks: a `ValidatorSource` over the records of organisations."""

    @property
    def collections(self) -> frozenset[str]:
        """The collections that the answer depends on."""
        return frozenset({SEATINGS.name})

    def validators(self, state: State, height: int) -> Mapping[bytes, int]:
        """Return the consensus keys with their power, as the engine was told with a block."""
        listed = [seating for since, seating in seatings(state) if since <= height]
        return {} if not listed else {bytes.fromhex(seat.consensus): POWER for seat in listed[-1].seats}


class KeptHistory:
    """The blocks of a ledger: a `History` of the engine's."""

    def __init__(self, store: LedgerStore, genesis: bytes) -> None:
        """Read from a store.

        Args:
            store: this node's copy.
            genesis: bytes of the zone's genesis document.
        """
        self._store = store
        self._genesis = genesis

    def kept_block(self, height: int) -> KeptBlock:
        """Return a block; 0 is what the zone began with.

        Raises:
            IntegrityError: it is not held here.
        """
        if height == 0:
            return self._before_the_first()
        block = self._store.find_block(height)
        if block is None:
            raise IntegrityError(
                f"block {height} is not held here, and the engine asks for it",
                remedy="Let this node follow as a replica until it has all older blocks, then start it as a validator.",
            )
        header = decode_header(block.header)
        return KeptBlock(bytes.fromhex(header.app_hash), block.time, block.transactions)

    def _before_the_first(self) -> KeptBlock:
        leaves = [
            (hashed := state_key(collection, key), state_leaf(hashed, sha256(value)))
            for collection, key, value in genesis_writes(self._genesis)
        ]
        frontier = Frontier()
        app_hash = app_hash_of(StateTree.build(leaves).root, frontier.root(), frontier.size)
        return KeptBlock(app_hash, decode_genesis(self._genesis).created, [])


def known_engine(store: LedgerStore, node: str) -> bool:
    """Tell whether an active or suspended member has announced an engine with this node id."""
    return any(engine.node == node for engine in engines(State(store)))


def other_engines(store: LedgerStore, organisation: str) -> list[str]:
    """Return `id@host:port` of the engines of the others who order together."""
    listed = seatings(State(store))
    seated = {seat.organisation for seat in listed[-1][1].seats} if listed else set()
    return [
        f"{engine.node}@{engine.address}"
        for engine in engines(State(store))
        if engine.organisation in seated and engine.organisation != organisation
    ]
