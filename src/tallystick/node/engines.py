"""The engines, made for a node: which one its role asks for, and what must hold before it may sign anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tallystick.errors import AccessError, StorageError
from tallystick.keys import Signer
from tallystick.machine import BlockResult, LedgerState
from tallystick.modules import rulebook
from tallystick.node.homes import Home
from tallystick.ordering import Replica, Solo, VerifierProcess
from tallystick.store import LedgerStore

if TYPE_CHECKING:
    from tallystick.ordering.cometbft.engine import Distributed


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
    """

    home: Home
    system: Signer
    state: LedgerState
    store: LedgerStore
    verifier: VerifierProcess
    validators: Callable[[], Mapping[str, bytes]]
    clock_ms: Callable[[], int]
    on_block: Callable[[BlockResult, bytes, bytes], None]

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
        parts.verifier,
        organisation=parts.organisation,
        clock_ms=parts.clock_ms,
        previous=parts.store.last_header_hash(),
        on_block=parts.on_block,
        heartbeat_ms=parts.home.settings.ledger.heartbeat_seconds * 1000,
    )


def make_replica(parts: EngineParts) -> Replica:
    """Return what follows the blocks of others."""
    return Replica(
        parts.state,
        parts.store,
        rulebook(),
        parts.verifier,
        validators=parts.validators,
        clock_ms=parts.clock_ms,
        previous=parts.store.last_header_hash(),
        on_block=parts.on_block,
    )


def make_distributed(parts: EngineParts) -> Distributed:
    """Return this node's side of the distributed engine, not started.

    Raises:
        AccessError: this node is told to validate but is none of the zone's validators, or has another key.
        StorageError: what it signed last is not there.
    """
    # Only validators need the engine's messages.
    from tallystick.ordering.cometbft.engine import Distributed
    from tallystick.ordering.cometbft.rpc import EngineRpc

    home = parts.home
    if parts.validators().get(parts.organisation) != parts.system.public_key:
        raise AccessError(
            f"this node is set to validate, but {parts.organisation} is none of the zone's validators, or has another key",
            remedy='Set role = "replica" in tally.toml, or restore the keys.',
        )
    if not (home.keys_path / "engine" / "last-signed.json").is_file():
        raise StorageError(
            "this validator does not know what it signed last: going on could sign twice",
            remedy='Set role = "replica" in tally.toml; the zone then has one validator less until it takes a new key.',
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
        retain_blocks=home.settings.engine.retain_blocks,
    )
