"""Putting engines and seats into the state: what the genesis and several operations have in common."""

from __future__ import annotations

import msgspec

from tallystick.machine import State
from tallystick.modules.organisations.records import (
    CONSENSUS_KEYS,
    ENGINES,
    KEYS,
    SEATINGS,
    ZONE,
    ZONE_KEY,
    ConsensusKey,
    Engine,
    Seat,
    Seating,
)
from tallystick.modules.organisations.rejections import BAD_ENGINE, ENGINE_TAKEN

_HEX = frozenset("0123456789abcdef")
_NODE_CHARACTERS = 40
_HEIGHT_DIGITS = 12


def check_engine_form(node: str) -> None:
    """Check that a node id is 20 bytes in lower-case hex.

    Raises:
        RejectedError: `bad_engine`.
    """
    if len(node) != _NODE_CHARACTERS or not _HEX.issuperset(node):
        raise BAD_ENGINE(field="node id")


def check_engine_free(state: State, organisation: str, consensus: str, node: str) -> None:
    """Check that nobody else has this engine, and that its key is this organisation's present one or was never used.

    Raises:
        RejectedError: `engine_taken`, naming the field.
    """
    own = state.find(ENGINES, organisation)
    if own is None or own.consensus != consensus:
        if state.has(CONSENSUS_KEYS, consensus) or state.has(KEYS, consensus):
            raise ENGINE_TAKEN(field="consensus key")
    if any(engine.node == node for name, engine in state.scan(ENGINES) if name != organisation):
        raise ENGINE_TAKEN(field="node id")


def put_engine(state: State, organisation: str, consensus: str, node: str, address: str, time: int) -> None:
    """Write an engine that was checked to be free, and retire the key that it replaces."""
    before = state.find(ENGINES, organisation)
    if before is None or before.consensus != consensus:
        if before is not None:
            old = state.get(CONSENSUS_KEYS, before.consensus)
            state.put(CONSENSUS_KEYS, before.consensus, msgspec.structs.replace(old, retired_at=time))
        state.put(CONSENSUS_KEYS, consensus, ConsensusKey(organisation=organisation, added_at=time))
    engine = Engine(organisation=organisation, consensus=consensus, node=node, address=address, announced_at=time)
    state.put(ENGINES, organisation, engine)


def seating_key(height: int) -> str:
    """Return the key of what holds from the block after this one on."""
    return f"{height:0{_HEIGHT_DIGITS}d}"


def put_seating(state: State, height: int, time: int) -> None:
    """Write who orders together after a block that changed it; nothing where one organisation orders alone.

    Args:
        state: with the zone and its engines as they are after the operation.
        height: of the block; 0 for the genesis.
        time: of the block, ms.
    """
    zone = state.get(ZONE, ZONE_KEY)
    if zone.orderer:
        return
    seats = tuple(Seat(organisation=name, consensus=state.get(ENGINES, name).consensus) for name in zone.validators)
    state.put(SEATINGS, seating_key(height), Seating(seats=seats, since=time))
