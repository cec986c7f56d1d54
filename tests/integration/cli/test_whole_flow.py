"""Two organisations share data by typing commands: every command is a process, every node is what a user runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.nodes import free_port, wait_for

pytestmark = pytest.mark.timeout(300)

HOSPITAL, UNIVERSITY = "city-hospital", "river-university"
TALLY = [sys.executable, "-m", "tallystick.cli"]


class Desk:
    """Where somebody types: a folder with the homes of two nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TALLY_")},
            "TALLY_PASSPHRASE": "correct horse battery",
            "XDG_STATE_HOME": str(folder / "state"),
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def type(self, *arguments: str, home: str = "", code: int = 0) -> tuple[str, str]:
        """Run a command, and return its standard output and standard error."""
        at = ["--home", home] if home else []
        ran = subprocess.run(
            [*TALLY, *arguments, *at],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == code, f"tally {' '.join(arguments)}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
        assert "Traceback" not in ran.stderr
        return ran.stdout, ran.stderr

    def ask(self, *arguments: str, home: str = "") -> Any:
        """Run a command with --json, and return what it says."""
        return json.loads(self.type(*arguments, "--json", home=home)[0])

    def refused(self, *arguments: str, home: str = "", code: int = 1) -> str:
        """Run a command that must fail, and return the line on stderr."""
        out, err = self.type(*arguments, home=home, code=code)
        assert out == ""
        assert len(err.splitlines()) == 1
        assert err.startswith("error: ") and " \N{EM DASH} " in err
        return err

    def start(self, home: str) -> None:
        """Run a node, and wait until its commands work."""
        with (self.folder / f"{home}.log").open("ab") as log:
            self.running[home] = subprocess.Popen(
                [*TALLY, "node", "run", "--home", home], cwd=self.folder, env=self.environment, stdout=log, stderr=log
            )
        wait_for((self.folder / home / "operator.json").exists, f"the node of {home}")

    def stop(self, home: str) -> int:
        """Stop a node as Ctrl-C does, and return its exit code."""
        process = self.running.pop(home)
        process.send_signal(signal.SIGINT)
        return process.wait(60)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose nodes are stopped at the end."""
    made = Desk(tmp_path)
    yield made
    for process in made.running.values():
        process.terminate()
    for process in made.running.values():
        process.wait(60)


@pytest.fixture
def zone(desk: Desk) -> Desk:
    """Two members of a zone, both running; the second joined the real way."""
    where = f"127.0.0.1:{free_port()}"
    made = ["zone", "create", "hospital", "--name", "Health", "--organisation", HOSPITAL, "--address", where]
    desk.type(*made, "--api", "127.0.0.1:0")
    desk.start("hospital")
    desk.type("zone", "invite", UNIVERSITY, "--out", "invitation.json", home="hospital")
    applied = desk.ask("node", "join", "invitation.json", "--api", "127.0.0.1:0", home="university")
    assert desk.ask("organisation", "show", home="university")["card"]["fingerprint"] == applied["fingerprint"]
    waiting = desk.ask("organisation", "list", home="hospital")["applications"]
    assert [each["fingerprint"] for each in waiting] == [applied["fingerprint"]]
    desk.refused("organisation", "admit", UNIVERSITY, "--fingerprint", "0" * 64, home="hospital")
    heard = " ".join(applied["fingerprint"][at : at + 4] for at in range(0, 64, 4)).upper()
    desk.type("organisation", "admit", UNIVERSITY, "--fingerprint", heard, home="hospital")
    desk.start("university")
    wait_for(
        lambda: len(desk.ask("organisation", "list", home="university")["organisations"]) == 2, "the university's copy"
    )
    return desk


def test_two_organisations_share_data(zone: Desk) -> None:
    """Offer, find, ask, decide, fetch, prove and end: each by the command that the one before names."""
    desk, folder = zone, zone.folder
    (folder / "d.csv").write_text("id,name\n1,Ana\n2,\u674e\u96f7\n")

    # offered and found
    offered = desk.ask(
        "dataset", "offer", "d.csv", "--name", "d", "--title", "Discharges", "--terms", "research-90d", home="hospital"
    )
    name = offered["name"]
    wait_for(lambda: desk.ask("dataset", "find", "discharges", home="university")["total"] == 1, "the dataset")
    assert desk.ask("dataset", "show", name, home="university")["latest"] == offered["latest"]
    assert desk.ask("dataset", "preview", "d", home="hospital")["rows"] == [["1", "Ana"], ["2", "\u674e\u96f7"]]

    # asked and decided
    asked = desk.ask("request", "send", name, "--purpose", "A study", home="university")["id"]
    wait_for(lambda: desk.ask("request", "list", "--waiting", home="hospital"), "the request")
    wait_for(lambda: "A study" in desk.type("request", "show", asked, home="hospital")[0], "its purpose")
    desk.refused("request", "approve", asked, home="university")
    agreement = desk.ask("request", "approve", asked, home="hospital")["agreement"]
    again = desk.refused("request", "reject", asked, "--why", "x", home="hospital")
    assert "(request_already_decided, 3014) \N{EM DASH} see `tally request list`" in again
    wait_for(lambda: desk.ask("agreement", "list", home="university"), "the agreement")

    # fetched
    got = desk.ask("delivery", "fetch", agreement, "--to", "here", home="university")
    assert Path(got["path"]).read_bytes() == (folder / "d.csv").read_bytes()
    inbox = desk.ask("delivery", "fetch", name, home="university")
    assert Path(inbox["path"]).is_relative_to(folder / "university" / "inbox")

    _prove(desk, got, asked)
    _record_evidence(desk)

    # ended
    desk.type("agreement", "terminate", agreement, "--why", "Over", home="hospital")
    wait_for(lambda: desk.ask("agreement", "show", agreement, home="university")["state"] == "terminated", "the end")
    assert "terminated" in desk.refused("delivery", "fetch", agreement, home="university")

    # checked
    log = desk.ask("ledger", "log", home="university")
    assert log[-1]["type"] == "admit_organisation"
    assert (
        desk.ask("ledger", "show", str(log[-1]["leaf"]), home="hospital")["operation"]["type"] == "admit_organisation"
    )
    events = desk.type("ledger", "events", "--json", home="university")[0].splitlines()
    assert json.loads(events[-1])["event"]["type"] == "agreement_terminated"
    assert desk.ask("ledger", "check", home="university")["ok"]
    assert desk.ask("ledger", "compare", "hospital/log/checkpoint", home="university")["relation"] == "same"
    assert desk.ask("ledger", "forks", home="university") == []
    status = desk.ask("node", "status", home="university")
    assert (status["role"], status["alarm"], status["lag"]) == ("replica", None, 0)
    assert desk.ask("zone", "status", home="hospital")["needed"] == 1
    shown = desk.type("node", "status", home="hospital")[0].split()
    assert ["health:", "well"] == shown[shown.index("health:") :][:2]


def _prove(desk: Desk, got: dict[str, Any], asked: str) -> None:
    """Take receipts, check them with the trust file alone, and see altered ones refused."""
    receipt = ["receipt", "export", got["delivery"], "--operation", "record_delivery_received", "--out", "got.json"]
    assert desk.ask(*receipt, home="university")["verified"]["accepted"]
    (desk.folder / "zone.json").write_bytes((desk.folder / "university" / "zone.json").read_bytes())
    data = str(Path(got["path"]).relative_to(desk.folder))
    shown = desk.type("receipt", "verify", "got.json", "--zone", "zone.json", "--file", data)[0]
    assert "The receipt holds: ordered by 1, witnessed by 1 of 1." in shown
    assert desk.ask("receipt", "export", asked, "--out", "asked.json", home="hospital")["others"]
    bytes_ = (desk.folder / "asked.json").read_bytes()
    (desk.folder / "asked.json").write_bytes(bytes_.replace(b'"outcome":0', b'"outcome":1'))
    assert (desk.folder / "asked.json").read_bytes() != bytes_
    desk.refused("receipt", "verify", "asked.json", "--zone", "zone.json")
    Path(got["path"]).write_text("id,name\n1,Eve\n")
    desk.refused("receipt", "verify", "got.json", "--zone", "zone.json", "--file", data)


def _record_evidence(desk: Desk) -> None:
    """Record a file, and check it by its proof: as it is, and changed."""
    (desk.folder / "minutes.txt").write_text("decided")
    made = desk.ask("evidence", "record", "minutes.txt", "--out", "proofs", home="university")
    assert made["witnessed"]
    proof = "proofs/minutes.txt.proof.json"
    assert desk.ask("evidence", "verify", "minutes.txt", proof, "--zone", "zone.json")["evidence"] == made["id"]
    (desk.folder / "minutes.txt").write_text("decided otherwise")
    desk.refused("evidence", "verify", "minutes.txt", proof, "--zone", "zone.json")


def test_keys_of_people_and_of_the_ledger(zone: Desk) -> None:
    """An API key opens a node from elsewhere, as far as its scopes go, until it is revoked; a ledger key can be rotated."""
    desk = zone
    made = desk.ask(
        "key", "create", "--api", "notebook", "--role", "observer", "--days", "1", "--out", "k.txt", home="hospital"
    )
    listed = desk.ask("key", "list", home="hospital")
    assert made["key"]["id"] in {each["id"] for each in listed["api_keys"]}
    url = json.loads((desk.folder / "hospital" / "operator.json").read_text())["url"]
    remote = Desk(desk.folder)
    remote.environment |= {"TALLY_URL": url, "TALLY_API_KEY": (desk.folder / "k.txt").read_text().strip()}
    assert "TALLY_ZONE" in remote.refused("dataset", "list", code=2)
    remote.environment["TALLY_ZONE"] = "hospital/zone.json"
    assert len(remote.ask("organisation", "list")["organisations"]) == 2
    exported = remote.ask("receipt", "export", UNIVERSITY, "--out", "admitted.json")
    assert exported["verified"]["operation"]["type"] == "admit_organisation"
    remote.refused("request", "send", f"{HOSPITAL}/d", "--purpose", "x")
    desk.type("key", "revoke", made["key"]["id"], home="hospital")
    assert "revoked" in remote.refused("dataset", "list")

    old = next(each["key"] for each in listed["ledger_keys"] if each["roles"] == ["service"])
    rotated = desk.ask("key", "rotate", "service", "--key", old[:8], home="hospital")
    assert rotated["replaces"] == old
    assert old not in {each["key"] for each in desk.ask("key", "list", home="hospital")["ledger_keys"]}


def test_a_node_stops_in_order_and_says_so(desk: Desk) -> None:
    """Ctrl-C ends it with exit code 0; then its commands exit 3, and a second node of a home is refused."""
    desk.type("zone", "create", "hospital", "--name", "Health", "--organisation", HOSPITAL, "--api", "127.0.0.1:0")
    desk.start("hospital")
    assert "is running already" in desk.type("node", "run", home="hospital", code=2)[1]

    assert desk.stop("hospital") == 0

    assert "The node has stopped." in (desk.folder / "hospital.log").read_text()
    assert "tally node run --home hospital" in desk.refused("node", "status", home="hospital", code=3)
