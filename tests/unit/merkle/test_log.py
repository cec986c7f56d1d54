"""The history's tree against published vectors, and its verifiers against nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    path_in,
    root_from_hashes,
    root_from_path,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/merkle/eight_leaves.json").read_text(encoding="utf-8"))
LEAVES = [bytes.fromhex(leaf) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]


def _hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def _node(level: int, index: int) -> bytes:
    leaves = LEAVES[index << level : (index + 1) << level]
    assert len(leaves) == 1 << level
    return tree_root(leaves)


def test_leaf_hashes_are_the_published_ones() -> None:
    """Each of the eight leaves has the hash that other implementations give it."""
    assert _hashes(VECTORS["leaf_hashes"]) == [leaf_hash(leaf) for leaf in LEAVES]


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size: int) -> None:
    """Every way to a root gives the published one, for each size from none to eight."""
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf_hash(leaf))
    assert ROOTS[size] == tree_root(LEAVES[:size])
    assert ROOTS[size] == root_from_hashes([leaf_hash(leaf) for leaf in LEAVES[:size]])
    assert ROOTS[size] == frontier.root()
    assert size == frontier.size


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_inclusion_paths_are_the_published_ones(case: dict[str, Any]) -> None:
    """Both ways to an inclusion path give the published one, and it verifies."""
    index, size, path = case["index"], case["size"], _hashes(case["path"])
    assert path == inclusion_path(index, size, _node)
    assert path == path_in(LEAVES[:size], index)
    assert verify_inclusion(leaf_hash(LEAVES[index]), index, size, path, ROOTS[size])


@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_consistency_paths_are_the_published_ones(case: dict[str, Any]) -> None:
    """The consistency path is the published one, and it verifies."""
    first, second, path = case["first"], case["second"], _hashes(case["path"])
    assert path == consistency_path(first, second, _node)
    assert verify_consistency(first, ROOTS[first], second, ROOTS[second], path)


def test_rfc_9162_example_paths() -> None:
    """The seven-leaf example of RFC 9162 section 2.1.5 has the paths that its text names."""
    leaves = [bytes([number]) for number in range(7)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    a, b, c, d, e, f, j = hashes
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, last = node_hash(g, h), node_hash(i, j)

    def node(level: int, index: int) -> bytes:
        return root_from_hashes(hashes[index << level : (index + 1) << level])

    assert [b, h, last] == inclusion_path(0, 7, node)
    assert [c, g, last] == inclusion_path(3, 7, node)
    assert [f, j, k] == inclusion_path(4, 7, node)
    assert [i, k] == inclusion_path(6, 7, node)
    assert [c, d, g, last] == consistency_path(3, 7, node)
    assert [last] == consistency_path(4, 7, node)
    assert [i, j, k] == consistency_path(6, 7, node)


def test_the_empty_tree_begins_every_tree() -> None:
    """Consistency from size 0 holds with an empty path, and only from the empty root."""
    assert verify_consistency(0, EMPTY_ROOT, 8, ROOTS[8], [])
    assert verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    assert not verify_consistency(0, ROOTS[1], 8, ROOTS[8], [])
    assert not verify_consistency(0, EMPTY_ROOT, 0, ROOTS[8], [])
    assert not verify_consistency(0, EMPTY_ROOT, 8, ROOTS[8], [ROOTS[1]])


HOSTILE: list[Any] = [None, -1, 2**64, 10**400, 1.0, True, "", b"", "00" * 32, b"x" * 31, [], [b"x"], {}, object()]


@pytest.mark.parametrize("bad", HOSTILE, ids=range(len(HOSTILE)))
def test_verifiers_never_raise(bad: Any) -> None:
    """Whatever stands in place of an argument, the verdict is no and nothing is raised."""
    leaf = leaf_hash(LEAVES[1])
    path = path_in(LEAVES, 1)
    proof = consistency_path(3, 8, _node)
    good_inclusion = (leaf, 1, 8, path, ROOTS[8])
    good_consistency = (3, ROOTS[3], 8, ROOTS[8], proof)
    assert verify_inclusion(*good_inclusion)
    assert verify_consistency(*good_consistency)
    for position in range(5):
        inclusion: list[Any] = list(good_inclusion)
        inclusion[position] = bad
        assert not verify_inclusion(*inclusion)
        consistency: list[Any] = list(good_consistency)
        consistency[position] = bad
        assert not verify_consistency(*consistency)
    assert root_from_path(leaf, 1, 8, [*path, bad]) is None


def test_a_path_has_one_length() -> None:
    """A path that is cut short or continued leads to no root."""
    path = path_in(LEAVES, 6)
    leaf = leaf_hash(LEAVES[6])
    assert root_from_path(leaf, 6, 8, path[:-1]) is None
    assert root_from_path(leaf, 6, 8, [*path, path[0]]) is None
    assert root_from_path(leaf, 6, 8, path * 30) is None
    assert root_from_path(leaf, 8, 8, path) is None


def test_a_node_is_not_a_leaf() -> None:
    """The two children of a node do not pass as the data of a leaf."""
    children = leaf_hash(LEAVES[0]) + leaf_hash(LEAVES[1])
    assert node_hash(children[:32], children[32:]) != leaf_hash(children)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (8, 8), (-1, 8)])
def test_no_path_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    """Asking for the path of a leaf outside the tree is a mistake that is told."""
    with pytest.raises(ValueError, match="no such leaf"):
        inclusion_path(index, size, _node)
    with pytest.raises(ValueError, match="no such leaf"):
        path_in(LEAVES[:size], index)


@pytest.mark.parametrize(("first", "second"), [(2, 1), (-1, 3)])
def test_no_consistency_of_sizes_in_the_wrong_order(first: int, second: int) -> None:
    """A tree does not begin with a larger one."""
    with pytest.raises(ValueError, match="wrong order"):
        consistency_path(first, second, _node)


def test_a_frontier_is_kept_and_taken_up_again() -> None:
    """Size and hashes are all there is to a frontier; a copy goes its own way."""
    frontier = Frontier()
    frontier.extend([leaf_hash(leaf) for leaf in LEAVES[:5]])
    again = Frontier.from_hashes(frontier.size, frontier.hashes)
    copy = frontier.copy()
    copy.extend([leaf_hash(leaf) for leaf in LEAVES[5:]])
    assert frontier == again
    assert ROOTS[5] == again.root()
    assert ROOTS[8] == copy.root()
    assert [tree_root(LEAVES[:4]), leaf_hash(LEAVES[4])] == frontier.hashes


@pytest.mark.parametrize(("size", "hashes"), [(3, [bytes(32)]), (1, [bytes(31)]), (-1, []), (0, [bytes(32)])])
def test_a_frontier_of_wrong_shape_is_refused(size: int, hashes: list[bytes]) -> None:
    """The hashes must be as many as the size has bits set, and 32 bytes each."""
    with pytest.raises(ValueError, match="do not fit"):
        Frontier.from_hashes(size, hashes)
