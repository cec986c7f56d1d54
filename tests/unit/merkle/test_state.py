"""The state tree: golden roots, growth, the limit of memory, and refusals."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tallystick.errors import IntegrityError
from tallystick.merkle import EMPTY, StateTree, node_hash, prefix_range, state_key, state_leaf

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/merkle/state.json").read_text(encoding="utf-8"))


def _entry(number: int) -> tuple[bytes, bytes]:
    place = sha256(number.to_bytes(8, "big")).digest()
    return place, state_leaf(place, sha256(place).digest())


class _Disk:
    """Records where a store would keep them, and how often they were read."""

    def __init__(self) -> None:
        self.leaves: dict[bytes, bytes] = {}
        self.readings = 0

    def load(self, prefix: int, bits: int) -> bytes:
        self.readings += 1
        first, last = prefix_range(prefix, bits)
        return b"".join(place + self.leaves[place] for place in sorted(self.leaves) if first <= place <= last)


@pytest.mark.parametrize("record", VECTORS["records"])
def test_places_and_leaves_are_golden(record: dict[str, Any]) -> None:
    """A record's place and leaf are those computed by the definition alone."""
    place = state_key(record["collection"], record["key"])
    assert record["place"] == place.hex()
    assert record["leaf"] == state_leaf(place, sha256(record["value"].encode()).digest()).hex()


@pytest.mark.parametrize("case", VECTORS["roots"])
def test_roots_are_golden(case: dict[str, Any]) -> None:
    """Built at once or record by record, the root is the one computed by the definition alone."""
    records = VECTORS["records"][: case["size"]]
    entries = [(bytes.fromhex(record["place"]), bytes.fromhex(record["leaf"])) for record in records]
    grown = StateTree()
    for place, leaf in entries:
        grown.apply(grown.preview({place: leaf}))
    assert case["root"] == StateTree.build(entries).root.hex()
    assert case["root"] == grown.root.hex()
    assert case["size"] == len(grown)


def test_small_trees_have_the_shape_of_the_definition() -> None:
    """None is zeros, one is the leaf, two part at their first different bit."""
    low, high = bytes(32), b"\x80" + bytes(31)
    near = b"\x40" + bytes(31)
    a, b, c = (sha256(name).digest() for name in (b"a", b"b", b"c"))
    assert EMPTY == StateTree().root
    assert a == StateTree.build([(low, a)]).root
    assert node_hash(a, b) == StateTree.build([(high, b), (low, a)]).root
    assert node_hash(node_hash(a, c), EMPTY) == StateTree.build([(low, a), (near, c)]).root
    assert node_hash(node_hash(a, c), b) == StateTree.build([(low, a), (near, c), (high, b)]).root


def test_places_alike_in_all_but_the_last_bit_are_told_apart() -> None:
    """Two places that share 255 bits stand 255 levels down, with empty places beside them."""
    first, second = b"\xff" * 31 + b"\xfe", b"\xff" * 32
    a, b = sha256(b"a").digest(), sha256(b"b").digest()
    expected = node_hash(a, b)
    for _ in range(255):
        expected = node_hash(EMPTY, expected)
    assert expected == StateTree.build([(first, a), (second, b)]).root
    other = b"\xff" * 20 + bytes(12)
    tree = StateTree.build([(first, a), (second, b), (other, a)])
    tree.apply(tree.preview({other: None}))
    assert expected == tree.root


def test_a_preview_changes_nothing() -> None:
    """Root, size and leaves stay until the update is applied."""
    tree = StateTree.build(_entry(number) for number in range(50))
    before = tree.root
    place, leaf = _entry(50)
    update = tree.preview({place: leaf, _entry(0)[0]: None, _entry(1)[0]: None})
    assert (before, 50, None) == (tree.root, len(tree), tree.find_leaf(place))
    tree.apply(update)
    assert (update.root, 49, leaf) == (tree.root, len(tree), tree.find_leaf(place))
    assert tree.find_leaf(_entry(0)[0]) is None


def test_an_update_of_another_state_is_refused() -> None:
    """An update is applied to the state that it was computed from, or not at all."""
    tree = StateTree()
    first, second = tree.preview(dict([_entry(1)])), tree.preview(dict([_entry(2)]))
    tree.apply(first)
    with pytest.raises(ValueError, match="has changed"):
        tree.apply(second)
    assert _entry(1)[1] == tree.root


def test_no_change_is_no_change() -> None:
    """An empty set of changes, and removing what is not there, leave the root."""
    tree = StateTree.build(_entry(number) for number in range(20))
    root = tree.root
    assert root == tree.preview({}).root
    tree.apply(tree.preview({}))
    tree.apply(tree.preview({_entry(99)[0]: None, _entry(98)[0]: None}))
    tree.apply(tree.preview({_entry(3)[0]: _entry(3)[1]}))
    assert (root, 20) == (tree.root, len(tree))


