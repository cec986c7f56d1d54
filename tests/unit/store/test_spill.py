"""What of the state tree does not fit into memory: nothing of it is lost, and no root depends on it."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path

import pytest

from tallystick.merkle import StateTree
from tallystick.store import spill
from tallystick.store.spill import EntryFile, SpooledParts


def _entry(number: int) -> tuple[bytes, bytes]:
    return sha256(b"place %d" % number).digest(), sha256(b"leaf %d" % number).digest()


def _entries(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(64 * count)


def test_buckets_are_given_back_as_they_were_saved(tmp_path: Path) -> None:
    """A bucket that grew, shrank or was forgotten is the last that was saved of it."""
    file = EntryFile(tmp_path)
    for turn, count in enumerate((3, 9, 40, 8, 33, 1)):
        for prefix in range(16):
            assert file.save(prefix, 4, _entries(count, 100 * turn + prefix))
        assert all(_entries(count, 100 * turn + prefix) == file.load(prefix, 4) for prefix in range(16))
    assert file.save(3, 4, b"")
    assert b"" == file.load(3, 4)
    assert b"" == file.load(3, 9)


def test_room_is_used_again(tmp_path: Path) -> None:
    """Saving the same buckets again and again does not make the file grow without end."""
    file = EntryFile(tmp_path)
    for turn in range(50):
        for prefix in range(8):
            file.save(prefix, 3, _entries(8 << (turn + prefix) % 3, turn))
    assert file._end * 512 <= 8 * 64 * (8 + 16 + 32)


def test_nothing_of_it_is_left_in_the_folder(tmp_path: Path) -> None:
    """The files have no name, so that a crash leaves none behind."""
    file = EntryFile(tmp_path)
    file.save(0, 1, _entries(5))
    parts = SpooledParts(tmp_path)
    parts.add(*_entry(1))
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("limit", [0, 3_000, 40_000])
def test_a_tree_that_does_not_fit_has_the_same_roots(tmp_path: Path, limit: int) -> None:
    """Built and changed with room for a fraction of it, while it grows many times over, it equals one in memory."""
    file = EntryFile(tmp_path)
    start = dict(_entry(number) for number in range(300))
    tree = StateTree.build(
        start.items(), loader=file.load, saver=file.save, max_cached_bytes=limit, parts=SpooledParts(tmp_path)
    )
    free = StateTree.build(start.items())
    known = list(start)
    chance = random.Random(limit)
    for turn in range(80):
        changes: dict[bytes, bytes | None] = dict(_entry(1_000 + turn * 50 + number) for number in range(50))
        known += changes
        changes |= {place: chance.choice([None, sha256(place).digest()]) for place in chance.sample(known, 25)}
        assert all(free.find_leaf(place) == tree.find_leaf(place) for place in chance.sample(known, 5))
        update = tree.preview(changes)
        assert free.preview(changes).root == update.root
        tree.apply(update)
        free.apply(free.preview(changes))
    assert all(free.find_leaf(place) == tree.find_leaf(place) for place in known)
    assert free.root == tree.root
    assert file._end


def test_a_disk_that_refuses_costs_memory_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nothing can be written, what changed stays in memory and the roots stay right."""

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    file = EntryFile(tmp_path)
    tree = StateTree(loader=file.load, saver=file.save, max_cached_bytes=2_000)
    free = StateTree()
    for turn in range(40):
        if turn == 10:
            monkeypatch.setattr(spill.os, "pwrite", refuse)
        if turn == 30:
            monkeypatch.undo()
        changes = dict(_entry(turn * 30 + number) for number in range(30))
        tree.apply(tree.preview(changes))
        free.apply(free.preview(changes))
        assert free.root == tree.root
    assert all(_entry(number)[1] == tree.find_leaf(_entry(number)[0]) for number in range(1_200))
