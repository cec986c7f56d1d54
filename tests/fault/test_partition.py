"""Two and two of four validators are cut from each other: neither side decides anything, and both go on after it heals.

Each side is a network namespace; the cut drops what one side sends to the other and leaves either whole in itself.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tallystick.node import network
from tests.support.components import require
from tests.support.copies import assert_same_everywhere, compare, is_still, on_disk
from tests.support.faults import record_fault
from tests.support.namespaces import Machine, two_networks
from tests.support.networks import nodes_of
from tests.support.nodes import wait_for

pytestmark = pytest.mark.timeout(3_600)
CUTS = max(1, int(os.environ.get("TALLY_FAULT_ROUNDS", "12")) // 12)
# The last one lasts so much longer: at a hundred rounds, until an engine as it is published would try again every few
# minutes only.
LONGER_SECONDS = 65 * (CUTS - 1)
TALLY = f"{sys.executable} -m tallystick.cli"
SOURCES = str(Path(__file__).parents[2] / "src")


class Side:
    """Two validators in one network namespace."""

    def __init__(self, machine, nodes):
        self.machine = machine
        self.nodes = nodes
        self.count = 0

    def start(self):
        for node in self.nodes:
            secret = node.directory / "passphrase"
            command = f"{TALLY} node run --home {node.home.path} --passphrase-file {secret}"
            self.machine.enter(f"{command} > {node.organisation}.log 2>&1 & echo $! > {node.organisation}.pid")

    def stop(self):
        for node in self.nodes:
            pid = f"$(cat {node.organisation}.pid)"
            self.machine.enter(f"kill {pid}; wait {pid}", seconds=90)

    def record(self, seconds=20):
        """Record a piece of evidence at the first node; return (height, leaf) by transaction id, or None."""
        self.count += 1
        node = self.nodes[0]
        name = f"{self.machine.name}-{self.count}"
        typed = self.machine.enter(
            f"echo {name} > {name}; timeout {seconds} {TALLY} evidence record {name} --out p-{name}"
            f" --home {node.home.path} --json 2> {name}.err",
            seconds=seconds + 60,
        )
        if typed.code:
            return None
        recorded = json.loads(typed.output)["recorded"]
        return {recorded["transaction"]: (recorded["height"], recorded["leaf"])}


@pytest.fixture
def sides(tmp_path):
    """Both sides of a network of four validators, running, and the namespaces they are in."""
    ip = require("network-namespaces")
    require("cometbft")
    directory = tmp_path / "net"
    environment = {"PYTHONPATH": SOURCES, "XDG_CACHE_HOME": os.environ.get("XDG_CACHE_HOME") or f"{Path.home()}/.cache"}
    with two_networks() as places:
        addresses = [address for _, address in places]
        hosts = [addresses[0], addresses[0], addresses[1], addresses[1]]
        network.create_network(directory, validators=4, hosts=hosts)
        found = {node.home.settings.engine.listen: node for node in nodes_of(directory).values()}
        made = []
        for (name, address), label in zip(places, "ab", strict=True):
            machine = Machine(label, address, tmp_path / label, name, environment)
            mine = [node for listen, node in found.items() if listen.startswith(f"{address}:")]
            made.append(Side(machine, mine))
        try:
            for side in made:
                side.start()
            yield ip, places, made
        finally:
            for side in made:
                side.stop()
                side.machine.close()


def test_partition_two_and_two(sides):
    """While cut, nothing is acknowledged and no copy moves; healed, both sides record, and all copies are the same."""
    ip, places, (left, right) = sides
    nodes = [*left.nodes, *right.nodes]
    acknowledged = {}

    def recorded(side, seconds=20):
        done = side.record(seconds)
        acknowledged.update(done or {})
        return done

    for side in (left, right):
        wait_for(lambda side=side: recorded(side), "the whole network to record", 150)

    def cut(verb):
        for (name, _), (_, other) in zip(places, reversed(places), strict=True):
            subprocess.run([ip, "-n", name, "route", verb, "blackhole", f"{other}/32"], check=True)

    healed = []
    for seconds in [0] * (CUTS - 1) + [LONGER_SECONDS]:
        cut("add")
        wait_for(lambda: all(is_still(node) for node in nodes), "both sides to come to rest")
        time.sleep(seconds)
        before = [on_disk(node) for node in nodes]
        assert [None, None] == [recorded(side, 15) for side in (left, right)]
        assert before == [on_disk(node) for node in nodes]

        cut("delete")
        began = time.monotonic()
        wait_for(lambda: recorded(left, 30), "the healed network to record", 150)
        healed.append(time.monotonic() - began)
        wait_for(lambda: recorded(right, 30), "the other side to record", 150)
    wait_for(lambda: all(is_still(node) for node in nodes), "all to come to rest", 120)
    wait_for(lambda: 1 == len({on_disk(node) for node in nodes}), "all copies to be the same", 120)
    for side in (left, right):
        side.stop()
    found = compare(nodes, acknowledged)
    record_fault("partition", tried=CUTS, lost=found.lost, forked=found.forked, recovery_s=healed)
    assert_same_everywhere(nodes, acknowledged)
