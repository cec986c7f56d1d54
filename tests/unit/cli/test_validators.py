"""Promotion, growing, announcing an engine and repairing, as the commands say and do it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tallystick.node.config import load_settings
from tallystick.node.engine_home import make_engine_keys, read_engine_keys
from tests.support.nodes import make_zone
from tests.unit.cli.conftest import Tally
from tests.unit.cli.simulated_zone import HOSPITAL, UNIVERSITY, SimulatedZone

LISTEN = "127.0.0.1:26656"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the hospital's node; the engine counts as installed."""
    monkeypatch.setattr("tallystick.cli.node_engine.ensure_engine", lambda _: None)
    return make_zone(tmp_path / "zone", HOSPITAL).home.path


@pytest.mark.parametrize(("verb", "said"), [("promote", "is a validator"), ("demote", "is no validator any more")])
def test_members_vote_on_who_validates(verb: str, said: str, zone: SimulatedZone, tally: Tally) -> None:
    """A vote is recorded, counted, and says what it has come to."""
    ran = tally("organisation", verb, UNIVERSITY)

    assert (0, f"{verb}_validator") == (ran.code, zone.history[-1].type)
    assert f"{UNIVERSITY} {said}: 1 vote of 1." in ran.out
    assert ran.next == f"tally organisation show {UNIVERSITY}"
    assert tally("organisation", verb, UNIVERSITY, "--json").json["carried"]


def test_all_agree_before_a_zone_grows(zone: SimulatedZone, tally: Tally) -> None:
    """The first agreement tells that the others' are needed; the last one what follows, and what too few validators mean."""
    zone.promote(UNIVERSITY)
    first, last = tally("zone", "grow"), tally("zone", "grow")

    assert "Agreed: 1 of 2 validators; all of them must." in first.out
    assert first.next.startswith("tally zone grow")
    assert "The 2 validators order together after block 3." in last.out
    assert "four bear the loss of one" in last.out
    assert "tally receipt refresh FILE" in last.out
    assert last.next == "tally zone status"


def test_engine_is_announced_once(zone: SimulatedZone, tally: Tally, home: Path) -> None:
    """The keys are made and announced, and the configuration has the address; a second time nothing is recorded."""
    typed = ("node", "validate", "--listen", LISTEN, "--address", "node.hospital.example:26656", "--home", str(home))
    ran = tally(*typed)

    identity = read_engine_keys(home / "keys")
    assert ran.code == 0, ran.err
    assert identity.consensus.hex() in ran.out
    assert f"tally node status --home {home}" == ran.next
    engine = zone.organisation(HOSPITAL).engine
    assert engine is not None
    assert (engine.node, engine.address) == (identity.node, "node.hospital.example:26656")
    assert LISTEN == load_settings(home, {}).engine.listen
    again = tally(*typed, "--json").json
    assert (None, identity.node, True) == (again["recorded"], again["node"], again["validates"])
    assert "proof" not in again
    assert ["set_engine"] == [each.type for each in zone.history]


def test_engine_of_who_has_no_vote_waits_for_votes(tally: Tally, zone: SimulatedZone, home: Path) -> None:
    """Who is no validator yet is told what the validators type, with its own name."""
    zone.demote(HOSPITAL)
    ran = tally("node", "validate", "--listen", LISTEN, "--home", str(home))

    assert ran.next.startswith(f"tally organisation promote {HOSPITAL}")


@pytest.mark.usefixtures("zone")
def test_engine_that_cannot_be_announced(tally: Tally, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is none, a key whose last vote nobody knows, and a node that is elsewhere: each with its remedy."""
    ran = tally("node", "validate", "--listen", "no-port", "--home", str(home))
    assert (2, True) == (ran.code, "host:port" in ran.err)
    make_engine_keys(home / "keys")
    (home / "keys" / "engine" / "last-signed.json").unlink()
    ran = tally("node", "validate", "--listen", LISTEN, "--home", str(home))
    assert (True, True) == (ran.code != 0, "tally node repair" in ran.err)
    monkeypatch.setenv("TALLY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TALLY_API_KEY", "x")
    assert "on the machine of the node" in tally("node", "validate", "--listen", LISTEN).err


def test_engine_is_shown_with_its_member(zone: SimulatedZone, tally: Tally) -> None:
    """Address and key of an announced engine; nothing where there is none."""
    assert "engine:" not in tally("organisation", "show", HOSPITAL).out
    zone.set_engine("11" * 32, "22" * 20, LISTEN, "33" * 64)
    assert f"{LISTEN}, key {'11' * 32}" in tally("organisation", "show", HOSPITAL).out


def test_whole_home_needs_no_repair(tally: Tally, home: Path) -> None:
    """It says so, and names the command that looks at everything."""
    ran = tally("node", "repair", "--home", str(home))

    assert (0, f"tally ledger check --home {home}") == (ran.code, ran.next)
    assert "Nothing is to be repaired" in ran.out
    assert [] == tally("node", "repair", "--home", str(home), "--json").json["done"]


def test_lost_ledger_is_prepared_anew(tally: Tally, home: Path) -> None:
    """What was done is told in sentences, and the node is started next; without its genesis nothing is done."""
    (home / "ledger.db").unlink()
    genesis = (home / "genesis.json").read_bytes()
    (home / "genesis.json").unlink()
    ran = tally("node", "repair", "--home", str(home))
    assert (True, True) == (ran.code != 0, "Copy it from another member" in ran.err)

    (home / "genesis.json").write_bytes(genesis)
    ran = tally("node", "repair", "--home", str(home), "--json")
    assert ran.code == 0
    assert any("An empty ledger is in its place" in line for line in json.loads(ran.out)["done"])
    assert (home / "ledger.db").is_file()


def test_home_that_is_none(tally: Tally, tmp_path: Path) -> None:
    """A folder without a node is named with the remedy."""
    ran = tally("node", "repair", "--home", str(tmp_path / "nowhere"))
    assert (True, True) == (ran.code != 0, "there is no node at" in ran.err)
