"""Proofs that a record is in the state, or is not.

A proof is the siblings on the way from a place to the root, and what stands at that place:

- `present`: the leaf of the record itself;
- `empty`: nothing;
- `other`: the lone leaf of another record, whose place begins with the same bits: no room is left for this one.

The verifier computes every leaf from a place and the hash of a value, so that an inner node never passes for a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from tallystick.codec import MalformedError, check_hash
from tallystick.merkle.state_hash import EMPTY, state_key, state_leaf

_MAX_DEPTH = 256
_NODE = b"\x01"

Kind = Literal["present", "empty", "other"]


@dataclass(frozen=True, slots=True)
class StateProof:
    """What proves the presence or absence of one record.

    Attributes:
        kind: what stands at the end of the path.
        siblings: 32 bytes each, from the leaf up to the root; their number is the depth.
        other_place: the place of the other leaf; empty unless `kind` is "other".
        other_value_hash: SHA-256 of the other record's bytes; empty unless `kind` is "other".
    """

    kind: Kind
    siblings: tuple[bytes, ...]
    other_place: bytes = b""
    other_value_hash: bytes = b""

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, hashes in lower-case hex."""
        value: dict[str, Any] = {"kind": self.kind, "siblings": [sibling.hex() for sibling in self.siblings]}
        if self.kind == "other":
            value["place"] = self.other_place.hex()
            value["value_hash"] = self.other_value_hash.hex()
        return value

    @classmethod
    def from_json(cls, value: object) -> StateProof:
        """Return the proof that plain JSON values describe, in the one form that `to_json` gives.

        Raises:
            MalformedError: a field is missing, unknown, of a wrong type or not lower-case hex of 32 bytes.
        """
        if not isinstance(value, dict):
            raise MalformedError("not a state proof")
        kind = value.get("kind")
        siblings = value.get("siblings")
        if not isinstance(kind, str) or not isinstance(siblings, list) or len(siblings) > _MAX_DEPTH:
            raise MalformedError("not a state proof")
        path = tuple(_from_hex(sibling) for sibling in siblings)
        if kind == "present" and len(value) == 2:
            return cls("present", path)
        if kind == "empty" and len(value) == 2:
            return cls("empty", path)
        if kind == "other" and len(value) == 4:
            return cls("other", path, _from_hex(value.get("place")), _from_hex(value.get("value_hash")))
        raise MalformedError("not a state proof")


def _from_hex(text: object) -> bytes:
    if not isinstance(text, str):
        raise MalformedError("not 32 bytes of lower-case hex")
    return bytes.fromhex(check_hash(text))


def _is_hash(value: Any) -> bool:
    return isinstance(value, bytes) and len(value) == 32


def verify_state_proof(root: bytes, collection: str, key: str, value: bytes | None, proof: StateProof) -> bool:
    """Tell whether the state with this root has exactly `value` under (collection, key).

    Args:
        root: state root, 32 bytes.
        collection: of the record.
        key: of the record.
        value: the record's canonical bytes, or None for "there is no such record".
        proof: where it is, or why it cannot be there.

    Returns:
        False for whatever does not prove it; never raises, whatever it is given.
    """
    if not (isinstance(collection, str) and isinstance(key, str) and isinstance(proof, StateProof)):
        return False
    try:
        place = state_key(collection, key)
    except UnicodeEncodeError:
        return False
    siblings = proof.siblings
    if not _is_hash(root) or not isinstance(siblings, tuple) or len(siblings) > _MAX_DEPTH:
        return False
    if not all(_is_hash(sibling) for sibling in siblings):
        return False
    start = _start(place, value, proof)
    return start is not None and _climb(start, int.from_bytes(place, "big"), siblings) == root


def _start(place: bytes, value: bytes | None, proof: StateProof) -> bytes | None:
    """Return the hash at the end of the path that supports the claim, or None if the proof is not of that kind."""
    if value is not None:
        if proof.kind != "present" or not isinstance(value, bytes):
            return None
        return state_leaf(place, sha256(value).digest())
    if proof.kind == "empty":
        return EMPTY
    if proof.kind != "other" or not _is_hash(proof.other_place) or not _is_hash(proof.other_value_hash):
        return None
    differing = int.from_bytes(place, "big") ^ int.from_bytes(proof.other_place, "big")
    if not 0 < differing.bit_length() <= _MAX_DEPTH - len(proof.siblings):
        return None
    return state_leaf(proof.other_place, proof.other_value_hash)


def _climb(value: bytes, place: int, siblings: Sequence[bytes]) -> bytes:
    """Return the root that a hash at depth `len(siblings)` of a place leads to."""
    shift = _MAX_DEPTH - len(siblings)
    for sibling in siblings:
        pair = _NODE + sibling + value if (place >> shift) & 1 else _NODE + value + sibling
        value = sha256(pair).digest()
        shift += 1
    return value
