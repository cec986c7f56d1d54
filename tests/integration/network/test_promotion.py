"""A newcomer on another machine becomes one of those who order, and is voted out again, all by commands.

The first four are one machine's, the newcomer another's: each a network namespace, with a cable between them.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tallystick.node import network
from tallystick.node.engine import engine_path
from tallystick.node.engine_home import make_engine_keys
from tallystick.node.homes import Home
from tallystick.node.inspection import check
from tests.support.components import require
from tests.support.copies import on_disk
from tests.support.growing import heads_of
from tests.support.namespaces import Machine, two_networks
from tests.support.nodes import wait_for

pytestmark = pytest.mark.timeout(900)

TALLY = f"{sys.executable} -m tallystick.cli"
SOURCES = str(Path(__file__).parents[3] / "src")
FOUR = ("city-hospital", "river-university", "harbour-bank", "city-agency")
LATE = "port-authority"
PEERS, ENGINE, STRANGER = 7071, 26656, 26756


class Node(NamedTuple):
    """One node, and the machine that it runs on."""

    machine: Machine
    home: Home
    secret: Path

    @property
    def name(self) -> str:
        """Whose it is."""
        return self.home.path.name

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.machine.folder / f"{self.name}.log"


class Shells:
    """Both machines, the nodes, and what is typed at them."""

    def __init__(self, folder: Path, places: tuple[tuple[str, str], tuple[str, str]]) -> None:
        environment = {
            "PYTHONPATH": SOURCES,
            "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or f"{Path.home()}/.cache",
        }
        self.folder = folder
        self.net = folder / "net"
        self.machines = [
            Machine(label, address, folder / label, name, environment)
            for (name, address), label in zip(places, "ab", strict=True)
        ]
        network.create_network(self.net, validators=4, hosts=[self.machines[0].address] * 4)
        secret = self.net / "passphrase"
        self.nodes = {name: Node(self.machines[0], Home(self.net / name), secret) for name in FOUR}
        self.proofs: list[tuple[Path, Path]] = []

    def type(self, machine: Machine, command: str) -> str:
        """Type a command that must succeed, and return what it printed."""
        done = machine.enter(command, seconds=240)
        assert done.code == 0, f"{machine.name}$ {command}\n{done.output}"
        return done.output

    def tally(self, node: Node, command: str) -> str:
        """Type a command of `tally` at a node."""
        return self.type(node.machine, f"{TALLY} {command} --home {node.home.path}")

    def ask(self, node: Node, command: str) -> Any:
        """Type a command with --json, and return what it says."""
        return json.loads(self.tally(node, f"{command} --json"))

    def start(self, node: Node) -> None:
        """Start a node, and do not wait for it."""
        node.home.operator_path.unlink(missing_ok=True)
        run = f"{TALLY} node run --home {node.home.path} --passphrase-file {node.secret}"
        self.type(node.machine, f"{run} >> {node.name}.log 2>&1 & echo $! > {node.name}.pid")

    def stop(self, node: Node) -> None:
        """Stop a node in order."""
        pid = f"$(cat {node.name}.pid)"
        node.machine.enter(f"kill {pid}; wait {pid}", seconds=90)

    def plays(self, node: Node, role: str) -> bool:
        """Tell whether a node plays this part, and nothing is wrong."""
        done = node.machine.enter(f"{TALLY} node status --home {node.home.path} --json 2> status.err", seconds=240)
        if done.code:
            return False
        now = json.loads(done.output)
        return now["role"] == role and not (now.get("engine") or {}).get("trouble") and not now["lag"]

    def wait_for_part(self, node: Node, role: str) -> None:
        """Wait until a node plays this part, and nothing is wrong."""
        wait_for(lambda: self.plays(node, role), f"{node.name} to be {role}; see {node.log}", 150)

    def record(self, node: Node) -> set[str]:
        """Record a file; keep it with its proof, and return who signed the header of its receipt."""
        file = self.folder / f"file-{len(self.proofs)}"
        file.write_text(file.name)
        out = self.folder / f"proof-{len(self.proofs)}"
        self.tally(node, f"evidence record {file} --out {out}")
        proof = out / f"{file.name}.proof.json"
        self.proofs.append((file, proof))
        return {each["organisation"] for each in json.loads(proof.read_bytes())["receipt"]["header_signatures"]}

    def wait_until(self, node: Node, holds: Callable[[set[str]], bool]) -> set[str]:
        """Record until this holds of those who signed; return them. A block goes out with enough, not all, signatures."""
        found: list[set[str]] = []

        def tried() -> bool:
            found.append(self.record(node))
            return holds(found[-1])

        wait_for(tried, f"these to sign; the last were {found[-1:]}", 150)
        return found[-1]

    def close(self) -> None:
        """Stop all nodes and both machines."""
        for node in self.nodes.values():
            self.stop(node)
        for machine in self.machines:
            machine.close()


@pytest.fixture(scope="module")
def shells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shells]:
    """Four that order together, running."""
    require("network-namespaces")
    require("cometbft")
    with two_networks() as places:
        made = Shells(tmp_path_factory.mktemp("promotion"), places)
        try:
            for node in list(made.nodes.values()):
                made.start(node)
            for node in list(made.nodes.values()):
                made.wait_for_part(node, "validator")
            made.record(made.nodes[FOUR[0]])
            yield made
        finally:
            made.close()


def test_newcomer_is_promoted_and_signs(shells: Shells) -> None:
    """It joins by an invitation, follows, announces its engine, gets a seat by three votes of four, and signs headers."""
    first, machine = shells.nodes[FOUR[0]], shells.machines[1]
    invitation = shells.folder / "invitation.json"
    shells.tally(first, f"zone invite {LATE} --out {invitation}")
    secret = machine.folder / "secret"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    home = machine.folder / LATE
    where = f"--home {home} --address {machine.address}:{PEERS} --api 127.0.0.1:0 --passphrase-file {secret}"
    fingerprint = json.loads(shells.type(machine, f"{TALLY} node join {invitation} {where} --json"))["fingerprint"]
    late = Node(machine, Home(home), secret)
    for name in FOUR[:3]:
        node = shells.nodes[name]
        wait_for(lambda node=node: shells.ask(node, "organisation list")["applications"], "the card")
        shells.tally(node, f"organisation admit {LATE} --fingerprint {fingerprint}")
    shells.nodes[LATE] = late
    shells.start(late)
    shells.wait_for_part(late, "replica")
    assert LATE not in shells.record(late)

    shells.tally(late, f"node validate --listen {machine.address}:{ENGINE}")
    shells.wait_for_part(late, "validator")
    for name in FOUR[:3]:
        shells.tally(shells.nodes[name], f"organisation promote {LATE}")
    signed = shells.wait_until(late, lambda names: LATE in names)
    assert len(signed) >= 4


def test_stranger_s_engine_is_refused(shells: Shells) -> None:
    """An engine that no member has announced, with everything else right, is let in by none."""
    late = shells.nodes[LATE]
    folder = shells.folder / "stranger"
    stranger = make_engine_keys(folder / "keys").node
    (folder / "engine" / "data").mkdir(parents=True)
    shutil.copytree(late.home.engine_path / "config", folder / "engine" / "config")
    shutil.copy(late.home.engine_genesis_path, folder)
    config = folder / "engine" / "config" / "config.toml"
    text = config.read_text().replace(f"unix://{late.home.abci_path}", "noop")
    text = text.replace(f"unix://{late.home.engine_rpc_path}", "tcp://127.0.0.1:26757")
    text = text.replace(str(late.home.path), str(folder)).replace(f":{ENGINE}", f":{STRANGER}", 1)
    config.write_text(text)
    shells.type(late.machine, f"{engine_path()} start --home {folder}/engine > stranger.log 2>&1 & echo $! > stranger")
    try:

        def refused() -> bool:
            said = shells.nodes[FOUR[0]].log.read_text(errors="replace").splitlines()
            return any("unknown_engine_refused" in line and stranger in line for line in said)

        wait_for(refused, f"the stranger to be refused; see {late.machine.folder}/stranger.log")
    finally:
        shells.type(late.machine, "kill $(cat stranger); wait $(cat stranger); true")
    shells.record(late)


def test_four_of_five_go_on(shells: Shells) -> None:
    """With one of the old four away the newcomer's signature is needed, and is there."""
    away = shells.nodes[FOUR[3]]
    shells.stop(away)
    signed = shells.wait_until(shells.nodes[LATE], lambda names: FOUR[3] not in names)
    assert {*FOUR[:3], LATE} == signed
    shells.start(away)
    shells.wait_for_part(away, "validator")


