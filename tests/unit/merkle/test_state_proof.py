"""Proofs of presence and absence: their three kinds, their JSON, and forgeries."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError
from tallystick.merkle import EMPTY, StateProof, StateTree, state_key, state_leaf, verify_state_proof

VALUES = {f"key-{number}": b"value-%d" % number for number in range(100)}
PLACES = {state_key("c", key): key for key in VALUES}


def _value_hash_of(place: bytes) -> bytes:
    return sha256(VALUES[PLACES[place]]).digest()


def _tree(keys: list[str]) -> StateTree:
    places = [state_key("c", key) for key in keys]
    return StateTree.build((place, state_leaf(place, _value_hash_of(place))) for place in places)


TREE = _tree(list(VALUES))


def _absent(kind: str, tree: StateTree = TREE) -> tuple[str, StateProof]:
    for number in range(10_000):
        proof = tree.proof(state_key("c", f"absent-{number}"), _value_hash_of)
        if proof.kind == kind:
            return f"absent-{number}", proof
    raise AssertionError("no such place found")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
def test_every_record_is_proved_present(size: int) -> None:
    """Each record has a proof for its value, which proves no other value, key, collection or absence."""
    keys = list(VALUES)[:size]
    tree = _tree(keys)
    for key in keys:
        proof = tree.proof(state_key("c", key), _value_hash_of)
        assert "present" == proof.kind
        assert verify_state_proof(tree.root, "c", key, VALUES[key], proof)
        assert not verify_state_proof(tree.root, "c", key, VALUES[key] + b"!", proof)
        assert not verify_state_proof(tree.root, "c", key, None, proof)
        assert not verify_state_proof(tree.root, "d", key, VALUES[key], proof)
        assert not verify_state_proof(tree.root, "c", f"{key}!", VALUES[key], proof)
        assert not verify_state_proof(EMPTY, "c", key, VALUES[key], proof)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 5, 100])
def test_every_absent_record_is_proved_absent(size: int) -> None:
    """A record that is not there has a proof of that, which proves no value."""
    tree = _tree(list(VALUES)[:size])
    for number in range(200):
        key = f"absent-{number}"
        proof = tree.proof(state_key("c", key), _value_hash_of)
        assert verify_state_proof(tree.root, "c", key, None, proof)
        assert not verify_state_proof(tree.root, "c", key, b"", proof)


def test_the_empty_state_has_nothing() -> None:
    """In the empty state every record is absent, by a proof without siblings."""
    proof = StateTree().proof(state_key("c", "k"), _value_hash_of)
    assert StateProof("empty", ()) == proof
    assert verify_state_proof(EMPTY, "c", "k", None, proof)


@pytest.mark.parametrize("kind", ["empty", "other"])
def test_absence_is_proved_for_its_own_key_only(kind: str) -> None:
    """A proof that one record is absent does not prove it of one that is there."""
    key, proof = _absent(kind)
    assert verify_state_proof(TREE.root, "c", key, None, proof)
    assert not any(verify_state_proof(TREE.root, "c", present, None, proof) for present in VALUES)


def test_the_record_itself_does_not_pass_as_another() -> None:
    """A record cannot be denied by showing its own leaf as that of another."""
    key = "key-7"
    place = state_key("c", key)
    present = TREE.proof(place, _value_hash_of)
    forged = StateProof("other", present.siblings, place, _value_hash_of(place))
    assert not verify_state_proof(TREE.root, "c", key, None, forged)


def test_an_inner_node_does_not_pass_as_a_leaf_or_as_nothing() -> None:
    """Cutting the path short proves nothing of what is below."""
    for key, value in VALUES.items():
        proof = TREE.proof(state_key("c", key), _value_hash_of)
        for length in range(len(proof.siblings)):
            for kind in ("present", "empty", "other"):
                forged = replace(proof, kind=kind, siblings=proof.siblings[-length:] if length else ())
                assert not verify_state_proof(TREE.root, "c", key, None, forged)
                assert not verify_state_proof(TREE.root, "c", key, value, forged)


def test_proofs_hold_while_buckets_are_being_split() -> None:
    """In the middle of growing, presence and absence are proved as ever."""
    tree = StateTree()
    for key in VALUES:
        place = state_key("c", key)
        tree.apply(tree.preview({place: state_leaf(place, _value_hash_of(place))}))
        assert verify_state_proof(tree.root, "c", key, VALUES[key], tree.proof(place, _value_hash_of))
        absent = state_key("c", f"not-{key}")
        assert verify_state_proof(tree.root, "c", f"not-{key}", None, tree.proof(absent, _value_hash_of))


def test_a_wrong_value_hash_is_noticed_when_proving() -> None:
    """A proof is not made with a value that the state does not hold."""
    key, _ = _absent("other")
    with pytest.raises(IntegrityError, match="state root"):
        TREE.proof(state_key("c", key), lambda place: bytes(32))


@pytest.mark.parametrize("proof", [TREE.proof(state_key("c", "key-1"), _value_hash_of)] + [
    _absent(kind)[1] for kind in ("empty", "other")
])  # fmt: skip
def test_json_is_the_proof_again(proof: StateProof) -> None:
    """A proof survives its JSON, and every other form of that JSON is refused."""
    value = proof.to_json()
    assert proof == StateProof.from_json(value)
    siblings: list[str] = value["siblings"]
    spoilt: list[Any] = [
        None,
        [],
        {},
        {**value, "extra": 1},
        {**value, "kind": "Present"},
        {**value, "kind": "present" if proof.kind == "other" else "other"},
        {**value, "kind": None},
        {**value, "siblings": None},
        {**value, "siblings": tuple(siblings)},
        {**value, "siblings": siblings * 300},
        {**value, "siblings": [siblings[0].upper() + "0", *siblings[1:]]},
        {**value, "siblings": ["A" * 64, *siblings[1:]]},
        {**value, "siblings": [f" {siblings[0][1:]}", *siblings[1:]]},
        {**value, "siblings": [1, *siblings[1:]]},
        {key: value[key] for key in value if key != "siblings"},
    ]
    if proof.kind == "other":
        spoilt += [{**value, "place": value["place"].upper() + "0"}, {**value, "value_hash": None}]
    for bad in spoilt:
        with pytest.raises(MalformedError):
            StateProof.from_json(bad)


@pytest.mark.parametrize("bad", [None, 1, "", b"", b"x" * 31, "\ud800", [], {}, object(), ("x",), (b"",) * 2, ()])
def test_verifying_never_raises(bad: Any) -> None:
    """Whatever stands in place of an argument or a field, the verdict is no and nothing is raised."""
    key, proof = _absent("other")
    good: list[Any] = [TREE.root, "c", key, None, proof]
    assert verify_state_proof(*good)
    for position in range(5):
        arguments = list(good)
        arguments[position] = bad
        assert verify_state_proof(*arguments) == (arguments == good)
    for field in ("kind", "siblings", "other_place", "other_value_hash"):
        assert not verify_state_proof(TREE.root, "c", key, None, replace(proof, **{field: bad}))
    deep = replace(proof, siblings=proof.siblings * 100)
    assert not verify_state_proof(TREE.root, "c", key, None, deep)
