"""What the distributed engine needs in a validator's home, written from `tally.toml` and never edited by hand.

    home/  engine-genesis.json          public; the same at every validator of the zone
           engine/config/config.toml    rendered anew at each start
           engine/data/                 the engine's blocks; may be lost, and is fetched again from the others
           keys/engine/                 its two keys, and what it signed last

`keys/engine/last-signed.json` says up to where this validator has voted. It is never restored from a backup and never
reset: a validator that lost it could vote twice, and gets a new consensus key instead.
"""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nacl.signing import SigningKey

from tallystick.codec import sha256
from tallystick.errors import StorageError
from tallystick.node.config import EngineSection
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home
from tallystick.ordering.cometbft.rpc import RPC_SETTINGS

GENESIS_FILE = "engine-genesis.json"
POWER = 10
BLOCK_BYTES = 4 << 20
_EVIDENCE_BLOCKS = 100_000
_EVIDENCE_NS = 48 * 3_600 * 10**9
_PRIVATE_TYPE = "tendermint/PrivKeyEd25519"
_PUBLIC_TYPE = "tendermint/PubKeyEd25519"


class EngineIdentity(NamedTuple):
    """A validator as the other engines know it.

    Attributes:
        node: id of its engine, hex of 20 bytes.
        consensus: public key that it votes with, 32 bytes.
    """

    node: str
    consensus: bytes


def make_engine_keys(keys: Path) -> EngineIdentity:
    """Make the engine's keys in a key folder that has none.

    Args:
        keys: `keys/` of a home.

    Raises:
        StorageError: there are some already, or they cannot be written.
    """
    folder = keys / "engine"
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}", remedy="Choose another home.") from None
    consensus, node = SigningKey.generate(), SigningKey.generate()
    public = bytes(consensus.verify_key)
    form = {
        "address": _address(public).upper(),
        "pub_key": {"type": _PUBLIC_TYPE, "value": _base64(public)},
        "priv_key": _private(consensus),
    }
    _write(folder / "consensus-key.json", form)
    _write(folder / "node-key.json", {"priv_key": _private(node)})
    _write(folder / "last-signed.json", {"height": "0", "round": 0, "step": 0})
    return EngineIdentity(_address(bytes(node.verify_key)), public)


def make_engine_genesis(
    chain: str, validators: Sequence[tuple[str, bytes]], *, created_ms: int, initial_height: int = 1
) -> bytes:
    """Return the engine's genesis: who votes at first.

    Args:
        chain: chain id of the zone.
        validators: (organisation, consensus key), in the order of the zone's genesis.
        created_ms: now.
        initial_height: first block of the engine's chain.
    """
    created = datetime.datetime.fromtimestamp(created_ms / 1000, datetime.UTC)
    document = {
        "genesis_time": created.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "chain_id": chain,
        "initial_height": str(initial_height),
        "consensus_params": {
            "block": {"max_bytes": str(BLOCK_BYTES), "max_gas": "-1"},
            "evidence": {
                "max_age_num_blocks": str(_EVIDENCE_BLOCKS),
                "max_age_duration": str(_EVIDENCE_NS),
                "max_bytes": "65536",
            },
            "validator": {"pub_key_types": ["ed25519"]},
            "version": {"app": "1"},
            "abci": {"vote_extensions_enable_height": "0"},
        },
        "validators": [
            {
                "address": _address(key).upper(),
                "pub_key": {"type": _PUBLIC_TYPE, "value": _base64(key)},
                "power": str(POWER),
                "name": organisation,
            }
            for organisation, key in validators
        ],
        "app_hash": "",
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def prepare_engine(home: Home) -> list[str]:
    """Write the engine's configuration and return the arguments that start it.

    Raises:
        StorageError: a file is missing or cannot be written.
    """
    genesis = home.path / GENESIS_FILE
    if not genesis.is_file():
        raise StorageError(
            f"{genesis} is missing", remedy="Copy it from another validator of the zone; it is the same at all of them."
        )
    folder = home.path / "engine"
    for name in ("config", "data"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(folder / "config" / "config.toml", _render(home).encode(), mode=0o600)
    return ["start", "--home", str(folder)]


def _render(home: Home) -> str:
    """Return the engine's config.toml; what is not named has the engine's own default."""
    settings: EngineSection = home.settings.engine
    keys = home.keys_path / "engine"
    commit_ms = settings.commit_ms
    sections: dict[str, dict[str, Any]] = {
        "": {
            "proxy_app": f"unix://{home.abci_path}",
            "moniker": home.settings.node.organisation,
            "genesis_file": str(home.path / GENESIS_FILE),
            "priv_validator_key_file": str(keys / "consensus-key.json"),
            "priv_validator_state_file": str(keys / "last-signed.json"),
            "node_key_file": str(keys / "node-key.json"),
            "abci": "socket",
            "filter_peers": False,
            "log_format": "json",
            "log_level": "error" if home.settings.log.level != "debug" else "info",
        },
        "rpc": {
            "laddr": f"unix://{home.engine_rpc_path}",
            **RPC_SETTINGS,
            "pprof_laddr": "",
        },
        "p2p": {
            "laddr": f"tcp://{settings.listen}",
            "persistent_peers": ",".join(settings.peers),
            "addr_book_strict": False,
            "allow_duplicate_ip": True,
            "pex": False,
            "send_rate": 20_480_000,
            "recv_rate": 20_480_000,
            "flush_throttle_timeout": "10ms",
        },
        "mempool": {
            "size": 20_000,
            "max_txs_bytes": 256 << 20,
            "max_tx_bytes": (1 << 20) + 1024,
            "cache_size": 40_000,
            "recheck": False,
        },
        "consensus": {
            "create_empty_blocks": False,
            "create_empty_blocks_interval": f"{home.settings.ledger.heartbeat_seconds}s",
            "timeout_propose": "2s",
            "timeout_commit": f"{commit_ms}ms",
            "skip_timeout_commit": False,
        },
        "storage": {"discard_abci_responses": True},
        "tx_index": {"indexer": "null"},
        "instrumentation": {"prometheus": False},
    }
    lines = ["# Written by Tallystick at each start, from tally.toml."]
    for section, values in sections.items():
        if section:
            lines += ["", f"[{section}]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _address(public: bytes) -> str:
    """Return how the engine names a key: the first 20 bytes of its SHA-256, hex."""
    return sha256(public)[:20].hex()


def _private(key: SigningKey) -> dict[str, str]:
    return {"type": _PRIVATE_TYPE, "value": _base64(bytes(key) + bytes(key.verify_key))}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write(path: Path, form: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(form, indent=1).encode() + b"\n", mode=0o600)
