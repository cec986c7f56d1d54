"""Properties of the state tree, for any records in any order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tallystick.merkle import StateProof, StateTree, prefix_range, state_key, state_leaf, verify_state_proof

# Few distinct bytes at the front and the rest alike, so that places share long prefixes as no honest hashes would.
crowded = st.builds(
    lambda front, last: bytes(front) + bytes(30 - len(front)) + last,
    st.lists(st.sampled_from([0, 1, 0x80, 0xFF]), max_size=12),
    st.binary(min_size=2, max_size=2),
)
places = st.one_of(crowded, st.binary(min_size=32, max_size=32))
leaves = st.integers(0, 2**64).map(lambda number: sha256(number.to_bytes(9, "big")).digest())
contents = st.dictionaries(places, leaves, max_size=60)
names = st.text(max_size=6)


def _by_definition(entries: Mapping[bytes, bytes], depth: int = 0) -> bytes:
    """Return the state root exactly as the design words it."""
    if not entries:
        return bytes(32)
    if len(entries) == 1:
        return next(iter(entries.values()))
    halves: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for place, leaf in entries.items():
        halves[place[depth >> 3] >> (7 - (depth & 7)) & 1][place] = leaf
    return sha256(b"\x01" + _by_definition(halves[0], depth + 1) + _by_definition(halves[1], depth + 1)).digest()


@given(contents, st.randoms(use_true_random=False))
def test_the_root_is_the_definitions_in_any_order(entries: dict[bytes, bytes], chance: Random) -> None:
    """Built at once, one by one, or in blocks of any order, the root is that of the definition."""
    expected = _by_definition(entries)
    assert expected == StateTree.build(entries.items()).root
    shuffled = list(entries.items())
    chance.shuffle(shuffled)
    assert expected == StateTree.build(shuffled).root
    tree = StateTree()
    while shuffled:
        batch = dict(shuffled[:7])
        del shuffled[:7]
        tree.apply(tree.preview(batch))
    assert (expected, len(entries)) == (tree.root, len(tree))


@given(contents, st.lists(st.dictionaries(places, st.none() | leaves, max_size=12), max_size=8), st.data())
def test_changes_lead_to_the_root_of_what_is_left(
    start: dict[bytes, bytes], blocks: list[dict[bytes, bytes | None]], data: st.DataObject
) -> None:
    """Adding, changing, removing and adding again, with or without a limit of memory, follow the definition."""
    entries = dict(start)

    def load(prefix: int, bits: int) -> bytes:
        first, last = prefix_range(prefix, bits)
        return b"".join(place + entries[place] for place in sorted(entries) if first <= place <= last)

    limit = data.draw(st.sampled_from([0, 200, 2000]))
    trees = [StateTree.build(start.items()), StateTree.build(start.items(), loader=load, max_cached_bytes=limit)]
    for block in blocks:
        removed = data.draw(st.lists(st.sampled_from(sorted(entries)), max_size=10)) if entries else []
        changes = {**block, **dict.fromkeys(removed)}
        updates = [tree.preview(changes) for tree in trees]
        for place, leaf in changes.items():
            if leaf is None:
                entries.pop(place, None)
            else:
                entries[place] = leaf
        expected = _by_definition(entries)
        for tree, update in zip(trees, updates, strict=True):
            assert expected == update.root
            tree.apply(update)
            assert (expected, len(entries)) == (tree.root, len(tree))
            assert all(entries.get(place) == tree.find_leaf(place) for place in changes)
    for tree in trees:
        tree.apply(tree.preview(dict.fromkeys(entries)))
        tree.apply(tree.preview(entries))
        assert _by_definition(entries) == tree.root


@given(st.dictionaries(st.tuples(names, names), st.binary(max_size=20), max_size=40), names, names, st.data())
def test_proofs_prove_what_is_so_and_nothing_else(
    records: dict[tuple[str, str], bytes], collection: str, key: str, data: st.DataObject
) -> None:
    """Every record, there or not, has a proof of just that; any flipped bit of it fails."""
    by_place = {state_key(*name): value for name, value in records.items()}
    tree = StateTree.build((place, state_leaf(place, sha256(value).digest())) for place, value in by_place.items())
    name = data.draw(st.sampled_from([*records, (collection, key)]))
    value = records.get(name)
    proof = tree.proof(state_key(*name), lambda place: sha256(by_place[place]).digest())
    assert proof == StateProof.from_json(proof.to_json())
    assert verify_state_proof(tree.root, *name, value, proof)
    assert not verify_state_proof(tree.root, *name, b"something else, longer than any", proof)
    assert not verify_state_proof(tree.root, *name, b"" if value is None else None, proof)
    bit = data.draw(st.integers(0, 255))

    def flipped(part: bytes) -> bytes:
        return (int.from_bytes(part, "big") ^ (1 << bit)).to_bytes(32, "big")

    assert not verify_state_proof(flipped(tree.root), *name, value, proof)
    for index, sibling in enumerate(proof.siblings):
        spoilt = (*proof.siblings[:index], flipped(sibling), *proof.siblings[index + 1 :])
        assert not verify_state_proof(tree.root, *name, value, replace(proof, siblings=spoilt))
    if proof.kind == "other":
        assert not verify_state_proof(tree.root, *name, value, replace(proof, other_place=flipped(proof.other_place)))
        spoilt_hash = flipped(proof.other_value_hash)
        assert not verify_state_proof(tree.root, *name, value, replace(proof, other_value_hash=spoilt_hash))
