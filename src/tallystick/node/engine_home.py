"""What the distributed engine needs in a validator's home, written from `tally.toml` and never edited by hand.

    home/  engine-genesis.json          public; the same at every validator of the zone (`engine_genesis`)
           engine/config/config.toml    rendered anew at each start
           engine/peers.json            the other engines that the ledger names
           engine/data/                 the engine's blocks; may be lost, and is fetched again from the others
           engine/behind                how far the engine is, while it is behind the ledger (`ordering.cometbft.replay`)
           keys/engine/                 its two keys, and what it signed last

`keys/engine/last-signed.json` says up to where this validator has voted. It is never restored from a backup and never
reset: a validator that lost it could vote twice, and gets a new consensus key instead.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nacl.signing import SigningKey

from tallystick.errors import StorageError
from tallystick.node.config import EngineSection
from tallystick.node.engine_beginning import sync_settings
from tallystick.node.engine_genesis import PUBLIC_TYPE, key_address
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home
from tallystick.ordering.cometbft.admission import MEMPOOL_SETTINGS
from tallystick.ordering.cometbft.rpc import RPC_SETTINGS

_PEERS_FILE = "peers.json"
_PACKET_BYTES = 128 << 10
_INBOUND = 1_000
_PRIVATE_TYPE = "tendermint/PrivKeyEd25519"


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
        "address": key_address(public).upper(),
        "pub_key": {"type": PUBLIC_TYPE, "value": _base64(public)},
        "priv_key": _private(consensus),
    }
    _write(folder / "consensus-key.json", form)
    _write(folder / "node-key.json", {"priv_key": _private(node)})
    _write(folder / "last-signed.json", {"height": "0", "round": 0, "step": 0})
    return EngineIdentity(key_address(bytes(node.verify_key)), public)


def read_engine_keys(keys: Path) -> EngineIdentity:
    """Return what the engine of a key folder is known by.

    Raises:
        StorageError: there are no such keys, or they cannot be read.
    """
    return EngineIdentity(
        key_address(bytes(_read_key(keys, "node-key.json").verify_key)),
        bytes(_read_key(keys, "consensus-key.json").verify_key),
    )


def sign_with_consensus_key(keys: Path, message: bytes) -> bytes:
    """Return the signature of a message that is no vote: of the proof that this node holds the key.

    Raises:
        StorageError: there are no such keys, or they cannot be read.
    """
    return _read_key(keys, "consensus-key.json").sign(message).signature


def has_engine_keys(keys: Path) -> bool:
    """Tell whether a key folder has an engine's keys."""
    return (keys / "engine" / "consensus-key.json").is_file()


