"""What an engine's RPC answers to a light client, made up: headers, validators with their turns, parameters."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from tallystick.codec import sha256
from tallystick.ordering.cometbft.light import HEIGHTS, Told

PARAMETERS = {"evidence": {"max_age_num_blocks": "10000"}}


def commit(chain: str, height: int, app_hash: str, mark: str = "") -> str:
    """Return a signed header as the engine tells it; its signatures are left out, which the engine alone checks.

    Args:
        chain: chain id.
        height: of the block.
        app_hash: after the block before, hex.
        mark: makes the header another one.
    """
    hashed = sha256(f"{chain}/{height}/{app_hash}/{mark}".encode()).hex().upper()
    header = {"chain_id": chain, "height": str(height), "app_hash": app_hash.upper(), "time": "2026-01-01T00:00:00Z"}
    signed = {"header": header, "commit": {"height": str(height), "block_id": {"hash": hashed}, "signatures": []}}
    return json.dumps({"signed_header": signed, "canonical": True})


def validators(height: int, powers: Mapping[bytes, int], turn: int = 0) -> str:
    """Return validators as the engine tells them."""
    listed: list[dict[str, Any]] = [
        {
            "address": sha256(key)[:20].hex().upper(),
            "pub_key": {"type": "tendermint/PubKeyEd25519", "value": base64.b64encode(key).decode()},
            "voting_power": str(power),
            "proposer_priority": str(turn),
        }
        for key, power in powers.items()
    ]
    total = str(len(listed))
    return json.dumps({"block_height": str(height), "validators": listed, "count": total, "total": total})


def tell(
    chain: str,
    height: int,
    app_hash: str,
    powers: Mapping[bytes, int],
    *,
    turn: int = 0,
    mark: str = "",
    **more: object,
) -> Told:
    """Return what an engine tells of a height and the two after it.

    Args:
        chain: chain id.
        height: H.
        app_hash: after block H, hex; all three headers have it.
        powers: of the validators.
        turn: of each of them.
        mark: makes the headers others.
        more: parameters.
    """
    heights = range(height, height + HEIGHTS)
    return Told(
        [commit(chain, at, app_hash, mark) for at in heights],
        [validators(at, powers, turn) for at in heights],
        json.dumps({"block_height": str(height + 1), "consensus_params": PARAMETERS | more}),
    )
