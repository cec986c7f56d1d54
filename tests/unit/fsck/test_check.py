"""The checker as a whole: what it accepts, what it refuses, and that it only reads."""

import json
import os
import shutil
import sqlite3
import zlib
from contextlib import closing

import pytest

from tallystick.codec import encode_json
from tallystick.codec.bundles import decode_bundle, encode_bundle
from tallystick.fsck import Report, check_home
from tallystick.store import LedgerStore
from tallystick.store.bundles import place_of
from tallystick.store.schema import INDEXES, TABLES
from tests.support.ledgers import GENESIS, MEMBERSHIP, LedgerHome, check, note
from tests.support.toy import MODULE, NOTES, RULEBOOK, Toy


def alter(home, *statements):
    connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def places(report):
    return [finding.place for finding in report.findings]


def test_good_home_passes_with_its_counts(pristine):
    """A home as the engine made it has no findings."""
    assert Report((), True, 5, 5, 8, 4, 13, 5) == check(pristine)


def test_checking_changes_nothing(home):
    """Every file that was there is as it was."""

    def contents():
        return {path: path.read_bytes() for path in home.rglob("*") if path.is_file() and "db-" not in path.name}

    before = contents()
    assert check(home).ok
    assert before == contents()


def test_copy_of_the_file_alone_is_checked(pristine, tmp_path):
    """A ledger file is enough, wherever it is and whatever it is called."""
    shutil.copy(pristine / "ledger.db", tmp_path / "copy.sqlite")
    assert check(tmp_path / "copy.sqlite").ok
    alter_path = tmp_path / "home"
    alter_path.mkdir()
    shutil.copy(pristine / "ledger.db", alter_path / "ledger.db")
    assert check(alter_path).ok


def test_ledger_is_checked_while_its_node_writes(tmp_path):
    """The check sees one moment, however much is written meanwhile, and a copy with its write-ahead log is whole."""
    made = LedgerHome(tmp_path / "home")
    made.write_trust()
    made.run([[("bank", [note(f"a{number}")], True)] for number in range(40)])
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(made.folder / name, copy / name)
    seen = []

    def write(done, total):
        if not seen:
            made.run([[("bank", [note(f"b{number}")], True)] for number in range(20)])
        seen.append((done, total))

    assert 40 == check(made.folder, progress=write).blocks
    assert (40, 40) == seen[-1]
    assert check(made.folder).ok
    assert 60 == check(made.folder).blocks
    made.close()
    report = check(copy)
    assert (True, 40) == (report.ok, report.blocks)


def test_progress_reaches_the_total(home):
    """Progress ends at all blocks."""
    calls = []
    assert check(home, progress=lambda done, total: calls.append((done, total))).ok
    assert (5, 5) == calls[-1]


def test_ledger_without_blocks_is_good(tmp_path):
    """A new home has nothing but its genesis, and that is checked."""
    made = LedgerHome(tmp_path / "home")
    made.close()
    report = check(made.folder)
    assert (True, 0, 3) == (report.ok, report.blocks, report.records)
    alter(made.folder, "UPDATE records SET value = replace(value, 'service', 'servicf')")
    assert "records row 2" in check(made.folder).first.place


@pytest.mark.parametrize("data", [b"", b"not a database" * 500, b"SQLite format 3\x00" + b"\x00" * 5_000, None])
def test_what_is_no_ledger_gets_a_finding(tmp_path, data):
    """No file, an empty one and one of something else are findings, not errors."""
    if data is not None:
        (tmp_path / "ledger.db").write_bytes(data)
    report = check(tmp_path)
    assert (False, False) == (report.ok, report.complete)
    assert report.first.place in (
        "ledger.db",
        "schema: table blocks",
        "schema: index blocks_size",
        "table sqlite_master",
    )


