"""A network of four validators and a replica, by commands as a user types them; each test leaves it running as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tallystick.node import network
from tests.support.components import require
from tests.support.networks import NetworkNode, nodes_of, processes_of, wait_until_ready
from tests.support.nodes import free_port, wait_for

pytestmark = pytest.mark.timeout(300)

TALLY = [sys.executable, "-m", "tallystick.cli"]
HOSPITAL, UNIVERSITY, BANK, CITY = "city-hospital", "river-university", "harbour-bank", "city-agency"
REPLICA = "port-authority"
EVERYBODY = {HOSPITAL, UNIVERSITY, BANK, CITY, REPLICA}
DATA = "id,name\n1,Ana\n2,Li\n"


class Desk:
    """Where somebody types: a folder with the network in `net`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.net = folder / "net"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLY_")}
        self.environment |= {"XDG_STATE_HOME": str(folder / "state")}

    def type(self, *arguments: str, home: str = "", code: int = 0) -> tuple[str, str]:
        """Run a command, and return its standard output and standard error."""
        at = ["--home", f"net/{home}" if home in EVERYBODY else home] if home else []
        ran = subprocess.run(
            [*TALLY, *arguments, *at],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=150,
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
        assert ("", 1) == (out, len(err.splitlines()))
        return err

    def nodes(self) -> dict[str, NetworkNode]:
        """Return the nodes by organisation."""
        return nodes_of(self.net)

    def states(self) -> dict[str, tuple[str, int]]:
        """Return state and size of the history of every node, as `network status` says."""
        members = self.ask("network", "status", "net")["members"]
        return {each["organisation"]: (each["state"], each.get("size", -1)) for each in members}

    def wait_for_same(self) -> int:
        """Wait until all run and have the same history; return its size."""

        def same() -> int | None:
            states = set(self.states().values())
            ((state, size),) = states if len(states) == 1 else (("differ", 0),)
            return size if state == "runs" and size > 0 else None

        size: int = wait_for(same, "all copies to be the same")
        return size


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A network that runs, made and started by commands."""
    require("cometbft")
    made = Desk(tmp_path_factory.mktemp("desk"))
    (made.folder / "d.csv").write_text(DATA)
    created = made.ask("network", "create", "net", "--validators", "4", "--replicas", "1")
    assert EVERYBODY == {each["organisation"] for each in created["members"]}
    assert (4, 1) == tuple(
        sum(each["role"] == role for each in created["members"]) for role in ("validator", "replica")
    )
    assert {"stopped"} == {state for state, _ in made.states().values()}
    try:
        made.type("network", "up", "net")
        yield made
    finally:
        network.down(made.net)
    assert [] == processes_of(made.net)


def _share(desk: Desk, owner: str, consumer: str, name: str) -> tuple[str, dict[str, Any]]:
    """Let one organisation share a file with another; return the agreement and what was fetched."""
    desk.type("dataset", "offer", "d.csv", "--name", name, "--title", name, "--terms", "research-90d", home=owner)
    wait_for(lambda: desk.ask("dataset", "find", name, home=consumer)["total"] == 1, "the dataset")
    asked = desk.ask("request", "send", f"{owner}/{name}", "--purpose", "A study", home=consumer)["id"]
    wait_for(lambda: desk.ask("request", "list", "--waiting", home=owner), "the request")
    agreement = desk.ask("request", "approve", asked, home=owner)["agreement"]
    wait_for(lambda: desk.ask("agreement", "list", home=consumer), "the agreement")
    return agreement, desk.ask("delivery", "fetch", agreement, "--to", f"to-{name}", home=consumer)


def test_main_job_with_receipts_that_verify_offline(desk: Desk) -> None:
    """A replica gets data from a validator; its receipts name enough of the four, and hold with the first trust file."""
    agreement, got = _share(desk, HOSPITAL, REPLICA, "discharges")
    assert Path(got["path"]).read_text() == DATA
    export = ["receipt", "export", got["delivery"], "--operation", "record_delivery_received", "--out", "got.json"]
    assert desk.ask(*export, home=REPLICA)["verified"]["accepted"]
    data = str(Path(got["path"]).relative_to(desk.folder))

    # A copy that follows has the signatures that were there when the block went out: three are enough.
    desk.type(*export, home=REPLICA)
    shown, _ = desk.type("receipt", "verify", "got.json", "--zone", "net/zone.json", "--file", data)
    assert "ordered by 4 of 4" in shown or "ordered by 3 of 4" in shown
    told = desk.ask("receipt", "verify", "got.json", "--zone", "net/zone.json", "--file", data)
    assert told["accepted"]
    changed = (desk.folder / "got.json").read_text().replace('"outcome":0', '"outcome":1')
    (desk.folder / "changed.json").write_text(changed)
    desk.refused("receipt", "verify", "changed.json", "--zone", "net/zone.json")

    desk.type("agreement", "terminate", agreement, "--why", "Over", home=HOSPITAL)
    ended = "terminated"
    wait_for(lambda: desk.ask("agreement", "show", agreement, home=REPLICA)["state"] == ended, "the end")
    assert ended in desk.refused("delivery", "fetch", agreement, home=REPLICA)
    desk.wait_for_same()


def test_clients_at_two_validators(desk: Desk) -> None:
    """By the Python client: each validator takes what its organisation records, and proves what the other recorded."""
    nodes = desk.nodes()
    with nodes[UNIVERSITY].client() as owner, nodes[BANK].client() as consumer:
        offered = owner.offer(
            desk.folder / "d.csv", name="loans", title="Loans", field="finance", terms="internal-use-1y"
        )
        wait_for(lambda: consumer.find("loans"), "the dataset")
        asked = consumer.request(offered.name, "A study")
        wait_for(lambda: owner.requests(waiting=True), "the request")
        agreed = owner.approve(asked.id)
        wait_for(lambda: consumer.agreements("in_force"), "the agreement")
        fetched = consumer.fetch(agreed.agreement, desk.folder / "loans")
        assert fetched.path.read_text() == DATA
        assert fetched.recorded is not None
        receipt = consumer.receipt(fetched.recorded.transaction, fetched.recorded.index)
    receipt.save(desk.folder / "loans.json")
    assert desk.ask("receipt", "verify", "loans.json", "--zone", "net/zone.json")["accepted"]
    desk.wait_for_same()


def test_newcomer_is_admitted_by_more_than_two_thirds(desk: Desk) -> None:
    """Three of four votes admit one that applied to one of them; the next trust file is signed by the validators."""
    desk.type("zone", "invite", "grain-exchange", "--out", "invitation.json", home=HOSPITAL)
    desk.environment["TALLY_PASSPHRASE"] = "correct horse battery"
    where = ["--address", f"127.0.0.1:{free_port()}", "--api", "127.0.0.1:0"]
    applied = desk.ask("node", "join", "invitation.json", *where, home="newcomer")
    for name in (HOSPITAL, UNIVERSITY, BANK):
        wait_for(lambda name=name: desk.ask("organisation", "list", home=name)["applications"], "the card")
        desk.type("organisation", "admit", "grain-exchange", "--fingerprint", applied["fingerprint"], home=name)
    for name in sorted(EVERYBODY):
        path = desk.net / name / "zone.json"
        wait_for(lambda path=path: len(json.loads(path.read_text())["versions"]) == 2, f"the trust file of {name}")
        assert len(json.loads(path.read_text())["versions"][1]["signatures"]) >= 3
    export = ["receipt", "export", "grain-exchange", "--out", "admitted.json"]
    assert desk.ask(*export, home=REPLICA)["verified"]["accepted"]
    (desk.folder / "minutes.txt").write_text("decided")
    desk.type("evidence", "record", "minutes.txt", "--out", "proofs", home=CITY)
    proof = "proofs/minutes.txt.proof.json"
    # Recorded under the second version, and checked with the first.
    assert desk.ask("evidence", "verify", "minutes.txt", proof, "--zone", "net/zone.json")
    desk.wait_for_same()


@pytest.mark.parametrize("part", ["core_main", "cometbft", "office_main"])
def test_killed_part_comes_back_by_itself(desk: Desk, part: str) -> None:
    """Kill -9 of core, engine or office of one node: its supervisor brings it back, and the node records again."""
    node = desk.nodes()[CITY]
    before = node.parts()[part]
    node.kill(part)
    wait_for(lambda: node.parts().get(part, before) != before, f"{part} to be started again")
    wait_until_ready([node])
    (desk.folder / f"{part}.txt").write_text(part)

    def recorded() -> bool:
        ran = subprocess.run(
            [*TALLY, "evidence", "record", f"{part}.txt", "--out", f"proofs-{part}", "--home", f"net/{CITY}"],
            cwd=desk.folder,
            env=desk.environment,
            capture_output=True,
            timeout=150,
        )
        return ran.returncode == 0

    wait_for(recorded, f"{CITY} to record after its {part} was killed")
    desk.wait_for_same()


def test_wrong_use_says_what_to_do(desk: Desk) -> None:
    """A folder that is taken, one that holds no network, and numbers that make none are refused with the remedy."""
    assert "is not empty" in desk.refused("network", "create", "net", "--validators", "4", code=2)
    for verb in ("up", "down", "status"):
        assert "tally network create" in desk.refused("network", verb, "nothing-here", code=2)
    desk.type("network", "create", "none", "--validators", "0", code=2)
    assert not (desk.folder / "none").exists()


def test_down_leaves_no_process_and_up_goes_on(desk: Desk) -> None:
    """Stopped in order, every copy checks out; started again, all go on from the same history."""
    size = desk.wait_for_same()
    assert len(EVERYBODY) == desk.ask("network", "down", "net")["stopped"]
    assert [] == processes_of(desk.net)
    assert {("stopped", -1)} == set(desk.states().values())
    for name in sorted(EVERYBODY):
        assert desk.ask("ledger", "check", home=name)["ok"]
    desk.type("network", "up", "net")
    assert size == desk.wait_for_same()
    logs, _ = desk.type("network", "logs", "net", "--lines", "1")
    assert EVERYBODY == {line.split()[0] for line in logs.splitlines()}


def test_one_validator_is_a_network_too(tmp_path: Path) -> None:
    """A network of one validator records, and its receipts say that one of one ordered."""
    require("cometbft")
    desk = Desk(tmp_path)
    desk.type("network", "create", "net", "--validators", "1")
    (tmp_path / "d.csv").write_text(DATA)
    try:
        desk.type("network", "up", "net")
        desk.type("evidence", "record", "d.csv", "--out", "proofs", home=HOSPITAL)
        assert 1 == desk.wait_for_same()
    finally:
        network.down(desk.net)
    assert desk.ask("ledger", "check", home=HOSPITAL)["ok"]
