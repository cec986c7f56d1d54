"""What the validators' engines begin with: written from the ledger, the same at every node of the zone.

Where the validators order together from the beginning, the zone's genesis says who they are. Where one organisation
ordered first, the block in which it handed over does: the engines' first block is the next one, they begin with the app
hash after it, and the chain id stays. Nobody has to send the file to anybody.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tallystick.codec import sha256
from tallystick.errors import StorageError
from tallystick.machine import State
from tallystick.modules import decode_genesis
from tallystick.modules.organisations.queries import seatings
from tallystick.modules.organisations.records import Seat
from tallystick.node.files import write_atomically
from tallystick.proofs.headers import decode_header

if TYPE_CHECKING:
    from tallystick.node.homes import Home
    from tallystick.store import LedgerStore

POWER = 10
BLOCK_BYTES = 4 << 20
PUBLIC_TYPE = "tendermint/PubKeyEd25519"
# How long evidence of a double vote counts: until both are over, so that the time alone protects a busy zone, and the
# count one that stood still.
EVIDENCE_BLOCKS = 10_000
EVIDENCE_MS = 48 * 3_600_000


def key_address(public: bytes) -> str:
    """Return how the engine names a key: the first 20 bytes of its SHA-256, hex."""
    return sha256(public)[:20].hex()


def make_engine_genesis(
    chain: str, seats: Sequence[Seat], *, since_ms: int, initial_height: int = 1, app_hash: str = ""
) -> bytes:
    """Return the engines' genesis.

    Args:
        chain: chain id of the zone.
        seats: who votes at first.
        since_ms: time of the block before the first.
        initial_height: first block of the engines' chain.
        app_hash: after the block before, hex.
    """
    since = datetime.datetime.fromtimestamp(since_ms / 1000, datetime.UTC)
    document = {
        "genesis_time": since.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "chain_id": chain,
        "initial_height": str(initial_height),
        "consensus_params": {
            "block": {"max_bytes": str(BLOCK_BYTES), "max_gas": "-1"},
            "evidence": {
                "max_age_num_blocks": str(EVIDENCE_BLOCKS),
                "max_age_duration": str(EVIDENCE_MS * 1_000_000),
                "max_bytes": "65536",
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "1"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            {
                "address": key_address(bytes.fromhex(seat.consensus)).upper(),
                "pub_key": {"type": PUBLIC_TYPE, "value": base64.b64encode(bytes.fromhex(seat.consensus)).decode()},
                "power": str(POWER),
                "name": seat.organisation,
            }
            for seat in seats
        ],
        "app_hash": app_hash.upper(),
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def first_engine_genesis(genesis: bytes) -> bytes:
    """Return the engines' genesis of a zone whose validators order together from the beginning."""
    zone = decode_genesis(genesis)
    seats = [Seat(organisation=engine.organisation, consensus=engine.consensus) for engine in zone.engines]
    return make_engine_genesis(zone.chain, seats, since_ms=zone.created)


def evidence_limits(home: Home) -> tuple[int, int]:
    """Return for how many blocks, and for how many ms, evidence counts in this zone, as its engines began."""
    try:
        evidence = json.loads(home.engine_genesis_path.read_bytes())["consensus_params"]["evidence"]
        return int(evidence["max_age_num_blocks"]), int(evidence["max_age_duration"]) // 1_000_000
    except (OSError, ValueError, KeyError, TypeError):
        raise StorageError(
            f"{home.engine_genesis_path} cannot be read",
            remedy="Remove it and start the node: it is written from the ledger.",
        ) from None


def initial_height(state: State) -> int | None:
    """Return the first block of the engines' chain; None where one organisation orders alone."""
    listed = seatings(state)
    return listed[0][0] + 1 if listed else None


def write_engine_genesis(home: Home, store: LedgerStore) -> bool:
    """Write the engines' genesis if validators order together and it is not there; tell whether it was written.

    Raises:
        StorageError: the disk refuses.
    """
    listed = seatings(State(store))
    if home.engine_genesis_path.exists() or not listed:
        return False
    height, first = listed[0]
    before = store.head_at(height)
    if height and before is None:
        # A copy that began with a snapshot gets its older blocks by and by.
        return False
    app_hash = decode_header(before.header).app_hash if before is not None else ""
    data = make_engine_genesis(
        store.chain, first.seats, since_ms=first.since, initial_height=height + 1, app_hash=app_hash
    )
    write_atomically(home.engine_genesis_path, data)
    return True
