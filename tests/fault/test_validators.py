"""Four validators under faults: nothing acknowledged is lost, no two copies differ, and work goes on by itself.

Parts of nodes are killed at random moments under load: the core, which is the engine's application; the engine; both
at once. Then validators go down one after the other. `TALLY_FAULT_ROUNDS` asks for more or fewer kills.
"""

import os
import random
import secrets
import threading
import time

import httpx
import pytest

from tallystick.machine import build_transaction
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.node import network
from tallystick.node.inspection import check
from tallystick.proofs.headers import decode_header, decode_signatures, quorum
from tallystick.store import LedgerStore
from tests.support.networks import running_network, wait_until_ready
from tests.support.nodes import wait_for

pytestmark = [pytest.mark.xdist_group("heavy"), pytest.mark.timeout(3_600)]
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "12"))
SEED = 20_240_717
LONGEST_PAUSE = 3.0
HEAL_SECONDS = 120.0
VICTIMS = (("core_main",), ("cometbft",), ("core_main", "cometbft"))
CBOR = {"Content-Type": "application/cbor"}


class Submitter(threading.Thread):
    """Records one piece of evidence after the other at one node, as a patient client does whose node may die.

    Attributes:
        acknowledged: (height, leaf) of what the node said to be recorded, by transaction id.
        refused: answers that no fault explains.
    """

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node = node
        self.acknowledged = {}
        self.refused = []
        self.ended = threading.Event()
        self.signer = node.keys().signer("service")
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
        body = answer.json()
        if answer.status_code == 200:
            assert [{"code": 0}] == body["outcomes"]
            self.acknowledged[body["id"]] = (body["height"], body["first_leaf"])
            return self.transaction()
        if body.get("name") == "repeated":
            # An earlier answer was lost with the process that gave it.
            return self.transaction()
        if answer.status_code == 401:
            raise httpx.TransportError("a restarted node has another operator's key")
        if answer.status_code not in (429, 503, 504):
            self.refused.append((answer.status_code, body))
        time.sleep(0.05)
        return raw


def on_disk(node):
    """Return (height, header) of a copy's last block."""
    store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
    last = store.last_block()
    store.close()
    return (0, b"") if last is None else (last.height, last.header)


def record_at(nodes, beyond=0):
    """Return how many operations each copy has where all have the same and more than `beyond`; else nothing."""
    sizes = set()
    for node in nodes:
        with node.api() as api:
            sizes.add(api.get("/v1/status")["size"])
    size = sizes.pop()
    return size if not sizes and size > beyond else None


def assert_same_everywhere(nodes, acknowledged):
    """Stopped copies check out, have the same headers, signed by a quorum, and all that was acknowledged in its place."""
    headers = []
    for node in nodes:
        report = check(node.home.path)
        assert report.ok, (node.organisation, report.first)
        store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
        found = {name: store.find_transaction(bytes.fromhex(name)) for name in acknowledged}
        assert acknowledged == {name: place and place[:2] for name, place in found.items()}, node.organisation
        last = store.last_block().height
        blocks = [store.head_at(height) for height in range(1, last + 1)]
        headers.append({block.height: decode_header(block.header) for block in blocks})
        # The tail of a copy that was stopped may wait for signatures; any one under a later block speaks for those before.
        assert any(len(decode_signatures(block.signatures)) >= quorum(len(nodes)) for block in blocks[-20:])
        store.close()
    common = min(map(len, headers))
    for height in range(1, common + 1):
        assert 1 == len({copy[height] for copy in headers}), height


def test_kills_at_random_moments_under_load(tmp_path, record_property):
    """Whatever is killed and when, the network heals by itself and every copy has all that was acknowledged."""
    chance = random.Random(SEED)
    with running_network(tmp_path / "net") as nodes:
        submitters = [Submitter(node) for node in nodes]
        for submitter in submitters:
            submitter.start()
        for _ in range(ROUNDS):
            time.sleep(chance.uniform(0, LONGEST_PAUSE))
            chance.choice(nodes).kill(*chance.choice(VICTIMS))
        began = time.monotonic()
        before = [len(submitter.acknowledged) for submitter in submitters]
        for submitter, count in zip(submitters, before, strict=True):
            wait_for(
                lambda submitter=submitter, count=count: len(submitter.acknowledged) > count + 1,
                f"{submitter.node.organisation} to acknowledge again",
                HEAL_SECONDS,
            )
        healed = time.monotonic() - began
        for submitter in submitters:
            submitter.ended.set()
        for submitter in submitters:
            submitter.join(30)
        wait_until_ready(nodes)
        wait_for(lambda: record_at(nodes), "all copies to be the same", HEAL_SECONDS)
        for node in nodes:
            with node.api() as api:
                assert api.get("/v1/status")["alarm"] is None
    acknowledged = {}
    for submitter in submitters:
        assert [] == submitter.refused
        acknowledged |= submitter.acknowledged
    record_property("acknowledged", len(acknowledged))
    record_property("seconds_to_heal", round(healed, 2))
    print(f"{ROUNDS} kills, {len(acknowledged)} acknowledged, healed in {healed:.1f} s")
    assert_same_everywhere(nodes, acknowledged)


def test_one_down_goes_on_two_down_stop_and_three_go_on_again(tmp_path):
    """One of four away stops nothing; two away stop commits and nothing else; with three it goes on and all catch up."""
    directory = tmp_path / "net"
    with running_network(directory) as nodes:
        first, second, third, fourth = nodes
        submitter = Submitter(first)
        submitter.start()
        wait_for(lambda: submitter.acknowledged, "the first to be recorded")

        fourth.kill_all()
        count = len(submitter.acknowledged)
        wait_for(lambda: len(submitter.acknowledged) > count + 3, "commits with one of four down", HEAL_SECONDS)

        third.kill_all()
        wait_for(lambda: is_still(first), "commits to stop")
        stopped, count = on_disk(first), len(submitter.acknowledged)
        for node in (first, second):
            with node.api() as api:
                assert api.get("/v1/status")["alarm"] is None
                assert 4 == len(api.get("/v1/organisations"))
        time.sleep(3)
        assert (stopped, count) == (on_disk(first), len(submitter.acknowledged))

        network.up(directory)
        wait_for(lambda: len(submitter.acknowledged) > count + 3, "commits with enough of them back", HEAL_SECONDS)
        submitter.ended.set()
        submitter.join(30)
        wait_until_ready(nodes)
        wait_for(lambda: record_at(nodes), "who was away to catch up", HEAL_SECONDS)
        wait_for(lambda: all(sealed(node) for node in nodes), "the tail to be signed", HEAL_SECONDS)
    assert [] == submitter.refused
    assert_same_everywhere(nodes, submitter.acknowledged)


def is_still(node):
    """Tell whether a copy has got no block for some rounds of the engine."""
    before = on_disk(node)
    time.sleep(3)
    return before == on_disk(node)


def sealed(node):
    """Tell whether a quorum has signed the last block of a copy."""
    store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
    last = store.last_block()
    store.close()
    return len(decode_signatures(last.signatures)) >= quorum(4)
