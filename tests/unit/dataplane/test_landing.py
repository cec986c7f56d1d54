"""Landing: resumption, faults of the disk, and what is found under the final name."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from tallystick.dataplane import Grant, KeyPackage, build_package, new_content_key, take_fingerprint
from tallystick.dataplane import landing as landing_module
from tallystick.dataplane.landing import Landing
from tallystick.dataplane.receiving import Opener
from tallystick.dataplane.refusals import (
    AlreadyFetchingError,
    ChunkMismatchError,
    DiskFullError,
    FingerprintError,
    SegmentAlteredError,
    TargetExistsError,
    UnsafePathError,
)
from tallystick.dataplane.sending import Sender
from tallystick.errors import StorageError
from tests.unit.dataplane.test_fingerprints import golden_folder

MIB = 1 << 20


class Delivery:
    """A delivery at hand, without a network."""

    def __init__(self, source: Path) -> None:
        self.sidecar = take_fingerprint(source)
        key = new_content_key()
        self.package: KeyPackage = build_package(
            self.sidecar, delivery="d1", agreement="agr-1", content_key=key, expires_ms=0
        )
        self.sender = Sender(Grant("d1", "agr-1", "x", source, self.sidecar, key, b""))
        self.opener = Opener(self.package, self.sidecar.leaves)
        self.layout = self.sender.layout
        self.manifest = self.sidecar.manifest()

    def prepare(self, landing: Landing, name: str | None = None) -> int:
        """Prepare a landing for it."""
        return landing.prepare(self.opener, self.manifest, self.layout, name)

    def write(self, landing: Landing, first: int, end: int) -> None:
        """Write some chunks."""
        places = [self.layout.place(chunk) for chunk in range(first, end)]
        landing.write(places, memoryview(self.sender.render(first, end)))
        landing.written(places)


@pytest.fixture
def delivery(tmp_path: Path) -> Delivery:
    """A folder of twelve chunks or so."""
    folder = golden_folder(tmp_path)
    (folder / "c.bin").write_bytes(os.urandom(10 * MIB + 7))
    return Delivery(folder)


def test_folder_appears_whole_and_private(delivery: Delivery, tmp_path: Path) -> None:
    """Nothing has the final name before all of it is there; then everything is equal, and the owner's alone."""
    landing = Landing(tmp_path / "in", "d1")
    first = delivery.prepare(landing)
    delivery.write(landing, first, delivery.layout.chunks)
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["d1.part"]
    path = landing.finish()
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["golden"]
    for entry in delivery.manifest.files:
        assert (path / entry.path).read_bytes() == (tmp_path / "golden" / entry.path).read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "a.csv").stat().st_mode) == 0o600


def test_next_process_goes_on_from_the_journal(delivery: Delivery, tmp_path: Path) -> None:
    """What was recorded is not fetched again."""
    landing = Landing(tmp_path / "in", "d1")
    delivery.write(landing, delivery.prepare(landing), 7)
    landing.record()
    landing.close()
    again = Landing(tmp_path / "in", "d1")
    assert delivery.prepare(again) == 7
    delivery.write(again, 7, delivery.layout.chunks)
    assert (again.finish() / "c.bin").read_bytes() == (tmp_path / "golden/c.bin").read_bytes()


def test_damaged_tail_is_fetched_again(delivery: Delivery, tmp_path: Path) -> None:
    """A chunk near the end that is not on disk as recorded is where the fetch goes on."""
    landing = Landing(tmp_path / "in", "d1")
    delivery.write(landing, delivery.prepare(landing), 10)
    landing.record()
    landing.close()
    with (landing.part / "data/golden/c.bin").open("r+b") as file:
        file.truncate(2 * MIB + 5)
    expected = next(
        chunk
        for chunk in range(10)
        if delivery.layout.place(chunk).part == 4 and delivery.layout.place(chunk).offset == 2 * MIB
    )
    assert delivery.prepare(Landing(tmp_path / "in", "d1")) == expected


