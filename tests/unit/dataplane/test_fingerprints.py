"""Fingerprints, sidecars and layouts."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tallystick.dataplane import (
    SidecarShelf,
    decode_sidecar,
    encode_sidecar,
    scan,
    take_fingerprint,
    verify_against,
    verify_fingerprint,
)
from tallystick.dataplane.layout import CHUNK_BYTES, Layout
from tallystick.dataplane.refusals import ChunkMismatchError, FingerprintError, SidecarError, SourceChangedError
from tests.vectors.dataplane.generate import FILES, build

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors/dataplane/delivery/folder.json").read_text(encoding="utf-8")
)


def golden_folder(parent: Path) -> Path:
    """Write the folder of the golden delivery."""
    for path, data in FILES.items():
        (parent / "golden" / path).parent.mkdir(parents=True, exist_ok=True)
        (parent / "golden" / path).write_bytes(data)
    return parent / "golden"


def test_golden_vector_is_what_its_generator_makes() -> None:
    """The recorded vector follows from its inputs by independent code."""
    assert build() == GOLDEN


def test_fingerprint_equals_the_golden_one(tmp_path: Path) -> None:
    """Manifest, leaves and root of a folder are those that independent code computes."""
    sidecar = take_fingerprint(golden_folder(tmp_path), salt=bytes.fromhex(GOLDEN["salt"]))
    assert sidecar.manifest_bytes.decode() == GOLDEN["manifest"]
    assert [sidecar.leaf(index).hex() for index in range(sidecar.fingerprint.chunks)] == GOLDEN["leaf_hashes"]
    assert sidecar.fingerprint.root.hex() == GOLDEN["fingerprint"]


def test_two_fingerprints_of_one_file_differ(tmp_path: Path) -> None:
    """A fingerprint is salted, so that equal files cannot be recognised by it."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    first, second = (take_fingerprint(tmp_path / "a.csv").fingerprint for _ in range(2))
    assert first.root != second.root
    assert first.salt != second.salt


def test_progress_ends_at_the_size_of_all_files(tmp_path: Path) -> None:
    """Progress rises to the total."""
    seen: list[tuple[int, int]] = []
    take_fingerprint(golden_folder(tmp_path), progress=lambda done, total: seen.append((done, total)))
    size = sum(map(len, FILES.values()))
    assert seen[-1] == (size, size)
    assert seen == sorted(seen)


def test_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    """A size that differs from the scan is named, not hashed."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    source = scan(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text("a\n1\n2\n")
    with pytest.raises(SourceChangedError, match=r"a\.csv"):
        take_fingerprint(source)


def test_recipient_verifies_with_the_salt(tmp_path: Path) -> None:
    """Who has the salt can check a copy, under another name too, and notices any change."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    found = take_fingerprint(tmp_path / "a.csv").fingerprint
    (tmp_path / "a.csv").rename(tmp_path / "b.csv")
    assert verify_fingerprint(tmp_path / "b.csv", found.root, found.salt, name="a.csv").fingerprint == found
    (tmp_path / "b.csv").write_text("a\n2\n")
    with pytest.raises(FingerprintError):
        verify_fingerprint(tmp_path / "b.csv", found.root, found.salt, name="a.csv")


def test_first_differing_chunk_is_named(tmp_path: Path) -> None:
    """With a sidecar, a damaged file is named together with the chunk."""
    folder = golden_folder(tmp_path)
    sidecar = take_fingerprint(folder)
    verify_against(folder, sidecar)
    with (folder / "b/long.bin").open("r+b") as file:
        file.seek(CHUNK_BYTES + 5)
        file.write(b"!")
    with pytest.raises(ChunkMismatchError, match=r"b/long\.bin: chunk 4"):
        verify_against(folder, sidecar)


def test_sidecar_survives_its_file_and_is_private(tmp_path: Path) -> None:
    """A sidecar comes back as it was put, from a file that its owner alone can read."""
    sidecar = take_fingerprint(golden_folder(tmp_path))
    shelf = SidecarShelf(tmp_path / "shelf")
    path = shelf.put(sidecar)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert shelf.get(sidecar.fingerprint.root) == sidecar
    assert "salt" not in repr(sidecar)


def test_any_changed_byte_of_a_sidecar_is_noticed(tmp_path: Path) -> None:
    """A sidecar with one byte flipped or the end cut off is refused."""
    (tmp_path / "a.csv").write_text("a\n1\n")
    data = encode_sidecar(take_fingerprint(tmp_path / "a.csv"))
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(SidecarError):
            decode_sidecar(bytes(changed))
    for length in (0, 10, 40, len(data) - 1):
        with pytest.raises(SidecarError):
            decode_sidecar(data[:length])


def test_missing_sidecar_is_named(tmp_path: Path) -> None:
    """A fingerprint without a sidecar is an error with a remedy."""
    with pytest.raises(SidecarError, match="backup|cannot be used"):
        SidecarShelf(tmp_path).get(bytes(32))


def test_layout_of_a_large_file_costs_nothing_to_make() -> None:
    """Places are computed, not listed: the last chunk of 8 TiB is found at once, and more than 2^24 are refused."""
    layout = Layout(100, [8 << 40])
    place = layout.place(layout.chunks - 1)
    assert (place.last, place.offset + place.size) == (True, 8 << 40)
    assert layout.chunk_at(layout.cipher_size - 1) == layout.chunks - 1
    with pytest.raises(ValueError, match="too large"):
        Layout(100, [1 << 45])
    for outside in (-1, layout.chunks):
        with pytest.raises(IndexError):
            layout.place(outside)
    for outside in (-1, layout.cipher_size):
        with pytest.raises(IndexError):
            layout.chunk_at(outside)
