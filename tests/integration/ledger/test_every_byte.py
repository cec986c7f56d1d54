"""One byte of recorded data, changed anywhere in a home: the checker refuses and names a place.

The ground truth is what the tables say. A flip after which every row of every table and the whole schema read as before
is in unused space (free pages, slack, an index) and may pass; any other must be found. Which bytes are tried is drawn
from a fixed seed, so that every run tries the same.
"""

import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node.inspection import check
from tests.support.damage import content, content_with_log, flipped, replaced
from tests.support.market import digest
from tests.support.recorded import RecordedZone

BITS = (1, 2, 4, 8, 16, 32, 64, 128, 255)
SHARES, FLIPS = 7, 300


def test_good_home_passes(recorded):
    """The home has every operation of every module in it, and no finding."""
    report = check(recorded)
    assert report.ok, report.findings
    assert 50 < report.blocks < 70
    with closing(sqlite3.connect(recorded / "ledger.db")) as connection:
        done = connection.execute("SELECT count(DISTINCT type) FROM operations WHERE outcome = 0").fetchone()
    assert (29,) == done


@pytest.mark.parametrize("share", range(SHARES))
def test_any_changed_byte_of_the_ledger_is_found(home, share):
    """Flips all over the file: found and named, unless every row of every table reads as before."""
    path = home / "ledger.db"
    before, size = content(path), path.stat().st_size
    draw = random.Random(share)
    found = 0
    for _ in range(FLIPS):
        at, bits = draw.randrange(size), draw.choice(BITS)
        with flipped(path, at, bits):
            if content(path) == before:
                continue
            report = check(home)
            assert not report.ok, (at, bits)
            assert report.first.place, (at, bits)
            found += 1
    assert found > FLIPS // 3
    assert check(home).ok


@pytest.mark.parametrize("file", ["zone.json", "genesis.json", "log/checkpoint"])
def test_any_changed_byte_of_what_was_signed_is_found(home, file):
    """The trust file, the genesis and the checkpoint are recorded too: a flip is named by the file that it is in."""
    path = home / file
    draw = random.Random(file)
    size = path.stat().st_size
    for at in sorted(draw.sample(range(size), 120)):
        with flipped(path, at, draw.choice(BITS)):
            report = check(home)
            assert not report.ok, at
            assert report.first.place.startswith(file), (at, report.first)
    for other in (b"", path.read_bytes()[:-1], path.read_bytes() + b"\n"):
        with replaced(path, other):
            assert check(home).first.place.startswith(file)
    assert check(home).ok


def test_any_changed_byte_of_a_tile_or_bundle_is_found(home):
    """Every file of the log that is there is named when a byte of it changes."""
    draw = random.Random(4)
    files = sorted(path for path in (home / "log" / "tile").rglob("*") if path.is_file())
    assert len(files) > 8
    for path in files:
        size = path.stat().st_size
        for at in (0, size - 1, *(draw.randrange(size) for _ in range(8))):
            with flipped(path, at, draw.choice(BITS)):
                assert [str(path.relative_to(home))] == [finding.place for finding in check(home).findings]


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A home as a killed node leaves it: all blocks are in the write-ahead log."""
    folder = tmp_path_factory.mktemp("killed")
    zone = RecordedZone(folder / "home")
    for number in range(6):
        zone.run(zone.orderer, RecordEvidence(root=digest(f"file {number}"), count=1))
    zone.publish()
    left = shutil.copytree(zone.folder, folder / "left", ignore=shutil.ignore_patterns("*-shm"))
    zone.close()
    return left


def as_left(home):
    """Return what a reader finds who comes after a kill, when nobody has the log's index in memory any more."""
    (home / "ledger.db-shm").unlink(missing_ok=True)
    said = content_with_log(home / "ledger.db")
    (home / "ledger.db-shm").unlink(missing_ok=True)
    return said


def test_any_changed_byte_of_the_write_ahead_log_is_found(killed, tmp_path):
    """What is committed and not yet in the file counts as much: a flip never shortens a ledger in silence."""
    home = shutil.copytree(killed, tmp_path / "home")
    wal = home / "ledger.db-wal"
    before, size = as_left(home), wal.stat().st_size
    assert 6 == check(home).blocks
    draw = random.Random(9)
    found = 0
    last = range(size - 4_120, size)
    for at in (*range(0, 32, 3), *(draw.randrange(size) for _ in range(160)), *draw.sample(last, 40)):
        with flipped(wal, at, draw.choice(BITS)):
            if as_left(home) != before:
                report = check(home)
                assert not report.ok, at
                assert report.first.place, at
                found += 1
        (home / "ledger.db-shm").unlink(missing_ok=True)
    assert found > 150
    assert check(home).ok