def signed_height(keys: Path) -> int | None:
    """Return the height of the last block that the engine voted on, 0 before the first; None where nobody knows."""
    try:
        return int(json.loads((keys / "engine" / "last-signed.json").read_bytes())["height"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def retire_engine_keys(keys: Path) -> Path:
    """Put an engine's keys aside, never to be used again; return where.

    Raises:
        StorageError: they cannot be moved.
    """
    folder = keys / "engine"
    number = 1
    while (retired := keys / f"engine-retired-{number}").exists():
        number += 1
    try:
        folder.rename(retired)
    except OSError as error:
        raise StorageError(f"cannot move {folder}: {error.strerror}", remedy="Check the disk and its rights.") from None
    return retired


def _read_key(keys: Path, name: str) -> SigningKey:
    path = keys / "engine" / name
    try:
        value = json.loads(path.read_bytes())["priv_key"]["value"]
        return SigningKey(base64.b64decode(value)[:32])
    except FileNotFoundError:
        raise StorageError(f"{path} is missing", remedy="Make the engine's keys: `tally node validate`.") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise StorageError(f"{path} cannot be read", remedy="Make new ones: `tally node repair`.") from None


def prepare_engine(home: Home) -> list[str]:
    """Write the engine's configuration and return the arguments that start it.

    Raises:
        StorageError: a file is missing or cannot be written.
    """
    if not home.engine_genesis_path.is_file():
        raise StorageError(
            f"{home.engine_genesis_path} is missing",
            remedy="It is written from the ledger once the validators order together: start the node again.",
        )
    folder = home.path / "engine"
    for name in ("config", "data"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(folder / "config" / "config.toml", _render(home).encode(), mode=0o600)
    return ["start", "--home", str(folder)]


def _render(home: Home) -> str:
    """Return the engine's config.toml."""
    lines = ["# Written by Tallystick at each start, from tally.toml."]
    for section, values in _sections(home).items():
        if section:
            lines += ["", f"[{section}]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _sections(home: Home) -> dict[str, dict[str, Any]]:
    """Return the engine's settings by section; what is not named has the engine's own default."""
    settings: EngineSection = home.settings.engine
    keys = home.keys_path / "engine"
    return {
        "": {
            "proxy_app": f"unix://{home.abci_path}",
            "moniker": home.settings.node.organisation,
            "genesis_file": str(home.engine_genesis_path),
            "priv_validator_key_file": str(keys / "consensus-key.json"),
            "priv_validator_state_file": str(keys / "last-signed.json"),
            "node_key_file": str(keys / "node-key.json"),
            "abci": "socket",
            "filter_peers": True,
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
            "persistent_peers": ",".join(_peers(home)),
            "addr_book_strict": False,
            "allow_duplicate_ip": True,
            "pex": False,
            # Who may stay is for the ledger to say (`filter_peers`). By the engine's own 40, strangers who say nothing
            # could keep a validator's door shut, and in a large zone the members themselves.
            "max_num_inbound_peers": _INBOUND,
            "send_rate": 20_480_000,
            "recv_rate": 20_480_000,
            "flush_throttle_timeout": "10ms",
            # A part of a block in one packet instead of 65; the same at all validators, who take none that is longer.
            "max_packet_msg_payload_size": _PACKET_BYTES,
        },
        "mempool": {
            **MEMPOOL_SETTINGS,
            "max_tx_bytes": (1 << 20) + 1024,
            "cache_size": 40_000,
            # After each block the application tells of which bundles nothing waits any more.
            "recheck": True,
        },
        "consensus": {
            "create_empty_blocks": False,
            # What is new waits so long until it is passed on, three times a block; 100 ms by the engine's own default.
            "peer_gossip_sleep_duration": "25ms",
            "create_empty_blocks_interval": f"{home.settings.ledger.heartbeat_seconds}s",
            "timeout_propose": "2s",
            "timeout_commit": f"{settings.commit_ms}ms",
            "skip_timeout_commit": False,
        },
        "statesync": sync_settings(home),
        "storage": {"discard_abci_responses": True},
        "tx_index": {"indexer": "null"},
        "instrumentation": {"prometheus": False},
    }


def write_peers(home: Home, peers: Sequence[str]) -> None:
    """Write which other engines the ledger names, for the next start of this node's.

    Raises:
        StorageError: the disk refuses.
    """
    home.engine_path.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(home.engine_path / _PEERS_FILE, json.dumps(list(peers)).encode() + b"\n")


def _peers(home: Home) -> list[str]:
    """Return `id@host:port` of the engines to connect to: those of `tally.toml`, and others that the ledger names."""
    given = home.settings.engine.peers
    nodes = {peer.partition("@")[0] for peer in given}
    try:
        named = json.loads((home.engine_path / _PEERS_FILE).read_bytes())
    except (OSError, ValueError):
        named = []
    return [*given, *[peer for peer in named if peer.partition("@")[0] not in nodes]]


def _private(key: SigningKey) -> dict[str, str]:
    return {"type": _PRIVATE_TYPE, "value": _base64(bytes(key) + bytes(key.verify_key))}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write(path: Path, form: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(form, indent=1).encode() + b"\n", mode=0o600)
