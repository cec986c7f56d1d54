"""The engines, made for a node: which one its role asks for, and what must hold before it may sign anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tallystick.errors import AccessError
from tallystick.keys import Signer
from tallystick.machine import BlockResult, LedgerState, State
from tallystick.modules import rulebook
from tallystick.modules.organisations.queries import engines
from tallystick.node.engine_beginning import begin_anew, has_to_begin, read_beginning
from tallystick.node.engine_genesis import evidence_limits, initial_height
from tallystick.node.homes import Home
from tallystick.node.measures import MeasuredVerifier, Measures
from tallystick.node.processes import read_processes
from tallystick.ordering import Replica, Solo, VerifierProcess
from tallystick.store import LedgerStore

if TYPE_CHECKING:
    from tallystick.node.engine_watch import EngineWatch
    from tallystick.ordering.cometbft.blocks import Misbehaviour
    from tallystick.ordering.cometbft.engine import Distributed
    from tallystick.ordering.cometbft.retention import Retention


@dataclass(frozen=True)
class EngineParts:
    """What every engine is made of.

    Attributes:
        home: the node's.
        system: its `system` key.
        state: after the last block on disk.
        store: keeps blocks.
        verifier: checks signatures.
        validators: gives organisation -> `system` key of those who must sign the next header.
        clock_ms: UTC time, ms.
        on_block: told of each block after it is on disk.
        measures: of this core.
        misbehaved: told what a block says of validators, before it is committed; see `Oversight`.
    """

    home: Home
    system: Signer
    state: LedgerState
    store: LedgerStore
    verifier: VerifierProcess
    validators: Callable[[], Mapping[str, bytes]]
    clock_ms: Callable[[], int]
    on_block: Callable[[BlockResult, bytes, bytes], None]
    measures: Measures
    misbehaved: Callable[[Sequence[Misbehaviour], int, int], None]

    @property
    def organisation(self) -> str:
        """Whose node this is."""
        return self.home.settings.node.organisation


def make_solo(parts: EngineParts) -> Solo:
    """Return the embedded engine, not started.

    Raises:
        AccessError: this node is told to order but does not hold the key of the zone's one orderer.
    """
    ordering = parts.validators()
    if ordering != {parts.organisation: parts.system.public_key}:
        raise AccessError(
            f"this node is set to order, but {', '.join(ordering)} does in this zone, or with another key",
            remedy='Set role = "replica" in tally.toml, or restore the orderer\'s keys.',
        )
    return Solo(
        parts.state,
        parts.store,
        rulebook(),
        parts.system,
        MeasuredVerifier(parts.verifier, parts.measures),
        organisation=parts.organisation,
        clock_ms=parts.clock_ms,
        previous=parts.store.last_header_hash(),
        on_block=parts.on_block,
        heartbeat_ms=parts.home.settings.ledger.heartbeat_seconds * 1000,
        meter=parts.measures,
    )


def make_replica(parts: EngineParts) -> Replica:
    """Return what follows the blocks of others."""
    return Replica(
        parts.state,
        parts.store,
        rulebook(),
        MeasuredVerifier(parts.verifier, parts.measures),
        validators=parts.validators,
        clock_ms=parts.clock_ms,
        previous=parts.store.last_header_hash(),
        on_block=parts.on_block,
        meter=parts.measures,
        unknown_below=parts.store.unknown_below,
    )


def make_distributed(parts: EngineParts) -> Distributed:
    """Return this node's side of the distributed engine, not started.

    Raises:
        AccessError: this node has another `system` key, or another key for its engine, than the ledger names.
        StorageError: its engine's blocks, or what it signed last, are lost.
    """
    # Only validators need the engine's messages.
    from tallystick.node.parts import check_engine
    from tallystick.node.seats import KeptHistory, Seats, known_engine
    from tallystick.ordering.cometbft.beginnings import Beginnings
    from tallystick.ordering.cometbft.engine import Distributed, Place
    from tallystick.ordering.cometbft.oversight import Oversight
    from tallystick.ordering.cometbft.rpc import EngineRpc

    home = parts.home
    registered = parts.validators().get(parts.organisation)
    if registered not in (None, parts.system.public_key):
        raise AccessError(
            f"{parts.organisation} is one of the zone's validators with another system key than this node's",
            remedy="Restore keys/ from a backup.",
        )
    store = parts.store
    engine = check_engine(home, store)
    begin_anew(home, engine)
    history = KeptHistory(store, (home.path / "genesis.json").read_bytes())
    place = Place(
        has_seat=lambda: parts.validators().get(parts.organisation) == parts.system.public_key,
        validators=Seats(),
        knows_engine=partial(known_engine, store),
        history=history,
        engine=engine,
        beginnings=Beginnings(history, engine),
    )
    return Distributed(
        parts.state,
        parts.store,
        rulebook(),
        parts.system,
        parts.verifier,
        EngineRpc(home.engine_rpc_path),
        organisation=parts.organisation,
        socket=home.abci_path,
        clock_ms=parts.clock_ms,
        previous=parts.store.last_header_hash,
        on_block=parts.on_block,
        initial_height=initial_height(State(store)) or 1,
        place=place,
        oversight=Oversight(
            meter=parts.measures,
            misbehaved=parts.misbehaved,
            retain=_retention(parts).lowest,
        ),
    )


def make_watch(parts: EngineParts, engine: Distributed, *, trusted: Callable[[], bool]) -> EngineWatch:
    """Return what looks after the engine's process, not started.

    Args:
        parts: of the core.
        engine: this node's side of it.
        trusted: False where this node does not trust the zone any more.
    """
    from tallystick.node.engine_journal import cut_in_passing
    from tallystick.node.engine_watch import EngineWatch
    from tallystick.ordering.cometbft.rpc import EngineRpc

    home = parts.home
    return EngineWatch(
        EngineRpc(home.engine_rpc_path),
        organisation=parts.organisation,
        height=lambda: engine.reached,
        waiting=lambda: engine.waiting,
        validators=parts.validators,
        engines=lambda: {each.node: each.organisation for each in engines(State(parts.store))},
        trusted=trusted,
        stall_seconds=home.settings.engine.stall_seconds,
        stalls=read_processes(home.path).stalls,
        tidy=partial(cut_in_passing, home.engine_path),
        untold=lambda: has_to_begin(home) and read_beginning(home) is None,
    )


def _retention(parts: EngineParts) -> Retention:
    """Return which of its blocks the engine may forget, by this node's settings."""
    from tallystick.ordering.cometbft.retention import Retention

    settings = parts.home.settings.engine

    def time_of(height: int) -> int | None:
        block = parts.store.head_at(height)
        return None if block is None else block.time

    blocks, age_ms = evidence_limits(parts.home)
    return Retention(settings.retain_blocks, settings.retain_days, time_of, evidence_blocks=blocks, evidence_ms=age_ms)
