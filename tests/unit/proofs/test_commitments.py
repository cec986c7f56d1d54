"""Salted commitments over chunks and over fields."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick.codec import MalformedError, encode_json
from tallystick.merkle import tree_root
from tallystick.proofs import commitments as room

SALT = bytes(range(32))
OTHER = bytes(32)
FIELDS = {"price": 100, "purpose": "research", "names": ["a.csv", "b.csv"]}


def chunk_hashes(count: int) -> list[bytes]:
    """Return hashes of chunks."""
    return [hashlib.sha256(b"chunk %d" % number).digest() for number in range(count)]


@pytest.mark.parametrize("index", [0, 1, 255, 2**40])
def test_leaf_salts_are_hkdf(index: int) -> None:
    """A leaf's salt is RFC 5869's, computed by an independent implementation."""
    info = b"tallystick/leaf" + index.to_bytes(8, "big")
    expected = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(SALT)

    assert expected == room.leaf_salt(SALT, index)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
def test_each_chunk_can_be_shown_alone(count: int) -> None:
    """The root is RFC 9162's over salted leaves; each disclosure holds for its chunk and for nothing else."""
    hashes = chunk_hashes(count)
    leaves = [room.leaf_salt(SALT, index) + each for index, each in enumerate(hashes)]
    root = room.commit_hashes(SALT, iter(hashes))

    assert tree_root(leaves) == root
    for index, each in enumerate(hashes):
        shown = room.Disclosure.from_json(room.disclose(SALT, hashes, index).to_json())
        assert room.verify_disclosure(root, each, shown)
        assert not room.verify_disclosure(root, bytes(32), shown)
        assert not room.verify_disclosure(OTHER, each, shown)
        assert not room.verify_disclosure(root, each, replace(shown, leaf_salt=bytes(32)))
        assert not room.verify_disclosure(root, each, replace(shown, index=shown.index + 1))
        assert not room.verify_disclosure(root, each, replace(shown, path=(*shown.path, bytes(32))))


def test_another_salt_gives_another_root() -> None:
    """Nobody can test a guess without the salt; a salt has 32 bytes and a commitment a chunk."""
    assert room.commit_hashes(SALT, chunk_hashes(3)) != room.commit_hashes(OTHER, chunk_hashes(3))
    with pytest.raises(ValueError, match="32 bytes"):
        room.commit_hashes(b"short", chunk_hashes(1))
    with pytest.raises(ValueError, match="at least one"):
        room.commit_hashes(SALT, [])
    with pytest.raises(ValueError, match="no such leaf"):
        room.disclose(SALT, chunk_hashes(2), 2)


def test_fields_commit_to_names_and_values() -> None:
    """The order in which fields are given does not matter; every name and value does."""
    root = room.commit_fields(SALT, FIELDS)

    assert root == room.commit_fields(SALT, dict(reversed(FIELDS.items())))
    assert room.verify_fields(root, SALT, FIELDS)
    for wrong in ({**FIELDS, "price": 101}, {**FIELDS, "x": 1}, {"price": 100}, {}, {**FIELDS, "price": 1.5}):
        assert not room.verify_fields(root, SALT, wrong)
    assert not room.verify_fields(root, OTHER, FIELDS)
    assert not room.verify_fields(root, b"", FIELDS)
    assert hashlib.sha256(encode_json(["price", 100])).digest() == room.field_hash("price", 100)


def test_one_field_can_be_shown_alone() -> None:
    """One field is shown with its leaf's salt, which opens no other."""
    root = room.commit_fields(SALT, FIELDS)
    shown = room.disclose_field(SALT, FIELDS, "purpose")

    assert room.verify_field(root, "purpose", "research", shown)
    assert not room.verify_field(root, "purpose", "sale", shown)
    assert not room.verify_field(root, "price", "research", shown)
    assert not room.verify_field("zz", "purpose", "research", shown)
    with pytest.raises(ValueError, match="not in list"):
        room.disclose_field(SALT, FIELDS, "absent")


@pytest.mark.parametrize(
    "changed",
    [
        {"index": 3}, {"index": -1}, {"index": True}, {"count": "3"}, {"leaf_salt": "AB" * 32}, {"leaf_salt": 1},
        {"path": "x"}, {"path": [1]}, {"path": ["00"]}, {"path": ["00" * 32] * 65}, {"extra": 1},
    ],
)  # fmt: skip
def test_disclosures_not_of_their_form_are_refused(changed: dict[str, object]) -> None:
    """Other types, sizes and fields are refused when a disclosure is read."""
    good = room.disclose(SALT, chunk_hashes(3), 1).to_json()
    with pytest.raises(MalformedError):
        room.Disclosure.from_json({**good, **changed})
    with pytest.raises(MalformedError):
        room.Disclosure.from_json([])
