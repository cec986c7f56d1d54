"""This node's copy of the shared record, opened for its core, and what the members have signed about it.

Opened in this order: the part that the node plays is looked up; what a crash left useless is removed; the ledger is
compared with the checkpoint in `log/`, before anything overwrites that; missing tiles are written; the state is rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from tallystick.codec import sha256
from tallystick.keys import Signer
from tallystick.ledger.seals import Seals
from tallystick.ledger.trustkeeper import TrustKeeper
from tallystick.ledger.witness import Witness
from tallystick.machine import LedgerState, State
from tallystick.modules import rulebook
from tallystick.modules.organisations.queries import validators
from tallystick.modules.organisations.records import CONSENSUS_KEYS
from tallystick.node.beginning import tidy
from tallystick.node.files import write_atomically
from tallystick.node.history import history_nodes, published_size
from tallystick.node.homes import Home, Part
from tallystick.node.measures import MeasuredStore, Measures
from tallystick.node.misbehaviour import MisbehaviourBook
from tallystick.node.parts import PartKeeper
from tallystick.proofs.trust import TrustFile
from tallystick.store import FORMAT_VERSION, LedgerStore, TileLog

log = structlog.get_logger("core")
Tell = Callable[[str, Any], None]
"""Tells news to everybody connected to the core."""


@dataclass(frozen=True)
class Copy:
    """What all of a core works on.

    Attributes:
        home: the node's.
        system: its `system` key.
        clock_ms: UTC time, ms.
        measures: of this core.
        store: the ledger.
        keeper: follows what the ledger says of this node's part.
        misbehaviour: what validators were found guilty of.
        tiles: the log beside the ledger.
        state: after the last block on disk.
    """

    home: Home
    system: Signer
    clock_ms: Callable[[], int]
    measures: Measures
    store: LedgerStore
    keeper: PartKeeper
    misbehaviour: MisbehaviourBook
    tiles: TileLog
    state: LedgerState
    # What `validators` found last, or nothing.
    _ordering: list[Mapping[str, bytes]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def organisation(self) -> str:
        """Whose node this is."""
        return self.home.settings.node.organisation

    @property
    def part(self) -> Part:
        """What this core was started for."""
        return self.keeper.part

    @property
    def orders(self) -> bool:
        """Whether this node orders for the zone, alone or together with others."""
        return self.part != "replica" and self.organisation in self.validators()

    def validators(self) -> Mapping[str, bytes]:
        """Return organisation -> `system` key of those who must sign the next header; kept until that may change."""
        if not self._ordering:
            found = validators(State(self.store))
            self._ordering.append({member.organisation: bytes.fromhex(member.key) for member in found})
        return self._ordering[0]

    def forget_validators(self) -> None:
        """Look up anew who orders: a block has written to members, keys or the zone."""
        self._ordering.clear()


def open_copy(home: Home, system: Signer, *, clock_ms: Callable[[], int]) -> Copy:
    """Open the ledger and rebuild the state.

    Args:
        home: the node's.
        system: its `system` key.
        clock_ms: UTC time, ms.

    Raises:
        NodeError: the ledger cannot be used as it is, or this node plays another part by now.
    """
    measures = Measures()
    store = MeasuredStore(home.ledger_path, rulebook(), measures=measures)
    if store.converted:
        log.info("ledger_converted", blocks=store.converted, format=FORMAT_VERSION)
    keeper = PartKeeper(home, store)
    misbehaviour = MisbehaviourBook(home.path, partial(_owners_of_engines, store))
    tidy(home, store)
    tiles = TileLog(home.log_path)
    last = store.last_block()
    organisation = home.settings.node.organisation
    if keeper.part == "orderer" and published_size(tiles, store.chain, organisation, system.public_key) > (
        last.size if last else 0
    ):
        # Before anything overwrites the evidence: this ledger is an older one than this node has signed.
        log.warning("ledger_is_behind_its_log", home=str(home.path))
        home.mark_restored()
    if last is not None:
        tiles.resume(last.size, store.leaves, last.history_root, store.base_edge())
    state = store.load_state(tiles.frontier(), max_cached_bytes=home.settings.ledger.state_cache_mib << 20)
    return Copy(home, system, clock_ms, measures, store, keeper, misbehaviour, tiles, state)


def _owners_of_engines(store: LedgerStore) -> dict[str, str]:
    """Return organisation by the address of each consensus key that was ever registered."""
    found = State(store).scan(CONSENSUS_KEYS)
    return {sha256(bytes.fromhex(key))[:20].hex(): record.organisation for key, record in found}


@dataclass(frozen=True)
class Signed:
    """What the members have signed about the history.

    Attributes:
        trust: the trust file, and the signatures under its versions.
        witness: checkpoints and cosignatures.
        seals: signatures of headers.
    """

    trust: TrustKeeper
    witness: Witness
    seals: Seals


def take_up_signed(copy: Copy, tell: Tell) -> Signed:
    """Take up what the members have signed about a copy.

    Args:
        copy: this node's.
        tell: tells news; of the trust file when a further version counts.
    """
    home, store = copy.home, copy.store

    def trust_changed(trust: TrustFile) -> None:
        write_atomically(home.trust_path, trust.encode())
        tell("trust", {"version": trust.latest.number})

    trust = TrustKeeper(
        home.read_trust(),
        store,
        organisation=copy.organisation,
        signer=copy.system,
        on_change=trust_changed,
    )
    witness = Witness(
        store,
        trust,
        organisation=copy.organisation,
        signer=copy.system,
        clock_s=lambda: copy.clock_ms() // 1000,
        nodes=partial(history_nodes, copy.tiles, store),
    )
    return Signed(trust, witness, Seals(store, trust))