def test_after_another_boot_everything_is_verified(
    delivery: Delivery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost power may have kept any part, so damage far before the tail is found then."""
    landing = Landing(tmp_path / "in", "d1")
    delivery.write(landing, delivery.prepare(landing), delivery.layout.chunks - 1)
    landing.record()
    landing.close()
    (landing.part / "data/golden/a.csv").write_bytes(b"\0" * 8)
    again = Landing(tmp_path / "in", "d1")
    assert delivery.prepare(again) == delivery.layout.chunks - 1
    again.close()
    monkeypatch.setattr(landing_module, "boot_id", lambda: "another")
    assert delivery.prepare(Landing(tmp_path / "in", "d1")) == 1


def test_journal_of_another_fingerprint_is_not_relied_on(delivery: Delivery, tmp_path: Path) -> None:
    """What is left of something else is discarded."""
    landing = Landing(tmp_path / "in", "d1")
    delivery.write(landing, delivery.prepare(landing), 7)
    landing.record()
    landing.close()
    other = Delivery(tmp_path / "golden")
    assert other.prepare(Landing(tmp_path / "in", "d1")) == 1
    (landing.part / "journal.json").write_bytes(b"{}")


def test_altered_and_exchanged_chunks_are_not_written(delivery: Delivery, tmp_path: Path) -> None:
    """A flipped bit is refused by name; the right encryption of another content too."""
    landing = Landing(tmp_path / "in", "d1")
    delivery.prepare(landing)
    places = [delivery.layout.place(2)]
    data = delivery.sender.render(2, 3)
    data[0] ^= 1
    with pytest.raises(SegmentAlteredError):
        landing.write(places, memoryview(data))
    source = tmp_path / "golden"
    (source / "a.csv").write_bytes(b"a,b\n9,9\n")
    dishonest = Sender(
        Grant(
            "d1", "agr-1", "x", source, take_fingerprint(source), bytes.fromhex(delivery.package.content_key), b""
        )
    )  # fmt: skip
    with pytest.raises(ChunkMismatchError, match="chunk 1"):
        landing.write([delivery.layout.place(1)], memoryview(dishonest.render(1, 2)))


def test_leaves_of_another_fingerprint_are_refused(delivery: Delivery) -> None:
    """A provider cannot choose the leaves that chunks are checked against."""
    for leaves in (delivery.sidecar.leaves[:-32], bytes(len(delivery.sidecar.leaves)), b""):
        with pytest.raises(FingerprintError):
            Opener(delivery.package, leaves)


def test_disk_that_fills_up_is_named_and_what_came_stays(
    delivery: Delivery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC is a clear error with a remedy, and the next fetch goes on where it stopped."""
    landing = Landing(tmp_path / "in", "d1")
    delivery.write(landing, delivery.prepare(landing), 5)
    real = os.pwrite

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        if offset >= 2 * MIB:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(DiskFullError) as caught:
        delivery.write(landing, 5, delivery.layout.chunks)
    assert "goes on" in caught.value.remedy
    landing.record()
    landing.close()
    monkeypatch.undo()
    assert delivery.prepare(Landing(tmp_path / "in", "d1")) == 5


def test_too_little_room_is_known_before_the_first_byte(
    delivery: Delivery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Free space is compared with what is missing."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(100, 99, 1))  # type: ignore[attr-defined]
    with pytest.raises(DiskFullError, match="MiB free"):
        delivery.prepare(Landing(tmp_path / "in", "d1"))


def test_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    """A file where a folder should be gives an error with a remedy."""
    (tmp_path / "in").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written to"):
        Landing(tmp_path / "in", "d1")


def test_existing_target_is_never_overwritten(delivery: Delivery, tmp_path: Path) -> None:
    """Whatever has the name already stays, and another name can be given; not one that leads elsewhere."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/golden").symlink_to("nowhere")
    landing = Landing(tmp_path / "in", "d1")
    with pytest.raises(TargetExistsError):
        delivery.prepare(landing)
    for name in ("../x", "a/b", "d1.part"):
        with pytest.raises(UnsafePathError):
            delivery.prepare(landing, name)
    delivery.write(landing, delivery.prepare(landing, "other"), delivery.layout.chunks)
    assert landing.finish() == tmp_path / "in/other"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """A second fetch of the same delivery into the same folder is refused until the first lets go."""
    landing = Landing(tmp_path, "d1")
    with pytest.raises(AlreadyFetchingError):
        Landing(tmp_path, "d1")
    landing.close()
    Landing(tmp_path, "d1").discard()
    assert list(tmp_path.iterdir()) == []
