"""Homes whose files are gone, damaged or newer than the program: each is named with its remedy, and nothing is lost by it.

What a person sees is what the command line and the node's log say; neither ever shows a stack trace. A repair puts aside
and never deletes, leaves alone what a newer program wrote, and never touches what an engine's key signed last.
"""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tallystick.node import network
from tallystick.node.homes import Home
from tests.support.components import require
from tests.support.nodes import PASSPHRASE, RunningNode, make_zone, wait_for

pytestmark = pytest.mark.timeout(600)
TALLY = [sys.executable, "-m", "tallystick.cli"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}


def tally(*words, home, code):
    """Run a command on a home that must end with this code; return what it wrote."""
    ran = subprocess.run([*TALLY, *words, "--home", str(home.path)], capture_output=True, text=True, env=ENVIRONMENT)
    assert code == ran.returncode, (words, ran.returncode, ran.stdout, ran.stderr)
    assert "Traceback" not in ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The home of a zone of one, with some blocks, stopped; not to be changed."""
    folder = tmp_path_factory.mktemp("model")
    node = make_zone(folder)
    with node:
        for number in range(4):
            (folder / "note").write_text(str(number))
            tally(
                "evidence", "record", str(folder / "note"), "--out", str(folder / f"p{number}"), home=node.home, code=0
            )
    with closing(sqlite3.connect(node.home.ledger_path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return node.home


def emptied(path):
    path.write_bytes(b"")


def gone(path):
    path.unlink()


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // 4_096 * 4_096])


def overwritten(path):
    path.write_bytes(random.Random(5).randbytes(8_192) + path.read_bytes()[8_192:])


def with_holes(path):
    data = bytearray(path.read_bytes())
    for page in range(2, len(data) // 4_096):
        data[page * 4_096 : page * 4_096 + 200] = bytes(200)
    path.write_bytes(data)


def with_another_value(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE records SET value = replace(value, 'City', 'Pity')")
        connection.commit()


def without_its_beginning(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM meta WHERE name = 'chain'")
        connection.commit()


def newer(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'format'")
        connection.commit()


DAMAGE = {
    emptied: "is damaged: no such table",
    gone: "there is no ledger at",
    truncated: "is damaged: database disk image is malformed",
    overwritten: "is damaged: file is not a database",
    with_holes: "is damaged",
    with_another_value: "does not match its own last block",
    without_its_beginning: "is damaged: its meta table is not what any version writes",
}


def said_by_node(home, wanted):
    """Run the node until its log says this; stop it; return the log."""
    node = RunningNode(home, PASSPHRASE)
    node.launch()
    try:
        wait_for(lambda: wanted in node.log(), f"{wanted!r} in the log:\n{node.log()}")
    finally:
        node.stop()
    return node.log()


@pytest.mark.parametrize("harm", DAMAGE, ids=lambda harm: harm.__name__)
def test_damaged_ledger_is_named_with_its_remedy_and_repaired(model, tmp_path, harm):
    """The node says what is wrong and what to type; that puts the file aside, and signs nothing until it is filled."""
    home = Home(shutil.copytree(model.path, tmp_path / "home", ignore=shutil.ignore_patterns("*-shm", "*.sock")))
    harm(home.ledger_path)
    harmed = home.ledger_path.read_bytes() if home.ledger_path.exists() else None
    log = said_by_node(home, DAMAGE[harm])
    assert "tally node repair" in log
    assert "Traceback" not in log
    tally("ledger", "check", home=home, code=2 if harm is gone else 1)
    assert "An empty ledger is in its place" in tally("node", "repair", home=home, code=0)
    kept = [path.read_bytes() for path in home.path.glob("ledger.db.damaged-*")]
    assert ([] if harmed is None else [harmed]) == kept
    assert "Nothing is to be repaired" in tally("node", "repair", home=home, code=0)
    assert home.is_restored


def test_ledger_of_a_newer_program_is_refused_and_not_repaired(model, tmp_path):
    """An older program says which version to use, and leaves the file as it is, even when told to repair it."""
    home = Home(shutil.copytree(model.path, tmp_path / "home", ignore=shutil.ignore_patterns("*-shm", "*.sock")))
    newer(home.ledger_path)
    log = said_by_node(home, "newer version of Tallystick")
    assert "Use the version that wrote it" in log
    assert "newer version of Tallystick" in tally("node", "repair", home=home, code=3)
    assert not list(home.path.glob("*.damaged-*"))
    with closing(sqlite3.connect(home.ledger_path)) as connection:
        assert [("99",)] == connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchall()


def test_office_file_of_a_newer_program_is_refused(model, tmp_path):
    """The organisation's own file is not touched by a program that does not know its format."""
    home = Home(shutil.copytree(model.path, tmp_path / "home", ignore=shutil.ignore_patterns("*-shm", "*.sock")))
    with closing(sqlite3.connect(home.path / "office.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    log = said_by_node(home, "office.db was made by a newer version of Tallystick")
    assert "Upgrade this node" in log


def test_lost_last_signed_state_retires_the_engines_key(tmp_path):
    """A validator that does not know what it signed last never signs with that key again: it gets a new one."""
    require("cometbft")
    home = network.create_network(tmp_path / "net", validators=4)[0]
    signed = home.keys_path / "engine" / "last-signed.json"
    key = (home.keys_path / "engine" / "consensus-key.json").read_bytes()
    signed.unlink()
    node = RunningNode(home, (tmp_path / "net" / "passphrase").read_text().strip())
    node.launch()
    try:
        wait_for(lambda: "does not know what it signed last" in node.log(), "the refusal")
    finally:
        node.stop()
    assert "tally node repair" in node.log()
    assert not signed.exists()
    assert "never used again" in tally("node", "repair", home=home, code=0)
    assert not (home.keys_path / "engine").exists()
    assert key == (home.keys_path / "engine-retired-1" / "consensus-key.json").read_bytes()
    assert "replica" == Home(home.path).settings.node.role


def test_repair_leaves_what_was_signed_last_alone(tmp_path):
    """Fetching the engine's blocks anew, or the ledger, changes nothing in the folder of the engine's keys."""
    home = network.create_network(tmp_path / "net", validators=4)[0]
    folder = home.keys_path / "engine"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    home.ledger_path.unlink()
    tally("node", "repair", "--engine", home=home, code=0)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
