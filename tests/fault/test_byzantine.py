"""One of four validators does not keep to the rules: the others refuse what is wrong, go on, and say who it was.

Every network is one of real nodes and real engines. The dishonest validator is a test build of our own core
(`tests/support/dishonest_core.py`) behind a real engine, so that all it says is well signed and well formed.
`TALLY_FAULT_ROUNDS` asks for more bad proposals and double votes.
"""

import asyncio
import os

import pytest

from tallystick.machine import Parameters
from tallystick.modules import rulebook
from tallystick.proofs.headers import decode_signatures
from tallystick.store import LedgerStore
from tests.support.byzantine import ask_engine, network_with_dishonest, network_with_twins
from tests.support.copies import on_disk
from tests.support.dishonest_core import FIRST_WRONG
from tests.support.load import Load
from tests.support.nodes import wait_for

pytestmark = pytest.mark.timeout(3_600)
ROUNDS = int(os.environ.get("TALLY_FAULT_ROUNDS", "4"))
CAP = 6
SECONDS = 120.0
# What honest validators say of the four kinds of bad proposals.
REASONS = ("is malformed", "has a bad signature", "is beyond a block's caps", "has seen another history")


def log_of(node):
    return node.log_path.read_text(errors="replace")


def status_of(node):
    with node.api() as api:
        return api.get("/v1/status")


def engine_of(node, method, **params):
    return asyncio.run(ask_engine(node.home, method, **params))


def address_of(node):
    """Return how the engine names a validator."""
    return engine_of(node, "status")["validator_info"]["address"]


def test_bad_proposals_are_refused_and_another_round_decides(tmp_path):
    """Whatever a proposal holds that no block may hold, honest validators vote against it, and the next one's is taken."""
    limits = Parameters(block_operations_per_organisation=CAP)
    with network_with_dishonest(tmp_path / "net", "proposals", parameters=limits) as (honest, dishonest):
        with Load(honest) as load:
            for node in honest:
                for reason in REASONS:
                    wait_for(
                        lambda node=node, reason=reason: log_of(node).count(reason) >= max(1, ROUNDS // len(REASONS)),
                        f"{node.organisation} to say that something {reason}",
                        SECONDS * max(1, ROUNDS // 10),
                    )
            recovery = load.go_on()
        height = int(engine_of(honest[0], "status")["sync_info"]["latest_block_height"])
        headers = [engine_of(honest[0], "commit", height=str(at))["signed_header"] for at in range(1, height + 1)]
        assert address_of(dishonest) not in {each["header"]["proposer_address"] for each in headers}
        assert any(int(each["commit"]["round"]) > 0 for each in headers)
        assert [None] * len(honest) == [status_of(node)["alarm"] for node in honest]
    refused = sum(log_of(honest[0]).count(reason) for reason in REASONS)
    load.check("bad-proposal", refused, [recovery])


@pytest.mark.parametrize("how", ["wrong-hash", "wrong-header"])
def test_who_signs_another_app_hash_stands_alone(tmp_path, how):
    """Nobody counts its signatures: the others go on without it, nothing of its own is ever sealed, and they name it.

    With another app hash in its engine it can take no further block; with one in the zone's header alone it votes on, and
    has a history that nobody else has.
    """
    with network_with_dishonest(tmp_path / "net", how) as (honest, dishonest):
        with Load(honest) as load:
            wait_for(lambda: min(on_disk(node)[0] for node in honest) > FIRST_WRONG, "the wrong block", SECONDS)
            recovery = load.go_on()
        for node in honest:
            suspicion = wait_for(lambda node=node: status_of(node)["suspicion"], f"{node.organisation} to name it")
            assert suspicion.startswith(f"{dishonest.organisation} signs another header of block {FIRST_WRONG}")
        assert [None] * len(honest) == [status_of(node)["alarm"] for node in honest]
    truth, wrong = blocks_on(honest[0]), blocks_on(dishonest)
    assert all(truth[at].header == wrong[at].header for at in range(1, FIRST_WRONG))
    assert FIRST_WRONG in wrong
    for at in range(FIRST_WRONG, 1 + min(max(wrong), max(truth))):
        assert truth[at].header != wrong[at].header
        assert [dishonest.organisation] == signers_of(wrong[at])
        assert dishonest.organisation not in signers_of(truth[at])
    load.check(how, 1, [recovery])


def blocks_on(node):
    """Return the blocks of a stopped node's copy, without their transactions, by height."""
    store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
    found = {height: store.head_at(height) for height in range(1, 1 + store.last_block().height)}
    store.close()
    return found


def signers_of(block):
    return [each.organisation for each in decode_signatures(block.signatures)]


def test_double_signing_ends_in_a_block_as_evidence(tmp_path):
    """One consensus key at two engines: its double vote becomes evidence in a block, is kept, and named by every node."""
    with network_with_twins(tmp_path / "net") as (honest, doubled):
        with Load(honest) as load:
            for node in honest:
                wait_for(
                    lambda node=node: len(status_of(node)["misbehaviour"]) >= max(1, ROUNDS // 10),
                    f"the finding at {node.organisation}",
                    SECONDS,
                )
            recovery = load.go_on()
        address = address_of(doubled).lower()
        found = [status_of(node)["misbehaviour"] for node in honest]
        assert [None] * len(honest) == [status_of(node)["alarm"] for node in honest]
    same = {("duplicate_vote", doubled.organisation, address)}
    for each in found:
        assert same == {(item["kind"], item["organisation"], item["validator"]) for item in each}
    load.check("double-vote", max(map(len, found)), [recovery])
