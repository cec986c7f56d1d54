"""log/: every file that is there is what the history gives, and what the checkpoint needs is there."""

import shutil

import pytest

from tallystick.merkle import TileBuilder, leaf_hash
from tests.support.ledgers import LedgerHome, check, note


def files(home):
    return sorted(path.relative_to(home).as_posix() for path in (home / "log").rglob("*") if path.is_file())


def flip(path, at):
    data = path.read_bytes()
    at %= len(data)
    path.write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """A home with full tiles: 700 operations."""
    made = LedgerHome(tmp_path_factory.mktemp("long") / "home")
    made.write_trust()
    for first in range(0, 700, 350):
        batch = [note(f"n{number}") for number in range(first, first + 350)]
        made.run([[("bank", batch, True)]])
        made.write_checkpoint()
    made.close()
    return made.folder


def test_every_file_is_there_and_good(long):
    """Full and partial tiles and bundles pass."""
    expected = ["log/checkpoint"]
    expected += [f"log/tile/{level}/{name}" for level, name in (("0", "000"), ("0", "001"), ("0", "002.p/188"))]
    expected += ["log/tile/1/000.p/1", "log/tile/1/000.p/2"]
    expected += [f"log/tile/entries/{name}" for name in ("000", "001", "002.p/188")]
    assert expected == files(long)
    assert check(long).ok


def test_any_changed_file_is_named(long, tmp_path):
    """A byte changed in any file of the log is found there, and nowhere else."""
    home = shutil.copytree(long, tmp_path / "home")
    for name in files(home):
        whole = (home / name).read_bytes()
        for at in (0, len(whole) // 2, len(whole) - 1):
            flip(home / name, at)
            report = check(home)
            assert [name] == [finding.place for finding in report.findings], at
            (home / name).write_bytes(whole)
        for other in (whole[:-1], whole + b"\x00", b""):
            (home / name).write_bytes(other)
            assert [name] == [finding.place for finding in check(home).findings]
        (home / name).write_bytes(whole)
    assert check(home).ok


def test_any_changed_byte_of_the_checkpoint_is_found(home):
    """The checkpoint is checked byte for byte: body, name and signature."""
    path = home / "log" / "checkpoint"
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in (1, 32):
            path.write_bytes(whole[:at] + bytes((whole[at] ^ bit,)) + whole[at + 1 :])
            report = check(home)
            assert not report.ok, at
            assert report.first.place.startswith("log/"), at


def test_missing_file_is_named_if_the_checkpoint_needs_it(long, tmp_path):
    """What the checkpoint commits to must be there; partial files of earlier sizes need not."""
    home = shutil.copytree(long, tmp_path / "home")
    for name in files(home):
        whole = (home / name).read_bytes()
        (home / name).unlink()
        expected = [] if name == "log/tile/1/000.p/1" else [name]
        assert expected == [finding.place for finding in check(home).findings]
        (home / name).write_bytes(whole)


def test_full_tile_stands_for_a_partial_one(home):
    """Where the log has grown on, the full tile proves as much as the partial one; its known part is compared."""
    shutil.rmtree(home / "log" / "tile")
    assert ["log/tile/entries/000.p/8", "log/tile/0/000.p/8"] == [f.place for f in check(home).findings]
    builder = TileBuilder()
    from tallystick.store import LedgerStore
    from tests.support.toy import RULEBOOK

    store = LedgerStore(home / "ledger.db", RULEBOOK, read_only=True)
    leaves = [*store.leaves(0, 8), *(b"later %d" % number for number in range(248))]
    store.close()
    for leaf in leaves:
        builder.append(leaf, leaf_hash(leaf))
    for path, data in builder.flush().files:
        target = home / "log" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    assert check(home).ok
    flip(home / "log" / "tile" / "0" / "000", 33)
    assert ["log/tile/0/000"] == [finding.place for finding in check(home).findings]


def test_checkpoint_beyond_the_history_is_found(long, home):
    """A ledger that is shorter than what its own node published has lost something."""
    shutil.rmtree(home / "log")
    shutil.copytree(long / "log", home / "log")
    report = check(home)
    assert not report.ok
    assert any(finding.place == "log/checkpoint" and "700" in finding.what for finding in report.findings)


def test_home_without_log_passes_and_files_of_a_crash_are_passed_over(home):
    """Leftovers that no reader asks for are no damage, and a home that never published has no log."""
    for name in ("tile/0/000.new", "tile/0/000.p/9.new", "tile/0/000.p/09", "tile/0/000.p/x", "note.txt"):
        (home / "log" / name).write_bytes(b"x")
    assert check(home).ok
    shutil.rmtree(home / "log")
    assert check(home).ok
