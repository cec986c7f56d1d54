"""What counts as a dataset, and which names are safe."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tallystick.codec import encode_json
from tallystick.dataplane import media_type_of, scan
from tallystick.dataplane.refusals import ManifestError, SourceChangedError, SourceRefusedError, UnsafePathError
from tallystick.dataplane.sources import check_path, decode_manifest

HOSTILE = [
    "",
    ".",
    "..",
    "/etc/passwd",
    "../up",
    "a/../../up",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "a\x00b",
    "a\nb",
    "a\x1b[2Jb",
    "a\x7fb",
    "a\u202egnp.exe",
    "a\u2028b",
    "x" * 256,
    "/".join(["abcdefghi"] * 200),
    "a\ud800",
]


def entry(path: str, size: int = 0) -> dict[str, object]:
    """Return a file entry as plain JSON."""
    return {"media_type": "text/plain", "path": path, "size": size}


def manifest_bytes(*paths: str, kind: str = "folder", name: str = "data") -> bytes:
    """Return a manifest as a hostile provider would write it."""
    return encode_json({"files": [entry(path) for path in paths], "kind": kind, "name": name, "v": 1})


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_hostile_paths_are_refused(path: str) -> None:
    """A path that leads outside, or that deceives who reads it, is refused by name."""
    with pytest.raises(UnsafePathError):
        check_path(path)


@pytest.mark.parametrize("path", ["a", "a/b.csv", "données/été.csv", "数据/表.parquet", "...", "a b", ".hidden", "a:b"])
def test_ordinary_paths_are_accepted(path: str) -> None:
    """Names of any language, with spaces or leading dots, are kept as they are."""
    assert check_path(path) == path


@pytest.mark.parametrize("path", [path for path in HOSTILE if "\ud800" not in path], ids=ascii)
def test_manifest_with_a_hostile_path_or_name_is_refused(path: str) -> None:
    """The receiving side judges names by the same rules."""
    with pytest.raises(UnsafePathError):
        decode_manifest(manifest_bytes(path))
    with pytest.raises(UnsafePathError):
        decode_manifest(manifest_bytes("a", name=path))


@pytest.mark.parametrize(
    "data",
    [
        manifest_bytes("b", "a"),
        manifest_bytes("a", "a"),
        manifest_bytes("a", "a/b"),
        manifest_bytes("a", "a.b", "a/b/c"),
        manifest_bytes(),
        manifest_bytes("a", kind="file", name="b"),
        manifest_bytes("a", kind="device"),
        manifest_bytes("a") + b" ",
        b"[]",
        encode_json({"files": [entry("a", -1)], "kind": "folder", "name": "n", "v": 1}),
        encode_json({"files": [entry("a")], "kind": "folder", "name": "n", "v": 2}),
    ],
    ids=["order", "twice", "file-and-folder", "deep", "empty", "other", "kind", "space", "array", "size", "version"],
)
def test_malformed_manifests_are_refused(data: bytes) -> None:
    """Files out of order, repeated or inside one another, and any other form of JSON, are refused."""
    with pytest.raises(ManifestError):
        decode_manifest(data)


def test_folder_is_sorted_by_bytes_of_its_paths(tmp_path: Path) -> None:
    """Order is that of UTF-8 bytes, whatever the file system says, and folders are walked through."""
    for path in ("b", "a/z", "a-", "é", "Z"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    assert [entry.path for entry in scan(tmp_path).manifest.files] == ["Z", "a-", "a/z", "b", "é"]


def test_file_is_a_manifest_of_one(tmp_path: Path) -> None:
    """A single file is called by its own name."""
    (tmp_path / "x.csv").write_text("a\n")
    manifest = scan(tmp_path / "x.csv").manifest
    assert (manifest.kind, manifest.name, manifest.size, manifest.media_type) == ("file", "x.csv", 2, "text/csv")


def test_link_inside_counts_as_its_file(tmp_path: Path) -> None:
    """A link to a file in the same folder is carried as that file."""
    (tmp_path / "a").write_text("abc")
    (tmp_path / "b").symlink_to("a")
    assert [(entry.path, entry.size) for entry in scan(tmp_path).manifest.files] == [("a", 3), ("b", 3)]


def test_what_cannot_be_sent_is_refused_not_left_out(tmp_path: Path) -> None:
    """Links that lead elsewhere, pipes, empty folders and missing paths are refused by name."""
    outside = tmp_path / "outside"
    outside.write_text("secret")
    for case, make in {
        "escape": lambda path: path.symlink_to(outside),
        "dangling": lambda path: path.symlink_to("nowhere"),
        "folder": lambda path: path.symlink_to("."),
        "pipe": os.mkfifo,
    }.items():
        folder = tmp_path / case
        folder.mkdir()
        (folder / "fine").write_text("x")
        make(folder / "odd")
        with pytest.raises(SourceRefusedError, match="odd"):
            scan(folder)
    (tmp_path / "empty/inner").mkdir(parents=True)
    for path in ("empty", "missing"):
        with pytest.raises(SourceRefusedError):
            scan(tmp_path / path)
    with pytest.raises(SourceRefusedError, match="neither"):
        scan(tmp_path / "pipe/odd")


def test_name_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    """A file whose name is not UTF-8 is refused before anybody else meets it."""
    (tmp_path / os.fsdecode(b"a\xff")).write_text("x")
    with pytest.raises(UnsafePathError):
        scan(tmp_path)


def test_link_turned_outward_after_the_scan_is_not_followed(tmp_path: Path) -> None:
    """A file replaced by a link that leaves the folder counts as changed."""
    (tmp_path / "secret").write_text("abc")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a").write_text("abc")
    source = scan(tmp_path / "data")
    (tmp_path / "data/a").unlink()
    (tmp_path / "data/a").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceChangedError, match="a can no longer be read"):
        source.open_file(0)


def test_media_types_follow_the_ending() -> None:
    """The ending decides, in any case of letters, and nothing is guessed."""
    assert [media_type_of(name) for name in ("A.CSV", "b.tar.gz", "c.parquet", "d")] == [
        "text/csv",
        "application/gzip",
        "application/vnd.apache.parquet",
        "application/octet-stream",
    ]
