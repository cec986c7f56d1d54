"""What a home takes of its disk, and what its samples say of the growth."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tallystick.node.disk import APART_MS, DAY_MS, FILE, SAMPLE_MS, add_sample, disk_use, growth_a_day, read_samples
from tallystick.node.homes import Home

NOW = 1_700_000_000_000
HOUR = SAMPLE_MS


def test_growth_is_not_known_before_two_samples_lie_apart():
    """Nothing, or an hour alone, says nothing about a day."""
    assert growth_a_day([], 10, NOW) is None
    assert growth_a_day([(NOW - APART_MS + 1, 5)], 10, NOW) is None
    assert growth_a_day([(NOW - APART_MS, 5)], 10, NOW) == 40


def test_growth_is_measured_against_the_sample_of_a_day_ago():
    """Older and newer samples do not blur it; less than before is less."""
    samples = [(NOW - 3 * DAY_MS, 0), (NOW - DAY_MS, 700), (NOW - 4 * HOUR, 990)]
    assert growth_a_day(samples, 1_000, NOW) == 300
    assert growth_a_day(samples, 500, NOW) == -200


def test_samples_are_an_hour_apart_and_kept_for_a_week(tmp_path):
    """A node that is started again and again takes no more of them, and they survive it."""
    for minutes in range(0, 10 * 24 * 60, 20):
        add_sample(tmp_path, minutes, NOW + minutes * 60_000)
    samples = read_samples(tmp_path)
    assert 7 * 24 == len(samples)
    assert {HOUR} == {after[0] - before[0] for before, after in pairwise(samples)}


def test_samples_of_a_wrong_clock_are_forgotten(tmp_path):
    """A sample of the future does not keep true ones away."""
    add_sample(tmp_path, 1, NOW + 400 * DAY_MS)
    add_sample(tmp_path, 2, NOW)
    assert [(NOW, 2)] == read_samples(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"[[1]]", b"\xff"])
def test_damaged_samples_are_none(tmp_path, damage):
    """They are begun anew, and nothing else suffers."""
    (tmp_path / FILE).write_bytes(damage)
    assert [] == read_samples(tmp_path)
    add_sample(tmp_path, 2, NOW)
    assert [(NOW, 2)] == read_samples(tmp_path)


def test_each_part_of_a_home_is_counted(tmp_path):
    """Databases with their journals, tiles, engine, received and offered data; a missing part is nothing."""
    (tmp_path / "tally.toml").write_text('[node]\norganisation = "bank"\nrole = "replica"\n')
    home = Home(tmp_path)
    for name, size in (
        ("ledger.db", 10),
        ("ledger.db-wal", 5),
        ("office.db", 7),
        ("log/tile/0/000", 30),
        ("engine/data/blockstore.db/1.ldb", 200),
        ("inbox/a/b", 1_000),
        ("outbox/c", 1),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * size)
    use = disk_use(home)
    assert (15, 7, 30, 200, 1_001) == (use.ledger, use.office, use.log, use.engine, use.data)
    assert 1_253 == use.used
    assert use.free > 0
    assert use.growth_a_day is None
