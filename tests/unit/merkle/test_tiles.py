"""Tiles: the examples of C2SP tlog-tiles, and agreement with the tree around the borders of tiles."""

from __future__ import annotations

from hashlib import sha256

import pytest

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError, StorageError
from tallystick.merkle import (
    Frontier,
    Tile,
    TileBuilder,
    TileReader,
    consistency_path,
    decode_entries,
    encode_entries,
    entries_path,
    inclusion_path,
    leaf_hash,
    root_from_hashes,
    tile_path,
    tiles_for,
    verify_consistency,
    verify_inclusion,
)

BORDERS = [1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 65_792, 65_793]


def _leaf(index: int) -> bytes:
    return b"leaf %d" % index


HASHES = [leaf_hash(_leaf(index)) for index in range(max(BORDERS))]


def _grow(builder: TileBuilder, size: int, files: dict[str, bytes]) -> None:
    for index in range(builder.size, size):
        builder.append(_leaf(index), HASHES[index])
    flushed = builder.flush()
    assert not files.keys() & dict(flushed.files).keys()
    files.update(flushed.files)
    for folder in flushed.obsolete:
        assert folder.removesuffix(".p") in files
        for path in [path for path in files if path.startswith(f"{folder}/")]:
            del files[path]


@pytest.mark.parametrize(
    ("path", "level", "index", "width"),
    [
        ("tile/0/x001/x234/067", 0, 1_234_067, 256),
        ("tile/0/x001/x234/067.p/1", 0, 1_234_067, 1),
        ("tile/0/000", 0, 0, 256),
        ("tile/1/999.p/255", 1, 999, 255),
        ("tile/63/x001/000", 63, 1000, 256),
    ],
)
def test_tile_paths_are_as_specified(path: str, level: int, index: int, width: int) -> None:
    """An index is written in groups of three digits, and a partial tile names its width."""
    assert path == tile_path(level, index, width)
    assert path == Tile(level, index, width).path


def test_entry_paths_are_as_specified() -> None:
    """Bundles are named like tiles, under tile/entries."""
    assert "tile/entries/x001/x234/067" == entries_path(1_234_067)
    assert "tile/entries/x001/x234/067.p/8" == entries_path(1_234_067, 8)


@pytest.mark.parametrize(("level", "index", "width"), [(-1, 0, 1), (64, 0, 1), (0, -1, 1), (0, 0, 0), (0, 0, 257)])
def test_no_path_of_a_tile_that_cannot_be(level: int, index: int, width: int) -> None:
    """A level, index or width outside the specification has no path."""
    with pytest.raises(ValueError, match="no such tile"):
        tile_path(level, index, width)


def test_the_tiles_of_the_specifications_example() -> None:
    """A tree of 70,000 has the tiles that the specification counts for it."""
    tiles = tiles_for(0, 70_000)
    shapes = [(tile.level, tile.width) for tile in tiles]
    assert 273 == shapes.count((0, 256)) == shapes.count((-1, 256))
    assert {(-1, 112), (0, 112), (1, 17), (2, 1)} == {shape for shape in shapes if shape[1] < 256}
    assert 1 == shapes.count((1, 256))
    assert [(0, 0, 256), (1, 0, 1)] == [(tile.level, tile.index, tile.width) for tile in tiles_for(0, 256)[1:]]


def test_only_what_grew_is_listed() -> None:
    """Growing by a few leaves needs the last bundle and tile, and nothing above until one is full."""
    assert ["tile/entries/001.p/5", "tile/0/001.p/5"] == [tile.path for tile in tiles_for(260, 261)]
    assert ["tile/entries/000", "tile/entries/001.p/1", "tile/0/000", "tile/0/001.p/1", "tile/1/000.p/1"] == [
        tile.path for tile in tiles_for(255, 257)
    ]
    assert [] == tiles_for(7, 7)
    with pytest.raises(ValueError, match="shrink"):
        tiles_for(2, 1)


def test_bundles_are_length_prefixed() -> None:
    """An entry follows its length in two bytes, big-endian; empty ones are allowed."""
    entries = [b"", b"a", b"b" * 300]
    bundle = encode_entries(entries)
    assert b"\x00\x00\x00\x01a\x01\x2cb" == bundle[:8]
    assert entries == decode_entries(bundle)
    with pytest.raises(ValueError, match="too long"):
        encode_entries([bytes(65_536)])


@pytest.mark.parametrize("bundle", [b"", b"\x00", b"\x00\x01", b"\x00\x00\x00", b"\x00\x00" * 257])
def test_a_bundle_that_is_none_is_refused(bundle: bytes) -> None:
    """A bundle that ends early, is empty or holds too many is malformed."""
    with pytest.raises(MalformedError):
        decode_entries(bundle)


