"""`office.db`: rows come back as they were, writes are on disk, a bad file is a clear error."""

import os
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.errors import StorageError
from tallystick.office import OfficeDatabase
from tallystick.office.database import FORMAT, ApiKeyRow, EvidenceRow, NoteRow, SourceRow

TEXT = st.text(max_size=40).filter(lambda text: text.isprintable())
ROWS = st.builds(
    NoteRow,
    direction=st.sampled_from(["in", "out"]),
    commitment=TEXT,
    author=TEXT,
    recipient=TEXT,
    subject=TEXT,
    salt=st.binary(max_size=40),
    fields=st.dictionaries(TEXT, TEXT, max_size=4),
    sealed=st.binary(max_size=40),
    state=TEXT,
    reason=TEXT,
    created=st.integers(0, 2**62),
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "office.db"


def test_any_row_comes_back_as_it_was(path):
    """Text, bytes, numbers and mappings survive, whatever they hold."""
    database = OfficeDatabase(path)

    @given(row=ROWS)
    def put(row):
        database.put(row)
        assert row in database.rows(NoteRow, commitment=row.commitment)
        assert row == database.find(NoteRow, direction=row.direction, commitment=row.commitment, author=row.author)

    put()
    database.close()


def test_rows_of_tuples(path):
    """A row of a list of tuples comes back with tuples."""
    database = OfficeDatabase(path)
    row = EvidenceRow(root="r", salt=b"s", files=(("a", 1, "x"), ("b", 2, "y")), folder="/f", created=1)
    database.put(row)
    assert [row] == database.rows(EvidenceRow)
    database.close()


def test_put_replaces_by_key_and_counts(path):
    """A row with the same key takes the place of the one before."""
    database = OfficeDatabase(path)
    for created, place in ((1, "/a"), (2, "/b")):
        database.put(SourceRow(fingerprint="f", dataset="d", path=place, sidecar="s", created=created))
    assert (1, "/b") == (database.count(SourceRow), database.find(SourceRow, fingerprint="f").path)
    database.remove(SourceRow, dataset="other")
    assert 1 == database.count(SourceRow, dataset="d")
    database.remove(SourceRow, dataset="d")
    assert 0 == database.count(SourceRow)
    with pytest.raises(ValueError, match="name what"):
        database.remove(SourceRow)
    database.close()


def test_what_was_written_is_there_after_a_crash(path):
    """A process that never closed the file loses nothing that a method had returned from."""
    child = os.fork()
    if child == 0:
        OfficeDatabase(path).put(
            ApiKeyRow(id="i", name="n", hash=b"h", roles=("service",), scopes=("*",), created=1, expires=2)
        )
        os._exit(0)
    assert 0 == os.waitpid(child, 0)[1]
    database = OfficeDatabase(path)
    assert "n" == database.find(ApiKeyRow, id="i").name
    database.close()


def test_file_of_a_newer_version(path):
    """It is not touched, and the remedy is to upgrade."""
    OfficeDatabase(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(StorageError, match="newer version") as raised:
        OfficeDatabase(path)
    assert "Upgrade" in raised.value.remedy


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be one" * 100, b"\x00" * 4096])
def test_file_that_is_no_database(path, content):
    """A damaged file is named, with what to do."""
    path.write_bytes(content)
    with pytest.raises(StorageError) as raised:
        OfficeDatabase(path).rows(NoteRow)
    assert str(path) in raised.value.message
    assert raised.value.remedy


def test_folder_that_is_not_there(tmp_path):
    """A path that cannot be opened is named."""
    with pytest.raises(StorageError, match="cannot be used"):
        OfficeDatabase(tmp_path / "absent" / "office.db")


def test_disk_that_refuses_to_write(path):
    """A write that fails is an error with a remedy, and the rows before are as they were."""
    database = OfficeDatabase(path)
    row = SourceRow(fingerprint="f", dataset="d", path="/a", sidecar="s", created=1)
    database.put(row)
    database._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StorageError) as raised:
        database.put(SourceRow(fingerprint="f", dataset="d", path="/b", sidecar="s", created=2))
    assert "disk space" in raised.value.remedy
    database._connection.execute("PRAGMA query_only = 0")
    assert [row] == database.rows(SourceRow)
    database.close()
