"""Law 7: kill -9 of any process at any moment loses nothing that was acknowledged and leaves nothing half done.

A zone of two real nodes, under load from several submitters at both, has its processes killed at 100 random moments:
supervisor, core, office, or all at once, at the orderer and at the replica. `TALLY_FAULT_ROUNDS` asks for more or fewer.
"""

import os
import random
import statistics
import time

import httpx
import pytest

from tallystick.node.homes import open_keys
from tallystick.node.inspection import check
from tests.support.copies import Compared, compare
from tests.support.faults import record_fault
from tests.support.nodes import PASSPHRASE, running_zone, wait_for
from tests.support.submitting import Submitter

pytestmark = pytest.mark.timeout(3_600)
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "100"))
SEED = 20_240_601
LONGEST_PAUSE = 0.7
LOOK_EVERY = min(20, max(1, ROUNDS // 3))
SUBMITTERS = (0, 0, 1, 1)


def is_ready(node):
    """Tell whether a node's core and office answer."""
    try:
        return httpx.get(f"{node.operator().url}/readyz", trust_env=False, timeout=5).status_code == 200
    except (OSError, httpx.TransportError):
        return False


def kill(node, what):
    """Kill a part of a node; start again what only its operator starts again; return whether something was killed."""
    if what in ("core_main", "office_main"):
        return node.kill_child(what)
    if what == "supervisor":
        node.kill_supervisor()
    else:
        node.kill()
    node.launch()
    return True


def kill_often(nodes, rounds, chance):
    """Kill at random moments; now and then wait until all has healed; return the seconds that healing took."""
    healed = []
    killed = 0
    while killed < rounds:
        time.sleep(chance.uniform(0, LONGEST_PAUSE))
        what = chance.choice(("core_main", "core_main", "office_main", "supervisor", "everything"))
        killed += kill(chance.choice(nodes), what)
        if killed % LOOK_EVERY == 0:
            began = time.monotonic()
            for node in nodes:
                wait_for(lambda node=node: is_ready(node), f"{node.organisation} to heal; see {node.log_path}")
            healed.append(time.monotonic() - began)
            # Some of what is lost would be lost only by the next kill: let work begin again first.
            time.sleep(chance.uniform(0, LONGEST_PAUSE))
    return healed


def test_nothing_acknowledged_is_lost_whatever_is_killed(tmp_path, record_property):
    """Everything acknowledged is on both copies, at the place that was told, and both copies check out."""
    chance = random.Random(SEED)
    with running_zone(tmp_path, "river-university") as zone:
        nodes = list(zone.values())
        submitters = [Submitter(nodes[at], open_keys(nodes[at].home, PASSPHRASE)) for at in SUBMITTERS]
        for submitter in submitters:
            submitter.start()
        healed = kill_often(nodes, ROUNDS, chance)
        for node in nodes:
            wait_for(lambda node=node: is_ready(node), f"{node.organisation} to heal; see {node.log_path}")
        before = [len(submitter.acknowledged) for submitter in submitters]
        for submitter, count in zip(submitters, before, strict=True):
            wait_for(
                lambda submitter=submitter, count=count: len(submitter.acknowledged) > count,
                f"{submitter.node.organisation} to acknowledge again",
            )
        for submitter in submitters:
            submitter.ended.set()
        for submitter in submitters:
            submitter.end()
        with nodes[0].api() as first, nodes[1].api() as second:
            height = first.get("/v1/status")["height"]
            wait_for(lambda: second.get("/v1/status")["copy_height"] >= height, "the replica to catch up")
            statuses = [first.get("/v1/status"), second.get("/v1/status")]
        assert [None, None] == [status["alarm"] for status in statuses]
        assert statuses[0]["root"] == statuses[1]["root"]
    acknowledged = {}
    for submitter in submitters:
        acknowledged |= submitter.acknowledged
    record_property("acknowledged", len(acknowledged))
    record_property("seconds_to_heal_median", round(statistics.median(healed or [0.0]), 2))
    print(f"{ROUNDS} kills, {len(acknowledged)} acknowledged, healed in {[round(each, 2) for each in healed]} s")
    found = compare(nodes, acknowledged)
    record_fault("kill-embedded", tried=ROUNDS, lost=found.lost, forked=found.forked, recovery_s=healed)
    assert Compared(0, 0) == found
    for node in nodes:
        report = check(node.home.path)
        assert report.ok, report.first