def test_files_agree_with_the_tree_at_every_border() -> None:
    """After each flush the files are those listed, hash to the root, and resuming from them goes on alike."""
    files: dict[str, bytes] = {}
    builder = TileBuilder()
    frontier = Frontier()
    before = 0
    for size in BORDERS:
        _grow(builder, size, files)
        frontier.extend(HASHES[before:size])
        assert {tile.path for tile in tiles_for(before, size)} <= files.keys()
        assert frontier == builder.frontier()
        reader = TileReader(files.get, size)
        root = frontier.root()
        for index in {0, 255, 256, size // 2, before, size - 1}:
            if index < size:
                path = inclusion_path(index, size, reader.node)
                assert verify_inclusion(HASHES[index], index, size, path, root)
                assert _leaf(index) == reader.leaf(index)
        path = consistency_path(before, size, reader.node)
        assert verify_consistency(before, root_from_hashes(HASHES[:before]), size, root, path)
        resumed = TileBuilder.resume(size, files.get)
        assert frontier == resumed.frontier()
        again = dict(resumed.flush().files)
        assert again.items() <= files.items()
        before = size
    assert files.keys() == {
        tile.path for tile in tiles_for(0, before) if tile.width == 256 or tile in tiles_for(before - 1, before)
    } | {Tile(2, 0, 1).path, Tile(1, 1, 1).path}


def test_a_higher_tile_holds_the_roots_of_those_below() -> None:
    """Each hash of level 1 is the root over one full tile of level 0."""
    files: dict[str, bytes] = {}
    _grow(TileBuilder(), 600, files)
    expected = [root_from_hashes(HASHES[start : start + 256]) for start in (0, 256)]
    assert b"".join(expected) == files["tile/1/000.p/2"]


def test_nothing_is_flushed_twice() -> None:
    """A flush without new leaves gives no files, and one with new leaves no unchanged tile."""
    builder = TileBuilder()
    files: dict[str, bytes] = {}
    _grow(builder, 300, files)
    assert ([], []) == tuple(builder.flush())
    builder.append(_leaf(300), HASHES[300])
    assert ["tile/entries/001.p/45", "tile/0/001.p/45"] == [path for path, _ in builder.flush().files]


def test_partial_folders_become_obsolete_with_their_full_file() -> None:
    """The folder of partial files is named once the full file is given out, also after a restart."""
    builder = TileBuilder()
    files: dict[str, bytes] = {}
    _grow(builder, 200, files)
    resumed = TileBuilder.resume(200, files.get)
    for each in (builder, resumed):
        for index in range(200, 256):
            each.append(_leaf(index), HASHES[index])
        flushed = each.flush()
        assert ["tile/entries/000.p", "tile/0/000.p"] == flushed.obsolete
    never_flushed = TileBuilder()
    for index in range(256):
        never_flushed.append(_leaf(index), HASHES[index])
    assert [] == never_flushed.flush().obsolete


def test_a_missing_partial_tile_is_found_elsewhere() -> None:
    """Reading and resuming an earlier size use full tiles, and compute a partial one from those below it."""
    files: dict[str, bytes] = {}
    _grow(TileBuilder(), 1024, files)
    assert "tile/1/000.p/2" not in files
    for size in (300, 512, 700):
        root = root_from_hashes(HASHES[:size])
        assert root == TileBuilder.resume(size, files.get).frontier().root()
    path = inclusion_path(3, 200, TileReader(files.get, 200).node)
    assert verify_inclusion(HASHES[3], 3, 200, path, root_from_hashes(HASHES[:200]))


def test_missing_and_damaged_files_are_named() -> None:
    """What is missing or has a wrong length is told by its path and with a remedy."""
    files: dict[str, bytes] = {}
    _grow(TileBuilder(), 300, files)
    for path in list(files):
        for change, error in ((None, StorageError), (files[path][:-1], IntegrityError)):
            changed = {**files, path: change}
            reader = TileReader(changed.get, 300)
            with pytest.raises(error, match=path) as caught:
                _ = [reader.leaf(0), reader.leaf(299), reader.node(0, 0), reader.node(0, 299), reader.node(8, 0)]
            assert caught.value.remedy


def test_entries_that_do_not_belong_to_their_hashes_stop_resuming() -> None:
    """A changed byte in the last bundle is noticed when the log is taken up again."""
    files: dict[str, bytes] = {}
    _grow(TileBuilder(), 20, files)
    files["tile/entries/000.p/20"] = files["tile/entries/000.p/20"][:-1] + b"!"
    with pytest.raises(IntegrityError, match="damaged"):
        TileBuilder.resume(20, files.get)


def test_only_what_is_within_the_size_is_read() -> None:
    """A subtree or leaf beyond the size is refused, also when a full tile would have it."""
    files: dict[str, bytes] = {}
    _grow(TileBuilder(), 256, files)
    reader = TileReader(files.get, 100)
    for level, index in ((0, 100), (2, 25), (-1, 0), (0, -1), (200, 0)):
        with pytest.raises(ValueError, match="no such subtree"):
            reader.node(level, index)
    with pytest.raises(ValueError, match="no such leaf"):
        reader.leaf(100)


@pytest.mark.parametrize(("data", "leaf"), [(bytes(65_536), sha256().digest()), (b"", b"short")])
def test_a_leaf_that_cannot_be_stored_is_refused(data: bytes, leaf: bytes) -> None:
    """Data too long for a bundle, or a hash of a wrong length, is not taken."""
    builder = TileBuilder()
    with pytest.raises(ValueError, match="not a leaf"):
        builder.append(data, leaf)
    assert 0 == builder.size
