"""Properties of the history's tree and its tiles, for any leaves and sizes."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from tallystick.merkle import (
    Frontier,
    TileBuilder,
    TileReader,
    consistency_path,
    decode_entries,
    encode_entries,
    inclusion_path,
    leaf_hash,
    path_in,
    root_from_hashes,
    root_from_path,
    tiles_for,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

leaves_of = st.lists(st.binary(max_size=40), min_size=1, max_size=70)


def _by_definition(leaves: list[bytes]) -> bytes:
    """Return MTH exactly as RFC 9162 section 2.1.1 words it."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + _by_definition(leaves[:split]) + _by_definition(leaves[split:])).digest()


def _flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position // 8 % len(data)] ^= 1 << position % 8
    return bytes(changed)


@given(leaves_of)
def test_every_way_to_a_root_agrees(leaves: list[bytes]) -> None:
    """Definition, linear computation and frontier give one root."""
    expected = _by_definition(leaves)
    frontier = Frontier()
    frontier.extend(map(leaf_hash, leaves))
    assert expected == tree_root(leaves) == root_from_hashes([leaf_hash(leaf) for leaf in leaves]) == frontier.root()


@given(leaves_of, st.data())
def test_inclusion_is_proved_of_its_leaf_alone(leaves: list[bytes], data: st.DataObject) -> None:
    """A path verifies for its leaf, index and size; a flipped bit anywhere or another index fails."""
    size = len(leaves)
    index = data.draw(st.integers(0, size - 1))
    root = tree_root(leaves)
    path = inclusion_path(index, size, lambda level, number: tree_root(leaves[number << level : (number + 1) << level]))
    leaf = leaf_hash(leaves[index])
    assert path == path_in(leaves, index)
    assert root == root_from_path(leaf, index, size, path)
    assert verify_inclusion(leaf, index, size, path, root)
    bit = data.draw(st.integers(0, 255))
    assert not verify_inclusion(_flipped(leaf, bit), index, size, path, root)
    assert not verify_inclusion(leaf, index, size, path, _flipped(root, bit))
    for step in range(len(path)):
        spoilt = [*path[:step], _flipped(path[step], bit), *path[step + 1 :]]
        assert not verify_inclusion(leaf, index, size, spoilt, root)
        assert not verify_inclusion(leaf, index, size, path[:step] + path[step + 1 :], root)
    for other in range(size):
        if leaves[other] != leaves[index]:
            assert not verify_inclusion(leaf, other, size, path, root)
            assert not verify_inclusion(leaf_hash(leaves[other]), index, size, path, root)


@given(leaves_of, st.data())
def test_consistency_is_proved_of_its_sizes_alone(leaves: list[bytes], data: st.DataObject) -> None:
    """A path verifies between the two trees it is of; a flipped bit anywhere or another size fails."""
    second = len(leaves)
    first = data.draw(st.integers(1, second))
    old, new = tree_root(leaves[:first]), tree_root(leaves)
    path = consistency_path(
        first, second, lambda level, number: tree_root(leaves[number << level : (number + 1) << level])
    )
    assert verify_consistency(first, old, second, new, path)
    bit = data.draw(st.integers(0, 255))
    assert not verify_consistency(first, _flipped(old, bit), second, new, path)
    assert not verify_consistency(first, old, second, _flipped(new, bit), path)
    for step in range(len(path)):
        spoilt = [*path[:step], _flipped(path[step], bit), *path[step + 1 :]]
        assert not verify_consistency(first, old, second, new, spoilt)
        assert not verify_consistency(first, old, second, new, path[:step] + path[step + 1 :])
    for other in range(1, second):
        root = tree_root(leaves[:other])
        if other != first:
            assert not verify_consistency(other, old, second, new, path)
            assert not verify_consistency(first, root, second, new, path)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_are_what_went_in(entries: list[bytes]) -> None:
    """Decoding gives the encoded entries."""
    assert entries == decode_entries(encode_entries(entries))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.data())
def test_tiles_carry_the_tree(steps: list[int], data: st.DataObject) -> None:
    """However a log grows, its files prove inclusion and consistency, and a restart between goes on the same."""
    builder = TileBuilder()
    files: dict[str, bytes] = {}
    hashes: list[bytes] = []
    for step in steps:
        before = len(hashes)
        for number in range(before, before + step):
            leaf = number.to_bytes(4, "big")
            hashes.append(leaf_hash(leaf))
            builder.append(leaf, hashes[-1])
        flushed = builder.flush()
        files.update(flushed.files)
        size = len(hashes)
        assert {tile.path for tile in tiles_for(before, size)} <= set(files)
        root = root_from_hashes(hashes)
        assert root == builder.frontier().root()
        reader = TileReader(files.get, size)
        index = data.draw(st.integers(0, size - 1))
        assert verify_inclusion(hashes[index], index, size, inclusion_path(index, size, reader.node), root)
        older = data.draw(st.integers(0, size))
        path = consistency_path(older, size, reader.node)
        assert verify_consistency(older, root_from_hashes(hashes[:older]), size, root, path)
        if data.draw(st.booleans()):
            builder = TileBuilder.resume(size, files.get)
