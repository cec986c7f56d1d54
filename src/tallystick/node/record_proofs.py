"""Proofs of records, as the core gives them: from the state tree in its memory, while blocks go on."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

from tallystick.codec import encode_json, sha256
from tallystick.errors import IntegrityError, PeerError
from tallystick.machine import LedgerState
from tallystick.merkle import StateProof, state_key
from tallystick.store import LedgerStore, open_reader

_TRIES = 8


async def prove_record(state: LedgerState, store: LedgerStore, collection: str, key: str) -> dict[str, Any]:
    """Return a record, or that there is none, with its proof under the last header.

    Raises:
        PeerError: there is no block yet, or the state changes too fast to be proved.
    """
    proof = await _state_proof(state, store, collection, key)
    last = store.last_block()
    if last is None:
        raise PeerError("the ledger has no block yet", remedy="Record something first.")
    return {
        "value": store.read(collection, key),
        "proof": encode_json(proof.to_json()),
        "header": last.header,
        "header_signatures": last.signatures,
        "history_root": last.history_root,
        "state_root": last.state_root,
        "size": last.size,
    }


async def _state_proof(state: LedgerState, store: LedgerStore, collection: str, key: str) -> StateProof:
    """Return the proof in the state as it is when this returns.

    A proof of absence may show one other record. Which value that has is found by its place, in a thread, since it takes
    a walk through all records; blocks that come meanwhile are why the proof is tried again.
    """
    place = state_key(collection, key)
    known: dict[bytes, bytes] = {}
    for _ in range(_TRIES):
        try:
            return state.tree.proof(place, known.__getitem__)
        except KeyError as wanted:
            other = wanted.args[0]
            known[other] = await asyncio.to_thread(_value_hash_at, store.path, other)
        except IntegrityError:
            # That record was changed while it was looked for.
            known.clear()
    raise PeerError("the state changes faster than this can be proved", remedy="Ask again in a moment.")


def _value_hash_at(ledger: Path, place: bytes) -> bytes:
    """Return the hash of the value at a place of the state tree; where it has gone meanwhile, one that is refused."""
    with closing(open_reader(ledger)) as connection:
        for collection, key, value in connection.execute("SELECT collection, key, value FROM records"):
            if state_key(collection, key) == place:
                return sha256(value.encode())
    return bytes(32)
