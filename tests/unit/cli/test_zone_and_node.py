"""Making a zone, inviting, and what needs no running node; and how a running one is shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from tallystick.node.homes import Home
from tallystick.node.inspection import operations_about, own_card
from tallystick.views import DiskUse, EngineHealth, Misconduct, ProcessHealth
from tests.support.market import offer
from tests.support.recorded import RecordedZone, make_recorded_home
from tests.unit.cli.conftest import Tally
from tests.unit.cli.simulated_zone import HOSPITAL, NOW, UNIVERSITY, SimulatedZone

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALLY_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def made(tally: Tally) -> Path:
    """The home of a new zone's first node."""
    ran = tally(
        "zone", "create", "home", "--name", "Health Zone", "--organisation", HOSPITAL, "--address", "127.0.0.1:7071"
    )
    assert (ran.code, ran.next) == (0, "tally node run --home home")
    return Path("home")


def test_a_zone_is_made_and_others_are_invited(made: Path, tally: Tally) -> None:
    """The invitation is a new file with nothing secret in it, and says what to type on both machines."""
    ran = tally("zone", "invite", UNIVERSITY, "--home", "home")

    assert ran.code == 0
    assert f"  tally node join {UNIVERSITY}.invitation.json --address HOST:PORT" in ran.out
    assert ran.next.startswith("tally organisation list --home home")
    invitation = json.loads(Path(f"{UNIVERSITY}.invitation.json").read_text())
    assert sorted(invitation) == ["chain", "genesis", "invited", "inviter", "nodes", "trust", "v"]
    assert tally("zone", "invite", UNIVERSITY, "--home", "home").code == 2


def test_names_that_cannot_be_are_refused(made: Path, tally: Tally) -> None:
    """A taken folder, an id that is none and a member that is one already are bad usage."""
    assert tally("zone", "create", "home", "--name", "Z", "--organisation", HOSPITAL).code == 2
    assert tally("zone", "create", "new", "--name", "Z", "--organisation", "No Id").code == 2
    assert not Path("new").exists()
    assert tally("zone", "invite", HOSPITAL, "--home", "home").code == 2
    assert tally("zone", "invite", "No Id", "--home", "home").code == 2


def test_a_passphrase_is_needed(tally: Tally, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one no home is made."""
    monkeypatch.delenv("TALLY_PASSPHRASE")

    assert tally("zone", "create", "home", "--name", "Z", "--organisation", HOSPITAL).code == 1
    assert not Path("home").exists()


@pytest.mark.parametrize(
    "verb", [("node", "status"), ("zone", "status"), ("dataset", "list"), ("organisation", "show")]
)
def test_a_node_that_does_not_run_is_trouble(verb: tuple[str, ...], made: Path, tally: Tally) -> None:
    """Exit code 3, and how to start it."""
    ran = tally(*verb, "--home", "home")

    assert (ran.code, ran.out) == (3, "")
    assert "tally node run --home home" in ran.err


def test_a_wrong_passphrase_is_told_before_anything_starts(
    made: Path, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`tally node run` refuses with exit code 1 rather than failing in a child."""
    monkeypatch.setenv("TALLY_PASSPHRASE", "something else entirely")

    assert tally("node", "run", "--home", "home").code == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"chain":"x"}'])
def test_what_is_no_invitation_makes_no_home(content: bytes, tally: Tally) -> None:
    """Joining with anything else is bad usage, and leaves nothing behind."""
    Path("i.json").write_bytes(content)

    assert tally("node", "join", "i.json", "--home", "new").code == 2
    assert not Path("new").exists()


def test_joining_a_node_that_does_not_answer_leaves_nothing(made: Path, tally: Tally) -> None:
    """Exit code 3 with the addresses that were tried."""
    tally("zone", "invite", UNIVERSITY, "--home", "home", "--out", "i.json")

    ran = tally("node", "join", "i.json", "--home", "new")

    assert ran.code == 3
    assert "127.0.0.1:7071" in ran.err or HOSPITAL in ran.err
    assert not Path("new").exists()


