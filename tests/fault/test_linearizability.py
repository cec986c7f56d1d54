"""What docs/design/consistency.md promises, held to on concurrent histories of four real validators under faults.

Clients write, swap and read registers at nodes drawn by chance, while parts of nodes are killed, whole nodes freeze and
go on, and one of four is away. Writes, swaps and reads that record something first must be linearizable; a node's own
copy may be old, but goes only forward and holds what that node acknowledged. `TALLY_FAULT_ROUNDS` asks for more faults.
"""

import os
import random
import time

import pytest

from tallystick.node import network
from tests.support.copies import assert_same_everywhere, compare
from tests.support.faults import record_fault
from tests.support.linearizable import judge
from tests.support.networks import running_network, wait_until_ready
from tests.support.nodes import wait_for
from tests.support.registers import RegisterClient, Seen, Stage, places_of, steps_back

pytestmark = pytest.mark.timeout(3_600)
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "12"))
SEED = 20_240_811
CLIENTS = 5
LINKS = 200 + 40 * ROUNDS
LONGEST_PAUSE = 2.0
HEAL_SECONDS = 120.0
PARTS = (("core_main",), ("cometbft",), ("core_main", "cometbft"), ("office_main",))


class Faults:
    """Brings one fault after the other about, and counts them."""

    def __init__(self, directory, nodes, clients):
        self.directory = directory
        self.nodes = nodes
        self.clients = clients
        self.chance = random.Random(SEED)
        self.tried = {"pause": 0, "registers": 0}
        self.healed = {"pause": [], "registers": []}

    def answered(self, node):
        """Count what a node has told to clients that only a commit can tell; a client that failed ends the test."""
        for client in self.clients:
            if client.failed is not None:
                raise client.failed
        return sum(
            each.node == node.organisation and each.value in client.written
            for client in self.clients
            for each in list(client.seen)
        )

    def run(self, number):
        node = self.chance.choice(self.nodes)
        name = ("registers", "pause", "registers")[number % 3]
        if number % 3 == 0:
            node.kill(*self.chance.choice(PARTS))
            began = time.monotonic()
        elif number % 3 == 1:
            go_on = node.pause()
            try:
                time.sleep(self.chance.uniform(0.5, 4))
            finally:
                go_on()
            began = time.monotonic()
        else:
            node.kill_all()
            time.sleep(self.chance.uniform(2, 5))
            network.up(self.directory)
            began = time.monotonic()
        self.tried[name] += 1
        before = self.answered(node)
        wait_for(lambda: self.answered(node) > before + 1, f"{node.organisation} to answer clients", HEAL_SECONDS)
        self.healed[name].append(time.monotonic() - began)
        time.sleep(self.chance.uniform(0, LONGEST_PAUSE))


def test_histories_under_faults_are_what_is_promised(tmp_path, record_property):
    """Whatever is killed, frozen or away, callers see one register each, and no node's copy ever steps back."""
    directory = tmp_path / "net"
    with running_network(directory) as nodes:
        stage = Stage(nodes, LINKS)
        clients = [RegisterClient(stage, number, SEED + number) for number in range(CLIENTS)]
        faults = Faults(directory, nodes, clients)
        for client in clients:
            client.start()
        try:
            for number in range(ROUNDS):
                faults.run(number)
        finally:
            for client in clients:
                client.ended.set()
        for client in clients:
            client.join(60)
        wait_until_ready(nodes)
    assert [None] * CLIENTS == [client.failed for client in clients]
    history = [*stage.first_values(), *(operation for client in clients for operation in client.history)]
    seen = [each for client in clients for each in client.seen]
    written = {value: identifier for client in clients for value, identifier in client.written.items()}
    places = places_of(written, nodes[0])
    acknowledged = {name: place for client in clients for name, place in client.acknowledged.items()}
    found = compare(nodes, acknowledged)
    for name, healed in faults.healed.items():
        record_fault(name, tried=faults.tried[name], lost=found.lost, forked=found.forked, recovery_s=healed)
    unanswered = sum(operation.returned is None for operation in history)
    record_property("operations", len(history))
    print(
        f"{len(history)} operations ({unanswered} unanswered), {len(seen)} looks and acknowledgements, {faults.healed}"
    )
    verdict = judge(history)
    assert verdict, str(verdict)
    assert [] == [each for each in seen if each.value in written and each.value not in places]
    assert [] == steps_back(seen, places)
    assert_same_everywhere(nodes, acknowledged)


def test_copy_that_steps_back_is_found():
    """An older value after a newer one at one node, or at the node that acknowledged it, is named; elsewhere it may be."""
    places = {"new": 7, "old": 3}
    newer, older = Seen("a", "r", 1, 2, "new"), Seen("a", "r", 3, 4, "old")
    assert [(newer, older)] == steps_back([older, newer], places)
    assert [] == steps_back([newer, older._replace(node="b")], places)
    assert [] == steps_back([newer, older._replace(register="q")], places)
    assert [] == steps_back([newer, older._replace(called=1.5)], places)
    assert [(newer, older._replace(value="first"))] == steps_back([newer, older._replace(value="first")], places)