def test_every_length_of_file_gets_a_report(home):
    """A file cut off anywhere, and one with its pages swapped, is reported."""
    whole = (home / "ledger.db").read_bytes()
    pages = [whole[at : at + 4_096] for at in range(0, len(whole), 4_096)]
    for cut in range(0, len(whole), 1_500):
        (home / "ledger.db").write_bytes(whole[:cut])
        assert not check(home).ok
    for at in range(1, len(pages) - 1):
        swapped = [*pages[:at], pages[at + 1], pages[at], *pages[at + 2 :]]
        (home / "ledger.db").write_bytes(b"".join(swapped))
        assert not check(home).ok


@pytest.mark.parametrize("table", [name for name, _, _ in TABLES])
def test_missing_table_is_named(home, table):
    """A table that is gone is named."""
    alter(home, f'DROP TABLE "{table}"')
    assert f"schema: table {table}" in places(check(home))


@pytest.mark.parametrize("index", [statement.split()[statement.split().index("INDEX") + 1] for statement in INDEXES])
def test_missing_index_is_named(home, index):
    """An index that is gone is named."""
    alter(home, f"DROP INDEX {index}")
    assert [f"schema: index {index}"] == places(check(home))


@pytest.mark.parametrize(
    ("statements", "place"),
    [
        (["CREATE TABLE extra(a)"], "schema: table extra"),
        (["CREATE TRIGGER sly AFTER INSERT ON blocks BEGIN SELECT 1; END"], "schema: trigger sly"),
        (["DROP VIEW notes"], "schema: view notes"),
        (["DROP VIEW notes", "CREATE VIEW notes AS SELECT 1"], "schema: view notes"),
        (["DROP TABLE events", "CREATE TABLE events(seq INTEGER PRIMARY KEY, leaf, body)"], "schema: table events"),
        (
            ["DROP TABLE events", "CREATE VIEW events AS SELECT 1 AS seq, 0 AS leaf, 'x' AS body"],
            "schema: table events",
        ),
        (["ALTER TABLE blocks ADD COLUMN more TEXT"], "schema: table blocks"),
        (["UPDATE meta SET value = '3' WHERE name = 'format'"], "meta row format: column value"),
        (["UPDATE meta SET value = '1' WHERE name = 'format'"], "meta row format: column value"),
    ],
)
def test_other_schema_or_format_is_named(home, statements, place):
    """Tables, views and triggers are exactly those of the format."""
    alter(home, *statements)
    assert place in places(check(home))


def test_every_damaged_record_is_reported(home):
    """Damage that does not stop replay is reported in full, in the order of rows."""
    alter(
        home,
        "UPDATE records SET value = replace(value, 'hello', 'jello') WHERE collection = 'notes'",
        "DELETE FROM records WHERE collection = 'usage' AND key = 'clinic'",
    )
    found = places(check(home))
    assert 3 < len(found)
    assert any("(notes/a): column value" in place for place in found)
    assert any("(usage/clinic)" in place for place in found)


def test_consistent_lie_is_found(home):
    """A record changed together with every root that SQLite holds still fails: the header is signed."""
    alter(
        home,
        "UPDATE operations SET outcome = 0 WHERE outcome = 9001",
        "UPDATE blocks SET state_root = zeroblob(32)",
    )
    assert check(home).first.place.startswith("block 1: ")


def test_first_damaged_block_is_named_and_later_ones_are_not_looked_at(home):
    """Replay stops where it can no longer know what should come next."""
    alter(
        home, "UPDATE operations SET outcome = 1 WHERE leaf IN (1, 5)", "UPDATE blocks SET size = 99 WHERE height = 5"
    )
    report = check(home)
    assert (False, 1) == (report.complete, len(report.findings))
    assert "block 2: operations row 1: column outcome" == report.first.place
    assert ("0", "1") == (report.first.expected, report.first.found)
    assert (1, 1) == (report.blocks, report.operations)