def test_a_home_is_backed_up_and_put_back(made: Path, tally: Tally) -> None:
    """A backup says what is in it; a restored home is checked, and a taken place refused."""
    backup = tally("node", "backup", "b.tally", "--home", "home")
    restored = tally("node", "restore", "b.tally", "--home", "again", "--json")

    assert "It was read back and is whole." in backup.out
    assert backup.next.startswith("tally node restore b.tally --home NEWHOME")
    assert restored.json["organisation"] == HOSPITAL
    assert tally("node", "restore", "b.tally", "--home", "again").code == 2
    assert tally("node", "backup", "b.tally", "--home", "home").code == 2


def test_a_ledger_is_checked_and_written_out(tmp_path: Path, tally: Tally) -> None:
    """A whole ledger exits 0; a damaged one exits 1 and names the place."""
    home = make_recorded_home(tmp_path / "recorded")

    good = tally("ledger", "check", "--home", str(home))
    written = tally("ledger", "export", "--home", str(home), "--out", "history.jsonl")

    assert (good.code, good.out.startswith("All of it holds:")) == (0, True)
    lines = Path("history.jsonl").read_text().splitlines()
    assert f"{len(lines)} operations." in written.out.replace(",", "")
    assert [json.loads(line)["leaf"] for line in lines] == list(range(len(lines)))
    assert tally("ledger", "export", "--home", str(home), "--out", "history.jsonl").code == 2

    data = bytearray((home / "ledger.db").read_bytes())
    place = data.index(b'"evidence_recorded"')
    data[place + 3] ^= 1
    (home / "ledger.db").write_bytes(data)
    bad = tally("ledger", "check", "--home", str(home))

    assert bad.code == 1
    assert "first damaged place: " in bad.err
    assert tally("ledger", "check", "--home", "nowhere").code == 2


VECTORS = Path(__file__).parents[2] / "vectors" / "proofs"


def test_a_fork_proof_is_checked_with_the_trust_file_alone(tally: Tally) -> None:
    """One that holds exits 1 and names the culprit; one that proves nothing exits 1 too, and says so."""
    zone = str(VECTORS / "zone.json")

    holds = tally("ledger", "compare", str(VECTORS / "headers.fork.json"), "--zone", zone)
    nothing = tally("ledger", "compare", str(VECTORS / "refused-agreeing.fork.json"), "--zone", zone)

    assert (holds.code, "The proof holds." in holds.out) == (1, True)
    assert "city" in holds.err
    assert (nothing.code, nothing.out) == (1, "")
    assert "proves nothing" in nothing.err


def test_a_checkpoint_is_compared_with_a_copy(tmp_path: Path, tally: Tally) -> None:
    """A member's own checkpoint is of the same history; one of another zone is refused."""
    home = make_recorded_home(tmp_path / "recorded")
    configure(home)

    same = tally("ledger", "compare", str(home / "log" / "checkpoint"), "--home", str(home))
    other = tally("ledger", "compare", str(VECTORS / "checkpoint.txt"), "--home", str(home))

    assert (same.code, same.next) == (0, f"tally ledger check --home {home}")
    assert "the very history that this copy has" in same.out
    assert other.code == 1


def test_kept_fork_proofs_are_written_out(tmp_path: Path, tally: Tally) -> None:
    """Each is a new file that anybody can check; a node without any says so."""
    zone = RecordedZone(tmp_path / "recorded")
    offer(zone)
    configure(zone.folder)
    none = tally("ledger", "forks", "--home", str(zone.folder))
    zone.keep_fork()
    zone.close()

    kept = tally("ledger", "forks", "--out", "proofs", "--home", str(zone.folder), "--json")

    assert (none.code, none.err) == (0, "")
    assert (kept.code, len(kept.err.splitlines())) == (1, 1)
    (row,) = kept.json
    checked = tally("ledger", "compare", row["file"], "--zone", str(zone.folder / "zone.json"))
    assert "The proof holds." in checked.out
    assert (
        tally("ledger", "forks", "--out", "proofs", "--home", str(zone.folder), "--json").json[0]["file"] != row["file"]
    )


