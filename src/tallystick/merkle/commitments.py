"""Salted commitments: a root that binds secret values and lets nobody test a guess.

Leaf i of a commitment with a secret salt of 32 random bytes has the data

    HKDF-SHA256(ikm = salt, salt = none, info = b"tallystick/leaf" || u64be(i), 32 bytes) || SHA-256(chunk i)

and the root is the RFC 9162 root over these 64-byte leaves. Who has the salt can check every chunk. Who is shown one
chunk gets that leaf's salt alone, from which no other can be computed.

Used for files (chunks of 1 MiB; an empty file has one empty chunk) and for fields that only the parties may read
(chunk = canonical JSON of `[name, value]`, in the order of the names).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tallystick.codec import MalformedError, check_hash, encode_json, sha256
from tallystick.merkle.log import Frontier, inclusion_path, leaf_hash, node_hash, root_from_path

SALT_BYTES = 32
CHUNK_BYTES = 1 << 20

_INFO = b"tallystick/leaf"
_NO_SALT = bytes(32)


class LeafSalts:
    """The salts of all leaves of one commitment (HKDF, RFC 5869, its first step done once)."""

    __slots__ = ("_key",)

    def __init__(self, salt: bytes) -> None:
        """Prepare them.

        Args:
            salt: 32 secret random bytes.

        Raises:
            ValueError: it is not 32 bytes.
        """
        if len(salt) != SALT_BYTES:
            raise ValueError("a salt is 32 bytes")
        self._key = hmac.digest(_NO_SALT, salt, "sha256")

    def leaf(self, index: int) -> bytes:
        """Return the salt of one leaf, 32 bytes."""
        return hmac.digest(self._key, b"".join((_INFO, index.to_bytes(8, "big"), b"\x01")), "sha256")


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What shows that one chunk is in a commitment, and nothing about the others.

    `count` and `index` say where the chunk is; who depends on that also compares `count` with what is on record.

    Attributes:
        count: leaves of the commitment.
        index: of this leaf, from 0.
        leaf_salt: of this leaf, 32 bytes.
        path: RFC 9162 inclusion path, 32 bytes each.
    """

    count: int
    index: int
    leaf_salt: bytes
    path: tuple[bytes, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values, bytes in lower-case hex."""
        return {
            "count": self.count,
            "index": self.index,
            "leaf_salt": self.leaf_salt.hex(),
            "path": [step.hex() for step in self.path],
        }

    @classmethod
    def from_json(cls, value: object) -> Disclosure:
        """Return what `to_json` gave.

        Raises:
            MalformedError: a field is missing, unknown or not of its form.
        """
        if not isinstance(value, dict) or sorted(value) != ["count", "index", "leaf_salt", "path"]:
            raise MalformedError("not a disclosure")
        count, index, salt, path = value["count"], value["index"], value["leaf_salt"], value["path"]
        if type(count) is not int or type(index) is not int or not 0 <= index < count < 2**53:
            raise MalformedError("not a disclosure")
        if not isinstance(salt, str) or not isinstance(path, list) or len(path) > 64:
            raise MalformedError("not a disclosure")
        if not all(isinstance(step, str) for step in path):
            raise MalformedError("not a disclosure")
        steps = tuple(bytes.fromhex(check_hash(step)) for step in path)
        return cls(count, index, bytes.fromhex(check_hash(salt)), steps)


def leaf_salt(salt: bytes, index: int) -> bytes:
    """Return the salt of one leaf; for many use `LeafSalts`."""
    return LeafSalts(salt).leaf(index)


def commitment_leaf(salt: bytes, chunk_hash: bytes) -> bytes:
    """Return the hash of a leaf from its own salt and SHA-256 of its chunk."""
    return leaf_hash(salt + chunk_hash)


def leaf(salt: bytes, index: int, chunk_hash: bytes) -> bytes:
    """Return the hash of leaf `index` of the commitment with this secret salt."""
    return commitment_leaf(leaf_salt(salt, index), chunk_hash)


def commit_hashes(salt: bytes, chunk_hashes: Iterable[bytes]) -> bytes:
    """Return the root over chunks that are given by their SHA-256, in order; keeps only the tree's edge in memory.

    Raises:
        ValueError: there is no chunk.
    """
    salts = LeafSalts(salt)
    frontier = Frontier()
    for index, chunk_hash in enumerate(chunk_hashes):
        frontier.append(commitment_leaf(salts.leaf(index), chunk_hash))
    if not frontier.size:
        raise ValueError("a commitment has at least one chunk")
    return frontier.root()


def disclose(salt: bytes, chunk_hashes: Sequence[bytes], index: int) -> Disclosure:
    """Return what shows chunk `index` alone.

    Raises:
        ValueError: there is no such chunk.
    """
    salts = LeafSalts(salt)
    rows = [[commitment_leaf(salts.leaf(at), chunk_hash) for at, chunk_hash in enumerate(chunk_hashes)]]
    while len(rows[-1]) > 1:
        row = rows[-1]
        rows.append([node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])
    path = inclusion_path(index, len(chunk_hashes), lambda level, at: rows[level][at])
    return Disclosure(len(chunk_hashes), index, salts.leaf(index), tuple(path))


def verify_disclosure(root: bytes, chunk_hash: bytes, disclosure: Disclosure) -> bool:
    """Tell whether a chunk with this SHA-256 is where the disclosure says, in the commitment with this root."""
    found = root_from_path(
        commitment_leaf(disclosure.leaf_salt, chunk_hash), disclosure.index, disclosure.count, disclosure.path
    )
    return len(disclosure.leaf_salt) == SALT_BYTES and len(chunk_hash) == 32 and found == root


def field_hash(name: str, value: Any) -> bytes:
    """Return the chunk hash of one field: SHA-256 over the canonical JSON of `[name, value]`."""
    return sha256(encode_json([name, value]))


def commit_fields(salt: bytes, fields: Mapping[str, Any]) -> str:
    """Return the root over named values that only the parties may read, hex.

    Args:
        salt: 32 secret random bytes, of this commitment alone.
        fields: at least one; names ASCII, values JSON.

    Raises:
        ValueError: no field, or one that is not JSON (`MalformedError`).
    """
    return commit_hashes(salt, [field_hash(name, fields[name]) for name in sorted(fields)]).hex()


def verify_fields(root: str, salt: bytes, fields: Mapping[str, Any]) -> bool:
    """Tell whether these are all the fields behind a root, with exactly these values; never raises."""
    try:
        return commit_fields(salt, fields) == root
    except ValueError:
        return False


def disclose_field(salt: bytes, fields: Mapping[str, Any], name: str) -> Disclosure:
    """Return what shows one field and nothing about the others but their number.

    Raises:
        ValueError: there is no such field.
    """
    names = sorted(fields)
    return disclose(salt, [field_hash(each, fields[each]) for each in names], names.index(name))


def verify_field(root: str, name: str, value: Any, disclosure: Disclosure) -> bool:
    """Tell whether a field has this value in the commitment with this root; never raises."""
    try:
        return verify_disclosure(bytes.fromhex(root), field_hash(name, value), disclosure)
    except ValueError:
        return False
