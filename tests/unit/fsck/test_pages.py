"""Bytes of the raw file: what is not logically the same ledger any more is found, and nothing makes the checker fail."""

import sqlite3
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.store.schema import TABLES
from tests.support.damage import content
from tests.support.ledgers import check


def damaged(pristine, changes):
    """Return whether a file with some bytes changed says the same as before, and its report."""
    whole = bytearray((pristine / "ledger.db").read_bytes())
    before = content(pristine / "ledger.db")
    for at, bits in changes:
        whole[at % len(whole)] ^= bits
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        path.write_bytes(whole)
        return content(path) == before, check(path)


@settings(max_examples=300)
@given(st.integers(0, 2**20), st.integers(1, 255))
def test_changed_byte_of_the_file_is_found_unless_it_says_the_same(pristine, at, bits):
    """One byte anywhere: the ledger says the same as before, or there is a finding."""
    same, report = damaged(pristine, [(at, bits)])
    assert same or not report.ok


@settings(max_examples=100)
@given(st.data())
def test_changed_byte_of_a_recorded_value_is_found(pristine, data):
    """One byte of a value, changed where it stands in the file, is always found."""
    whole = (pristine / "ledger.db").read_bytes()
    connection = sqlite3.connect(pristine / "ledger.db")
    connection.text_factory = bytes
    values = [
        value
        for table, _, columns in TABLES
        for row in connection.execute(f'SELECT {", ".join(column for column, _, _ in columns)} FROM "{table}"')
        for value in row
        if isinstance(value, bytes) and len(value) > 40 and whole.count(value) == 1
    ]
    connection.close()
    value = data.draw(st.sampled_from(values))
    at = whole.index(value) + data.draw(st.integers(0, len(value) - 1))
    same, report = damaged(pristine, [(at, data.draw(st.integers(1, 255)))])
    assert not same
    assert not report.ok


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), min_size=2, max_size=200))
def test_many_changed_bytes_never_make_the_checker_fail(pristine, changes):
    """Whatever is left of a file, there is a report, and it is right."""
    same, report = damaged(pristine, changes)
    assert same or not report.ok


@settings(max_examples=50)
@given(st.binary(max_size=3_000), st.integers(0, 2**20))
def test_overwritten_pages_never_make_the_checker_fail(pristine, junk, at):
    """Junk written over a part of the file is reported."""
    whole = bytearray((pristine / "ledger.db").read_bytes())
    at %= len(whole)
    same, report = damaged(pristine, [(at + offset, byte) for offset, byte in enumerate(junk) if byte])
    assert same or not report.ok


@settings(max_examples=200)
@given(st.binary(max_size=20_000), st.integers(0, 100), st.booleans())
def test_garbage_instead_of_a_ledger_never_makes_the_checker_fail(pristine, junk, kept, homely):
    """Whatever bytes stand where a ledger should be, behind a good beginning or not, the answer is a finding."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        path.write_bytes((pristine / "ledger.db").read_bytes()[:kept] + junk)
        if homely:
            (Path(folder) / "zone.json").write_bytes(junk[:500])
            (Path(folder) / "ledger.db-wal").write_bytes(junk)
        report = check(Path(folder))
        assert not report.ok
        assert report.first.place
        assert "Traceback" not in str(report.first)
