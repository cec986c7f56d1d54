"""A ledger of format 1 is converted when it is opened for writing: all of it, or not at all."""

import shutil
import sqlite3
from contextlib import closing

import pytest

from tallystick.errors import StorageError
from tallystick.machine import Block, execute_block
from tallystick.store import LedgerStore, opening
from tallystick.store.converting import convert
from tests.support.ledgers import LedgerHome, check, make_home, note
from tests.support.older_ledgers import make_old
from tests.support.toy import RULEBOOK


def said(store):
    """Return all that a ledger answers of its blocks and history."""
    last = store.last_block()
    return (
        list(store.blocks(1)),
        list(store.leaves(0, last.size)),
        [store.find_operation(leaf) for leaf in range(last.size)],
        store.query("SELECT seq, height, id, organisation, first_leaf FROM transactions ORDER BY seq"),
        store.query("SELECT * FROM history ORDER BY leaf"),
        [store.find_transaction(identifier) for (identifier,) in store.query("SELECT id FROM transactions")],
    )


def everything(path):
    """Return all tables of a file and how they were made."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        schema = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return schema, {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in sorted(tables)}


@pytest.fixture
def old(tmp_path):
    """Return a home of format 1, and what its ledger said before."""
    home = make_home(tmp_path / "home")
    with closing(LedgerStore(home / "ledger.db", RULEBOOK, read_only=True)) as store:
        before = said(store)
    make_old(home / "ledger.db", RULEBOOK)
    return home, before


def test_converted_ledger_says_what_it_said(old):
    """Blocks, history and every transaction are as before, the checker accepts all of it, and the node goes on."""
    home, before = old
    with closing(LedgerStore(home / "ledger.db", RULEBOOK)) as store:
        assert 4 == store.converted
        assert before == said(store)
        state = store.load_state()
        result = execute_block(state, Block(state.height + 1, state.time, ()), RULEBOOK)
        store.commit_block(result, b"{}", b"[]")
    with closing(LedgerStore(home / "ledger.db", RULEBOOK)) as store:
        assert 0 == store.converted
        assert before[0] == list(store.blocks(1, 5))


def test_converted_ledger_passes_the_checker(old):
    """Tables, indexes and views are to the letter those of a new file."""
    home, _ = old
    LedgerStore(home / "ledger.db", RULEBOOK).close()
    report = check(home)
    assert report.ok, report.findings


def test_large_block_is_converted_in_several_bundles(tmp_path):
    """A block that one bundle does not hold comes back in order, and its transactions one by one."""
    home = LedgerHome(tmp_path / "home")
    home.write_trust()
    home.run([[("bank", [note(f"k{number}", "x" * 900)], True) for number in range(200)]])
    before = said(home.store)
    home.close()
    make_old(home.path, RULEBOOK)
    with closing(LedgerStore(home.path, RULEBOOK)) as store:
        assert before == said(store)
        assert 2 <= store.query("SELECT count(*) FROM bundles")[0][0] < 10
    assert check(home.folder).ok


def test_reader_names_the_remedy(old):
    """A file of format 1 that is opened for reading only is refused, with what to do, and stays as it was."""
    home, _ = old
    before = everything(home / "ledger.db")
    with pytest.raises(StorageError, match="its format is 1, this one reads 2") as caught:
        LedgerStore(home / "ledger.db", RULEBOOK, read_only=True)
    assert "tally node run" in caught.value.remedy
    assert before == everything(home / "ledger.db")
    assert "start the node once" in check(home).first.what


class Stopped:
    """A connection whose n-th statement from now fails as on a full disk; before that, the files are copied."""

    def __init__(self, connection, after, home, copy):
        self._connection, self._left, self._home, self._copy = connection, after, home, copy

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def _count(self, statement):
        if statement == "ROLLBACK":
            return
        self._left -= 1
        if self._left == 0:
            shutil.copytree(self._home, self._copy, ignore=shutil.ignore_patterns("*-shm"))
            raise sqlite3.OperationalError("database or disk is full")

    def execute(self, statement, *parameters):
        self._count(statement)
        return self._connection.execute(statement, *parameters)

    def executemany(self, statement, rows):
        self._count(statement)
        return self._connection.executemany(statement, rows)


def test_wherever_converting_stops_the_file_is_of_format_1(old, tmp_path):
    """A full disk at any statement, or a crash there, loses nothing; the next start converts."""
    home, before = old
    path = home / "ledger.db"
    pristine = everything(path)
    connection = opening.open_writer(path)
    # Every page that is written goes to the disk at once, so that a crash finds some of them there.
    connection.execute("PRAGMA cache_size = 1")
    stops = 0
    while True:
        stops += 1
        copy = tmp_path / f"crashed-{stops}"
        try:
            convert(Stopped(connection, stops, home, copy), path)
        except StorageError as error:
            assert "it stays as it was, of format 1" in error.message
            assert "Free disk space" in error.remedy
            assert pristine == everything(path)
            with closing(sqlite3.connect(copy / "ledger.db")) as crashed:
                assert ("1",) == crashed.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
            assert pristine == everything(copy / "ledger.db")
            with closing(LedgerStore(copy / "ledger.db", RULEBOOK)) as store:
                assert before == said(store)
        else:
            break
    connection.close()
    assert 20 < stops
    with closing(LedgerStore(path, RULEBOOK)) as store:
        assert before == said(store)