def test_demoted_it_follows(shells: Shells) -> None:
    """Voted out by the others it signs nothing more, and still has, and adds to, everything that they order."""
    late = shells.nodes[LATE]
    for name in FOUR:
        shells.tally(shells.nodes[name], f"organisation demote {LATE}")
        if not _validates(shells, late):
            break
    wait_for(lambda: not _validates(shells, late), f"{LATE} to be out")
    signed = shells.wait_until(late, lambda names: LATE not in names)
    assert signed <= {*FOUR}
    assert len(signed) >= 3
    shells.record(shells.nodes[FOUR[1]])

    def same() -> bool:
        return 1 == len({on_disk(node) for node in shells.nodes.values()})

    wait_for(same, "all copies to be the same", 90)


def _validates(shells: Shells, node: Node) -> bool:
    members = shells.ask(node, "organisation list")["organisations"]
    return bool(next(each["validates"] for each in members if each["id"] == LATE))


def test_proofs_hold_across_all_of_it(shells: Shells) -> None:
    """What was recorded before, between and after verifies offline with the newcomer's trust file, and with the first."""
    late = shells.nodes[LATE]
    assert 1 < len(json.loads(late.home.trust_path.read_bytes())["versions"])
    for file, proof in (shells.proofs[0], shells.proofs[len(shells.proofs) // 2], shells.proofs[-1]):
        for trust in (late.home.trust_path, shells.net / "zone.json"):
            shells.type(late.machine, f"{TALLY} evidence verify {file} {proof} --zone {trust}")


def test_copies_check_out(shells: Shells) -> None:
    """Stopped, all five homes pass the checker and hold the same blocks."""
    for node in shells.nodes.values():
        shells.stop(node)
    for node in shells.nodes.values():
        report = check(node.home.path)
        assert (report.ok, report.findings) == (True, ()), (node.name, report)
    shortest = min(len(heads_of(node.home)) for node in shells.nodes.values())
    assert 1 == len({tuple(heads_of(node.home)[:shortest]) for node in shells.nodes.values()})