def test_swapped_transactions_are_found(home):
    """Two good transactions in each other's place are found, although each is signed."""
    connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
    place = place_of(3, 0)
    (bundle,) = connection.execute("SELECT bytes FROM bundles WHERE place = ?", (place,)).fetchone()
    swapped = encode_bundle(reversed(decode_bundle(bundle)))
    connection.execute("UPDATE bundles SET bytes = ? WHERE place = ?", (swapped, place))
    connection.close()
    report = check(home)
    assert f"block 3: bundles row {place}: column bytes" == report.first.place
    assert "not those that the header names" in report.first.what


def test_bundles_may_be_cut_and_compressed_in_other_ways(home):
    """What a bundle holds counts, and not how: the checker and every reader find the same transactions."""
    before = stored_blocks(home)
    connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
    for place, bundle in connection.execute("SELECT place, bytes FROM bundles").fetchall():
        data = zlib.decompress(bundle)
        connection.execute("UPDATE bundles SET bytes = ? WHERE place = ?", (zlib.compress(data, 9), place))
        if place == place_of(3, 0):
            first, second = decode_bundle(bundle)
            connection.execute("UPDATE bundles SET bytes = ? WHERE place = ?", (encode_bundle([first]), place))
            connection.execute("INSERT INTO bundles VALUES (?, ?)", (place + 1, encode_bundle([second])))
    connection.close()
    assert check(home).ok
    assert before == stored_blocks(home)


def test_missing_bundle_of_several_is_named(home):
    """Of a block in several bundles the one that is missing is named."""
    connection = sqlite3.connect(home / "ledger.db", isolation_level=None)
    place = place_of(3, 0)
    (bundle,) = connection.execute("SELECT bytes FROM bundles WHERE place = ?", (place,)).fetchone()
    second = decode_bundle(bundle)[1]
    connection.execute(
        "UPDATE bundles SET place = ?, bytes = ? WHERE place = ?", (place + 1, encode_bundle([second]), place)
    )
    connection.close()
    report = check(home)
    assert f"block 3: bundles row {place}: column place" == report.first.place
    assert "missing" in report.first.what


def stored_blocks(home):
    """Return all blocks with their transactions."""
    with closing(LedgerStore(home / "ledger.db", RULEBOOK, read_only=True)) as store:
        return list(store.blocks(1))


def test_refused_transaction_in_a_block_is_found(tmp_path):
    """An orderer that puts an expired transaction into a block has broken the rules, whatever it signed."""
    made = LedgerHome(tmp_path / "home")
    made.write_trust()
    made.rogue_block([made.toy.sign("bank", note("a"))])
    assert check(made.folder).ok
    made.rogue_block([made.toy.sign("bank", note("b"), expires=1)])
    made.close()
    report = check(made.folder)
    assert f"block 2: bundles row {place_of(2, 0)}: column bytes" == report.first.place
    assert "the rules refuse transaction 0 of the block: expired" == report.first.what


def test_transaction_that_saw_another_history_is_found(tmp_path):
    """A block that includes a transaction whose author saw another history does not pass, though all is signed."""
    made = LedgerHome(tmp_path / "home")
    made.write_trust()
    made.rogue_block([made.toy.sign("bank", note("a"))])
    made.rogue_block([made.toy.sign("bank", note("b"), seen=(1, b"x" * 32))])
    made.close()
    report = check(made.folder)
    assert f"block 2: bundles row {place_of(2, 0)}: column bytes" == report.first.place
    assert "another history of size 1" in report.first.what


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"time": 999}, "its time goes back"),
        ({"previous": "00" * 32}, "does not continue"),
        ({"chain": "toy-00000001"}, "of the zone toy-00000001"),
        ({"app_hash": "00" * 32}, "another outcome"),
        ({"transactions_root": "00" * 32}, "not those that the header names"),
    ],
)
def test_lying_orderer_is_found(tmp_path, change, what):
    """A header that its orderer signed must still say what is."""
    made = LedgerHome(tmp_path / "home")
    made.write_trust()
    made.rogue_block([made.toy.sign("bank", note("a"))], time=2_000)
    made.rogue_block([made.toy.sign("bank", note("b"))], time=3_000, lie=change)
    made.close()
    report = check(made.folder)
    assert 1 == report.blocks
    assert report.first.place.startswith("block 2: ")
    assert what in report.first.what


