"""Law 7: kill -9 of any process at any moment loses nothing that was acknowledged and leaves nothing half done.

A zone of two real nodes, under load from several submitters at both, has its processes killed at 100 random moments:
supervisor, core, office, or all at once, at the orderer and at the replica. `TALLY_FAULT_ROUNDS` asks for more or fewer.
"""

import os
import random
import secrets
import statistics
import threading
import time

import httpx
import pytest

from tallystick.machine import build_transaction
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.node.homes import open_keys
from tallystick.node.inspection import check
from tallystick.store import LedgerStore
from tests.support.nodes import PASSPHRASE, running_zone, wait_for

pytestmark = [pytest.mark.xdist_group("heavy"), pytest.mark.timeout(3_600)]
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "100"))
SEED = 20_240_601
LONGEST_PAUSE = 0.7
LOOK_EVERY = 20
SUBMITTERS = (0, 0, 1, 1)
CBOR = {"Content-Type": "application/cbor"}


class Submitter(threading.Thread):
    """Submits one operation after the other to a node that may die at any moment, as a patient client does.

    Attributes:
        acknowledged: ids of the transactions that the node said to be recorded.
        refused: answers that no kill explains.
    """

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.acknowledged = {}
        self.refused = []
        self.ended = threading.Event()
        self.signer = open_keys(node.home, PASSPHRASE).signer("service")
        store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
        self.genesis = store.genesis_hash
        store.close()

    def transaction(self):
        return build_transaction(
            [RecordEvidence(root=secrets.token_hex(32), count=1)],
            organisation=self.node.organisation,
            key=self.signer.public_key,
            sign=self.signer.sign,
            external_aad=self.genesis,
            expires=time.time_ns() // 1_000_000 + 1_800_000,
            nonce=secrets.token_hex(16),
            seen_size=0,
            seen_root=EMPTY_ROOT,
        )

    def run(self):
        raw = self.transaction()
        while not self.ended.is_set():
            try:
                operator = self.node.operator()
                headers = {"Authorization": f"Bearer {operator.key}", **CBOR}
                with httpx.Client(base_url=operator.url, headers=headers, trust_env=False, timeout=20) as http:
                    while not self.ended.is_set():
                        raw = self.submit(http, raw)
            except (OSError, httpx.TransportError):
                time.sleep(0.05)

    def submit(self, http, raw):
        """Send the same bytes until it is known what became of them; return what is to be sent next."""
        answer = http.post("/v1/transactions", content=raw)
        try:
            body = answer.json()
        except ValueError:
            self.refused.append((answer.status_code, answer.text))
            return raw
        if answer.status_code == 200:
            assert [{"code": 0}] == body["outcomes"]
            self.acknowledged[body["id"]] = (body["height"], body["first_leaf"])
            return self.transaction()
        if body.get("name") == "repeated":
            # An earlier answer was lost with the process that gave it.
            return self.transaction()
        if answer.status_code == 401:
            raise httpx.TransportError("a restarted node has another operator's key")
        if answer.status_code != 503:
            self.refused.append((answer.status_code, body))
        time.sleep(0.05)
        return raw


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
        submitters = [Submitter(nodes[at]) for at in SUBMITTERS]
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
            submitter.join(30)
        with nodes[0].api() as first, nodes[1].api() as second:
            height = first.get("/v1/status")["height"]
            wait_for(lambda: second.get("/v1/status")["copy_height"] >= height, "the replica to catch up")
            statuses = [first.get("/v1/status"), second.get("/v1/status")]
        assert [None, None] == [status["alarm"] for status in statuses]
        assert statuses[0]["root"] == statuses[1]["root"]
    acknowledged = {}
    for submitter in submitters:
        assert [] == submitter.refused
        acknowledged |= submitter.acknowledged
    record_property("acknowledged", len(acknowledged))
    record_property("seconds_to_heal_median", round(statistics.median(healed or [0.0]), 2))
    print(f"{ROUNDS} kills, {len(acknowledged)} acknowledged, healed in {[round(each, 2) for each in healed]} s")
    for node in nodes:
        assert_keeps(node, acknowledged)


def assert_keeps(node, acknowledged):
    """The home's ledger checks out, and has everything acknowledged where it was said to be."""
    report = check(node.home.path)
    assert report.ok, report.first
    store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
    found = {name: store.find_transaction(bytes.fromhex(name)) for name in acknowledged}
    store.close()
    assert acknowledged == {name: place and place[:2] for name, place in found.items()}