def configure(home: Path) -> None:
    """Give a recorded ledger what makes it a node's home."""
    (home / "tally.toml").write_text(f'[node]\norganisation = "{HOSPITAL}"\nrole = "orderer"\n')


def test_operations_about_a_thing_are_found_in_a_copy(tmp_path: Path) -> None:
    """The history of a request, an agreement or a delivery is found by its id, newest first, and of nothing else."""
    home = make_recorded_home(tmp_path / "recorded")
    requests = {each["event"]["request"] for each in _events(home) if each["event"]["type"] == "request_approved"}

    for request in requests:
        found = operations_about(home, "request", request, ("request_",))
        assert found[0].type == "approve_request"
        assert found[-1].type == "send_request"
        assert [each.leaf for each in found] == sorted((each.leaf for each in found), reverse=True)
    assert requests
    assert operations_about(home, "request", "req-%", ("request_",)) == []
    assert operations_about(home, "request", next(iter(requests)), ("agreement_",)) == operations_about(
        home, "request", next(iter(requests)), ("agreement_made",)
    )


def _events(home: Path) -> list[dict[str, dict[str, str]]]:
    import sqlite3

    with sqlite3.connect(home / "ledger.db") as database:
        return [{"event": json.loads(body)} for (body,) in database.execute("SELECT body FROM events")]


def test_a_home_has_no_card_where_it_did_not_join(made: Path) -> None:
    """A founder has no card to compare."""
    assert own_card(Home(made)) is None


@pytest.fixture
def running(made: Path, zone: SimulatedZone, monkeypatch: pytest.MonkeyPatch) -> SimulatedZone:
    """The same home, its node running."""
    monkeypatch.setenv("TALLY_HOME", str(made))
    return zone


def test_a_running_node_is_shown(running: SimulatedZone, tally: Tally) -> None:
    """Health first, then where it stands; JSON has all of it."""
    ran = tally("node", "status")

    assert ran.code == 0
    assert "health:      well" in ran.out
    assert ran.next == "tally zone status"
    shown = tally("node", "status", "--json").json
    assert (shown["height"], shown["standing"]["needed"], shown["api"]) == (0, 1, "http://127.0.0.1:7070")
    assert shown["disk"] is None
    assert "validators:" not in ran.out


ENGINE = EngineHealth(answers=True, height=9, peers=("bank",), validators=4, reachable=3, needed=3, mempool=2)


def _show(
    running: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch, **changes: object
) -> tuple[int, dict[str, str]]:
    """Return exit code and fields of `tally node status`, where the node says what is given."""
    status = replace(running.status(), **changes)
    monkeypatch.setattr(running, "status", lambda: status)
    ran = tally("node", "status")
    fields = (line.split(":", 1) for line in ran.out.splitlines() if ":" in line)
    return ran.code, {name: value.strip() for name, value in fields}