def test_header_of_another_key_is_found(tmp_path):
    """A block that somebody else signed does not pass."""
    made = LedgerHome(tmp_path / "home")
    made.write_trust()
    made.rogue_block([made.toy.sign("bank", note("a"))], signers=("clinic",))
    made.close()
    assert "block 1: blocks row 1: column signatures" == check(made.folder).first.place


def test_broken_invariant_is_reported(home):
    """Each sentence of a module's invariants is a finding."""
    import dataclasses

    def no_notes(state):
        return [f"notes/{key}: there should be none" for key, _ in state.scan(NOTES)]

    rules = dataclasses.replace(RULEBOOK, modules=(dataclasses.replace(MODULE, invariants=(no_notes,)),))
    report = check_home(home, rules, lambda _: Toy(genesis=GENESIS).records(), membership=MEMBERSHIP)
    assert ["invariants of notes"] * 4 == places(report)
    assert "notes/a" in report.first.what


def test_genesis_that_cannot_be_read_is_named(home):
    """Whatever reading a genesis raises becomes a finding."""

    def refuse(data):
        raise ValueError("no good")

    report = check_home(home, RULEBOOK, refuse, membership=MEMBERSHIP)
    assert "meta row genesis: column value" == report.first.place


@pytest.mark.parametrize("where", range(12))
def test_any_changed_byte_of_the_trust_file_is_found(home, where):
    """A byte of zone.json changed anywhere is found there, and the ledger itself is still checked."""
    data = (home / "zone.json").read_bytes()
    step = len(data) // 12 + 1
    for at in range(where * step, min(len(data), (where + 1) * step), 7):
        (home / "zone.json").write_bytes(data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :])
        report = check(home)
        assert report.first.place.startswith("zone.json"), at
        assert 5 == report.blocks


def test_trust_file_of_another_zone_is_found(home, tmp_path):
    """A good zone.json of another genesis does not pass."""
    data = json.loads((home / "zone.json").read_bytes())
    data["versions"] = []
    (home / "zone.json").write_bytes(encode_json(data))
    assert check(home).first.place.startswith("zone.json")


def test_large_state_uses_a_bounded_tree(pristine, monkeypatch):
    """Replay gives the same roots when almost none of the state tree fits into its memory."""
    from tallystick.fsck import replayed

    monkeypatch.setattr(replayed.Replayed.__init__, "__kwdefaults__", {"tree_bytes": 300})
    assert check(pristine).ok


def test_folder_that_cannot_be_written_is_no_obstacle(pristine, tmp_path, monkeypatch):
    """Where SQLite may not make the files of a shared log, the file is read as it is."""
    from tallystick.fsck import source

    tried = []
    connect = source._connect

    def refuse(path, options):
        tried.append(options)
        if "immutable" not in options:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path, options)

    monkeypatch.setattr(source, "_connect", refuse)
    shutil.copy(pristine / "ledger.db", tmp_path / "ledger.db")
    assert check(tmp_path).ok
    assert ["mode=ro", "mode=ro&immutable=1"] == tried
    (tmp_path / "ledger.db-wal").write_bytes(b"x")
    assert "ledger.db" == check(tmp_path).first.place


def test_reopened_store_still_works_after_a_check(home):
    """The node starts on a home that was checked."""
    assert check(home).ok
    store = LedgerStore(home / "ledger.db", RULEBOOK)
    assert 5 == store.load_state().height
    store.close()
    assert os.path.exists(home / "ledger.db")
