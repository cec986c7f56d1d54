"""The write-ahead log: SQLite passes over its damage in silence, the checker does not."""

import random
import shutil

import pytest

from tallystick.fsck.wal import find_damage
from tests.support.ledgers import LedgerHome, check, note


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A home as it is left by a node that was killed: most of the ledger is in the write-ahead log."""
    folder = tmp_path_factory.mktemp("killed")
    made = LedgerHome(folder / "home")
    made.write_trust()
    made.run([[("bank", [note(f"n{number}")], True)] for number in range(6)])
    left = shutil.copytree(made.folder, folder / "left", ignore=shutil.ignore_patterns("*-shm"))
    made.close()
    return left


@pytest.fixture
def home(killed, tmp_path):
    return shutil.copytree(killed, tmp_path / "home")


def test_what_a_killed_node_leaves_passes(home):
    """A ledger in two files is one ledger."""
    report = check(home)
    assert (True, 6) == (report.ok, report.blocks)


def test_changed_byte_before_the_last_commit_is_found(home):
    """A byte changed in the write-ahead log would hide every later block; it is named."""
    wal = home / "ledger.db-wal"
    whole = wal.read_bytes()
    frames = (len(whole) - 32) // 4_120
    assert frames > 12
    for at in (
        0,
        10,
        20,
        31,
        *(32 + 4_120 * frame + offset for frame in range(frames - 8) for offset in (5, 9, 18, 2_000)),
    ):
        wal.write_bytes(whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :])
        assert find_damage(wal) is not None, at
    report = check(home)
    assert not report.ok
    assert "ledger.db-wal" in [finding.place for finding in report.findings]


def test_torn_end_is_no_damage(home):
    """What was never committed may end anywhere."""
    wal = home / "ledger.db-wal"
    whole = wal.read_bytes()
    for tail in (b"", b"\x00" * 10_000, whole[32 : 32 + 4_000]):
        wal.write_bytes(whole + tail)
        assert None is find_damage(wal)
    wal.write_bytes(whole[:-100])
    assert None is find_damage(wal)
    assert check(home).ok
    wal.write_bytes(b"")
    assert None is find_damage(wal)


def test_one_changed_byte_of_the_last_frame_is_found(home):
    """A last frame that one byte keeps from being good was good: what a crash leaves is never so close."""
    wal = home / "ledger.db-wal"
    whole = wal.read_bytes()
    draw = random.Random(5)
    start = len(whole) - 4_120
    for at in (*range(start, start + 24), *(draw.randrange(start + 24, len(whole)) for _ in range(60))):
        changed = bytes((whole[at] ^ draw.randrange(1, 256),))
        wal.write_bytes(whole[:at] + changed + whole[at + 1 :])
        assert f"frame {(len(whole) - 32) // 4_120} " in (find_damage(wal) or ""), at
    report = check(home)
    assert "ledger.db-wal" in [finding.place for finding in report.findings]


def test_torn_last_frame_is_no_damage(home):
    """A last frame of which only a part was written, with what stood there before behind it, is what a crash leaves."""
    wal = home / "ledger.db-wal"
    whole = wal.read_bytes()
    draw = random.Random(6)
    start = len(whole) - 4_120
    for _ in range(60):
        cut = draw.randrange(start + 24, len(whole) - 64)
        for tail in (bytes(len(whole) - cut), whole[cut - 4_120 : start], draw.randbytes(len(whole) - cut)):
            if whole[:cut] + tail != whole:
                wal.write_bytes(whole[:cut] + tail)
                assert None is find_damage(wal), cut
    assert check(home).ok