def test_a_validator_shows_its_engine_and_who_is_connected(
    running: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no block can be made the reason is the health, and no failure of the command."""
    code, shown = _show(running, tally, monkeypatch, role="validator", engine=ENGINE)
    assert (0, "well", "orders together with others") == (code, shown["health"], shown["role"])
    assert ("3 of 4 connected, 3 needed", "at block 9, 2 bundles in its mempool") == (
        shown["validators"],
        shown["engine"],
    )

    away = replace(ENGINE, reachable=2, trouble="waiting for others: 2 of 4 validators reachable, 3 are needed")
    assert _show(running, tally, monkeypatch, role="validator", engine=away)[1]["health"] == away.trouble
    silent = replace(away, answers=False, trouble="the engine does not answer")
    assert _show(running, tally, monkeypatch, role="validator", engine=silent)[1]["engine"] == "does not answer"


def test_misbehaviour_and_suspicion_are_shown(
    running: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who voted twice is named with the block; who is not known by name, with the address; nothing steers a terminal."""
    named = Misconduct(
        kind="duplicate_vote", organisation="bank\x1b[2J", validator="ab" * 20, height=7, found_at=9, time=NOW
    )
    nameless = replace(named, kind="light_client_attack", organisation="", height=8)

    _, shown = _show(
        running, tally, monkeypatch, engine=ENGINE, misbehaviour=(named, nameless), suspicion="the bank says otherwise"
    )

    assert "voted twice at block 7" in shown["misbehaviour"]
    assert f"{'ab' * 20} signed a forged header at block 8" in shown["misbehaviour"]
    assert "\x1b" not in str(shown)
    assert shown["suspicion"] == "the bank says otherwise"


def test_disk_growth_and_restarts_are_shown(
    running: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Growth is a number once it is known, and only then; a process that came back is named with how it ended."""
    disk = DiskUse(ledger=3 << 20, log=1 << 20, engine=0, office=1 << 20, data=0, free=1 << 40)
    _, shown = _show(running, tally, monkeypatch, disk=disk)
    assert ("5.0 MiB: ledger 3.0 MiB, log 1.0 MiB, data 0 bytes", "not known yet") == (
        shown["disk"],
        shown["growth a day"],
    )
    assert "restarts" not in shown

    processes = {"core": ProcessHealth(restarts=2, last_exit=-9, ended_at=NOW), "office": ProcessHealth()}
    grown = replace(disk, engine=2 << 20, growth_a_day=-(3 << 10))
    _, shown = _show(running, tally, monkeypatch, disk=grown, processes=processes)
    assert "engine 2.0 MiB" in shown["disk"]
    assert "-3.0 KiB" == shown["growth a day"]
    assert shown["restarts"].startswith("core 2 (last exit -9, ")


def test_a_node_that_lags_says_so(running: SimulatedZone, tally: Tally) -> None:
    """Being behind is no failure, and is in the first lines."""
    running.lag = 3

    ran = tally("node", "status")

    assert ran.code == 0
    assert "health:      behind" in ran.out
    assert "3 blocks" in ran.out


def test_an_alarm_is_a_failure(running: SimulatedZone, tally: Tally) -> None:
    """A node that caught its orderer exits 1, and says so on stderr in one line."""
    running.alarm = "city-hospital signed two\nhistories\x1b[2J"

    ran = tally("node", "status")

    assert (ran.code, len(ran.err.splitlines())) == (1, 1)
    assert "health:      alarm" in ran.out
    assert "signed two histories" in ran.err
    assert "\x1b" not in ran.out + ran.err


def test_a_zone_is_shown_with_its_witnesses(running: SimulatedZone, tally: Tally) -> None:
    """Each member has a row with what is known of its node."""
    ran = tally("zone", "status")

    assert "ordered by:  city-hospital" in ran.out
    assert "1 of 1 other members must witness a receipt" in ran.out
    rows = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines() if line.startswith(("city-", "river-"))}
    assert rows[UNIVERSITY][:6] == ["follows", "active", "3", "3", "2", "well"]
    assert tally("zone", "status", "--json").json["orderers"] == [HOSPITAL]


def test_a_member_that_was_not_heard_of_is_shown_too(
    running: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row is left out, and a fork proof is told in red words."""
    standing = running.standing()
    monkeypatch.setattr(running, "standing", lambda: replace(standing, nodes=()))
    assert "not heard of yet" in tally("zone", "status").out

    node = replace(standing.nodes[0], forks=1)
    monkeypatch.setattr(running, "standing", lambda: replace(standing, nodes=(node,)))
    assert "keeps 1 fork proof" in tally("zone", "status").out
