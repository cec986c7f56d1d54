"""Which files of the engine's write-ahead log may go: those that it never reads again, and no other."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from tallystick.node.engine_journal import FOLDER, cut_in_passing, cut_journal

# The time of a message, of protobuf: seconds and nanoseconds.
TIME = b"\x08\x80\xe2\xcf\xaa\x06\x10\xc0\x84\x3d"
# Larger than a mark, and full of what a mark begins with.
PART = b"\x12\x82\x02" + b"\x22\x02\x08\x07" * 64


def frame(what: bytes) -> bytes:
    """Return a message as the engine writes it, but for the checksum."""
    message = b"\x0a" + bytes([len(TIME)]) + TIME + what
    return struct.pack(">II", 0, len(message)) + message


def mark(height: int) -> bytes:
    """Return the message that a height below 128 has ended."""
    end = b"\x08" + bytes([height]) if height else b""
    return frame(b"\x12" + bytes([2 + len(end)]) + b"\x22" + bytes([len(end)]) + end)


PARTS = frame(PART)
# What the engine was told by a timer: as short as a mark, and of the height that is decided just then.
TIMER = frame(b"\x12\x04\x1a\x02\x10\x07")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the engine writes."""
    made = tmp_path / FOLDER
    made.mkdir(parents=True)
    return made


def fill(folder: Path, **files: bytes) -> None:
    """Write files; `n3` is `wal.003`, and `head` the head."""
    for name, content in files.items():
        (folder / ("wal" if name == "head" else f"wal.{int(name[1:]):03}")).write_bytes(content)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_mark_in_the_head_frees_all_that_was_rotated(tmp_path: Path, folder: Path) -> None:
    """The next start reads from that height on, or a later one."""
    fill(folder, n0=mark(1), n1=mark(2), head=TIMER + PARTS + mark(3) + PARTS)
    assert len(mark(1)) + len(mark(2)) == cut_journal(tmp_path)
    assert ["wal"] == names(folder)


@pytest.mark.parametrize(
    "head",
    [b"", PARTS + TIMER, mark(0), mark(0) + PARTS, mark(3)[:-1], mark(3)[:5], PARTS[:-1] + mark(3)],
    ids=["empty", "no height", "only height 0", "height 0 first", "half a mark", "half a length", "damaged before"],
)
def test_newest_file_in_which_a_height_ends_stays(tmp_path: Path, folder: Path, head: bytes) -> None:
    """As long as none ends in the head, whatever else is there: what was decided last ended in a rotated file."""
    fill(folder, n7=mark(1), n8=PARTS + mark(2), n9=PARTS, head=head)
    assert len(mark(1)) == cut_journal(tmp_path)
    assert ["wal", "wal.008", "wal.009"] == names(folder)
    assert 0 == cut_journal(tmp_path)


def test_first_height_that_has_not_ended_keeps_everything(tmp_path: Path, folder: Path) -> None:
    """However many files it fills, the engine will read from its beginning."""
    fill(folder, n0=mark(0) + PARTS, n1=PARTS, head=PARTS)
    assert 0 == cut_journal(tmp_path)
    assert ["wal", "wal.000", "wal.001"] == names(folder)


def test_files_are_ordered_by_number_and_others_left_alone(tmp_path: Path, folder: Path) -> None:
    """`wal.1000` is newer than `wal.999`; what the engine sets aside after damage is nobody's to remove."""
    fill(folder, n999=mark(1), n1000=mark(2), head=PARTS)
    for other in ("wal.CORRUPTED", "wal.1001.old", "notes.003"):
        (folder / other).write_bytes(mark(1))
    assert len(mark(1)) == cut_journal(tmp_path)
    assert ["notes.003", "wal", "wal.1000", "wal.1001.old", "wal.CORRUPTED"] == names(folder)


def test_missing_head_is_no_mark(tmp_path: Path, folder: Path) -> None:
    """An engine that was killed between putting the head aside and making the next one is right again at its start."""
    fill(folder, n3=mark(1), n4=mark(2))
    cut_journal(tmp_path)
    assert ["wal.004"] == names(folder)


def test_empty_file_in_the_place_of_a_removed_one_goes(tmp_path: Path, folder: Path) -> None:
    """The engine makes such where it looks for one that has just gone."""
    fill(folder, n3=b"", n4=mark(2), head=mark(3))
    cut_journal(tmp_path)
    assert ["wal"] == names(folder)


def test_engine_that_never_ran_has_nothing_to_cut(tmp_path: Path) -> None:
    """Neither a missing folder nor a lone head is a fault."""
    assert 0 == cut_journal(tmp_path)
    (tmp_path / FOLDER).mkdir(parents=True)
    fill(tmp_path / FOLDER, head=mark(1))
    assert 0 == cut_journal(tmp_path)


def test_disk_that_refuses_is_told_and_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log that cannot be cut is no reason to stop a node."""
    (tmp_path / FOLDER.parent).mkdir()
    (tmp_path / FOLDER).write_bytes(b"no folder")
    cut_in_passing(tmp_path)
    told = capsys.readouterr().out
    assert "engine_journal_not_cut" in told
    assert str(FOLDER) in told