def test_growing_keeps_the_root_at_every_step() -> None:
    """While the number of buckets doubles, again and again, the root is that of a tree built at once."""
    tree = StateTree()
    entries: dict[bytes, bytes] = {}
    for start in range(0, 1200, 40):
        batch = dict(_entry(number) for number in range(start, start + 40))
        entries |= batch
        tree.apply(tree.preview(batch))
        removed = dict.fromkeys(list(entries)[::13])
        for place in removed:
            del entries[place]
        tree.apply(tree.preview(removed))
        assert StateTree.build(entries.items()).root == tree.root
        assert all(entries.get(place) == tree.find_leaf(place) for place in [*batch, *removed])
    assert len(entries) == len(tree)


def test_many_changes_at_once_equal_a_built_tree() -> None:
    """A first block as large as a whole state, and removing all of it again, come out right."""
    entries = dict(_entry(number) for number in range(3000))
    tree = StateTree()
    tree.apply(tree.preview(entries))
    assert StateTree.build(entries.items()).root == tree.root
    for place, leaf in list(entries.items())[:100]:
        tree.apply(tree.preview({place: None}))
        tree.apply(tree.preview({place: leaf}))
    assert StateTree.build(entries.items()).root == tree.root
    tree.apply(tree.preview(dict.fromkeys(entries)))
    assert (EMPTY, 0) == (tree.root, len(tree))


def test_buckets_of_a_young_tree_follow_many_changes_at_once() -> None:
    """Behind thousands of records in one block a bucket holds few of them: the next change hashes no more than these."""
    tree = StateTree()
    for block in range(3):
        tree.apply(tree.preview(dict(map(_entry, range(block * 4_000, block * 4_000 + 4_000)))))
        update = tree.preview(dict([_entry(1_000_000 + block)]))
        assert all(len(entries) <= 24 * 64 for entries in update.buckets.values())
    assert StateTree.build(map(_entry, range(12_000))).root == tree.root


def test_a_limit_of_memory_changes_no_root() -> None:
    """With room for a fraction of its buckets, a tree reads back what it needs and computes the same roots."""
    disk = _Disk()
    disk.leaves = dict(_entry(number) for number in range(2000))
    limited = StateTree.build(disk.leaves.items(), loader=disk.load, max_cached_bytes=20_000)
    free = StateTree.build(disk.leaves.items())
    chance = random.Random(7)
    for turn in range(60):
        changes: dict[bytes, bytes | None] = dict(_entry(2000 + turn * 20 + number) for number in range(20))
        changes |= dict.fromkeys(chance.sample(sorted(disk.leaves), 15))
        update = limited.preview(changes)
        assert free.preview(changes).root == update.root
        limited.apply(update)
        free.apply(free.preview(changes))
        for place, leaf in changes.items():
            if leaf is None:
                del disk.leaves[place]
            else:
                disk.leaves[place] = leaf
    assert free.root == limited.root == StateTree.build(disk.leaves.items()).root
    assert disk.readings > 60
    assert all(leaf == limited.find_leaf(place) for place, leaf in list(disk.leaves.items())[:200])


def test_records_changed_on_disk_are_noticed() -> None:
    """What is read back must be what the tree was made of."""
    disk = _Disk()
    disk.leaves = dict(_entry(number) for number in range(500))
    tree = StateTree.build(disk.leaves.items(), loader=disk.load, max_cached_bytes=0)
    place = _entry(3)[0]
    disk.leaves[place] = _entry(4)[1]
    with pytest.raises(IntegrityError, match="on disk"):
        tree.preview({place: None})


def test_a_limit_without_a_loader_is_refused() -> None:
    """What is dropped from memory must be readable from somewhere."""
    with pytest.raises(ValueError, match="loader"):
        StateTree(max_cached_bytes=1)


@pytest.mark.parametrize("entries", [[(b"x" * 31, b"y" * 32)], [(b"x" * 32, b"y")], [_entry(1), _entry(2), _entry(1)]])
def test_entries_that_cannot_be_are_refused(entries: list[tuple[bytes, bytes]]) -> None:
    """Places and hashes are 32 bytes, and a place has one leaf."""
    with pytest.raises(ValueError, match=r"32 bytes|twice"):
        StateTree.build(entries)


@pytest.mark.parametrize("changes", [{b"x": None}, {bytes(32): b"y"}, {bytes(32): b"y", bytes(31) + b"1": b"z"}])
def test_changes_that_cannot_be_are_refused(changes: dict[bytes, bytes | None]) -> None:
    """Places and leaf hashes are 32 bytes."""
    with pytest.raises(ValueError, match="32 bytes"):
        StateTree().preview(changes)


def test_bounds_of_a_prefix() -> None:
    """The places with a prefix lie between the prefix followed by zeros and by ones."""
    assert (bytes(32), b"\xff" * 32) == prefix_range(0, 0)
    assert (b"\xa0" + bytes(31), b"\xbf" + b"\xff" * 31) == prefix_range(0b101, 3)
