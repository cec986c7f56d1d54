"""A node that serves forged blocks, headers and proofs of a zone where four order: nothing of it is kept or believed.

The liar holds the TLS key of a member and answers as its node would. What it cannot have is the signatures of more than
two thirds of those who order; where it has these too, the zone's own validators told two histories, and the alarm is
raised. `test_lies.py` is about zones where one orders.
"""

import asyncio

import msgspec
import pytest

from tallystick.codec import encode_json
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.node.inspection import check, kept_forks, read_fork_proof
from tallystick.node.peers.messages import SignedBlock
from tallystick.proofs import ReceiptError, verify_fork_proof
from tallystick.proofs.headers import decode_header, decode_signatures
from tallystick.sdk import HistoryError, NotWitnessedError
from tests.support.faults import record_fault
from tests.support.liars import Liar
from tests.support.market import DATASET, digest, offer
from tests.support.nodes import LocalNode, until
from tests.support.recorded import RecordedZone
from tests.support.together import REPLICAS, VALIDATORS, TogetherZone, hash_of_header, signed, with_signatures
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY
from tests.unit.sdk.simulated import SimulatedNode

VICTIM, STRANGER = REPLICAS
QUORUM = VALIDATORS[:3]
BEHIND = 3


@pytest.fixture(scope="module")
def zone(tmp_path_factory):
    """A zone of seven blocks, one of which replaced a validator's key; a replica lacks the last three."""
    made = TogetherZone(tmp_path_factory.mktemp("together") / "net")
    made.make()
    made.old_signer = made.rotate_system_key(VALIDATORS[0])
    while len(made.blocks) < 7:
        made.make()
    for name in (STRANGER, VALIDATORS[1]):
        made.give(name, len(made.blocks))
    asyncio.run(follow_some(made, len(made.blocks) - BEHIND))
    yield made
    made.store.close()


async def follow_some(zone, height):
    """Let the replica follow so many blocks."""
    home = zone.home(VICTIM)
    async with liar(zone, zone.blocks[:height], VALIDATORS[1]) as source:
        async with LocalNode(
            home, zone.keys[VICTIM], follow=[source.address], poll_seconds=1, listen="127.0.0.1:0"
        ) as node:
            await until(lambda: node.height == height, "the replica to follow")


def liar(zone, blocks, name=STRANGER, **options):
    """Return a node that holds a member's TLS key and gives these blocks."""
    return Liar(zone.home(name), zone.keys[name], blocks, **options)


def victim(zone, folder, *sources):
    """Return the replica that is behind, on a fresh copy, following these sources in this order."""
    return LocalNode(
        zone.copy(VICTIM, folder),
        zone.keys[VICTIM],
        follow=[source.address for source in sources],
        poll_seconds=1,
        listen="127.0.0.1:0",
    )


def chosen(zone, names):
    return {name: zone.signers[name] for name in names}


def forged(zone, block, names, **changes):
    """Return a block whose header says something else, signed by these validators."""
    return signed(
        msgspec.structs.replace(decode_header(block.header), **changes), block.transactions, chosen(zone, names)
    )


def by(zone, block, **signers):
    """Return a block signed by a quorum but for these, by name."""
    return signed(decode_header(block.header), block.transactions, chosen(zone, QUORUM) | signers)


def twice(block):
    """Return a block with the first signature in place of all, each under its own bytes: no canonical list."""
    first = decode_signatures(block.signatures)[0]
    return SignedBlock(block.header, encode_json([first, first, first]), block.transactions)


LIES = {
    "too_few_signatures of two of four": lambda zone, block: with_signatures(
        block, decode_signatures(block.signatures)[:2]
    ),
    "too_few_signatures of nobody": lambda zone, block: with_signatures(block, []),
    "too_few_signatures under another app hash": lambda zone, block: forged(
        zone, block, VALIDATORS[:2], app_hash="00" * 32
    ),
    "bad_header_signature of a member that does not order": lambda zone, block: by(
        zone, block, **{STRANGER: zone.keys[STRANGER].signer("system")}
    ),
    "bad_header_signature of a stranger in a validator's name": lambda zone, block: by(
        zone, block, **{VALIDATORS[1]: zone.keys[STRANGER].signer("system")}
    ),
    "bad_header_signature of a key that was replaced": lambda zone, block: by(
        zone, block, **{VALIDATORS[0]: zone.old_signer}
    ),
    "bad_header_signature of another header": lambda zone, block: SignedBlock(
        block.header, zone.blocks[0].signatures, block.transactions
    ),
    "bad_header_signature counted three times": lambda zone, block: twice(block),
    "transactions_mismatch": lambda zone, block: SignedBlock(block.header, block.signatures, []),
    "not_next replayed": lambda zone, block: zone.blocks[0],
    "not_next left out": lambda zone, block: zone.blocks[-1],
}


@pytest.mark.parametrize("lie", LIES)
async def test_forged_block_is_refused_and_its_source_left(zone, tmp_path, lie):
    """The copy keeps nothing of it, blames who gave it, and has the true blocks from another node."""
    place = len(zone.blocks) - BEHIND
    blocks = [*zone.blocks[:place], LIES[lie](zone, zone.blocks[place]), *zone.blocks[place + 1 :]]
    async with (
        liar(zone, blocks) as false,
        liar(zone, zone.blocks, VALIDATORS[1]) as honest,
        victim(zone, tmp_path, false, honest) as copy,
    ):
        told = await copy.office.link.ask("apply", list(blocks[place]))
        assert (lie.split()[0], "source") == (told["refused"], told["blame"])
        await until(lambda: copy.height == len(zone.blocks), "the copy to find the honest source")
        assert false.asked
        assert honest.address == copy.peers.follower.source
        assert (None, []) == (copy.core.alarm, copy.core.store.forks())
        kept = [copy.core.store.find_block(at).header for at in range(1, 1 + len(zone.blocks))]
        assert [block.header for block in zone.blocks] == kept
    record_fault("forged-block", tried=1, lost=0, forked=0)
    assert check(copy.home.path).ok


async def test_who_orders_no_more_signs_for_nothing(tmp_path):
    """Once a validator was voted out, two of the three that are left and its signature are no quorum of theirs."""
    zone = TogetherZone(tmp_path / "net")
    zone.make()
    gone = zone.demote(VALIDATORS[3])
    zone.make()
    last = zone.blocks[-1]
    (tmp_path / "copies").mkdir()
    for name in (STRANGER, VALIDATORS[1]):
        zone.give(name, len(zone.blocks))
    lie = signed(decode_header(last.header), last.transactions, chosen(zone, VALIDATORS[:2]) | {VALIDATORS[3]: gone})
    async with (
        liar(zone, [*zone.blocks[:-1], lie]) as false,
        liar(zone, zone.blocks, VALIDATORS[1]) as honest,
        victim(zone, tmp_path / "copies", false, honest) as copy,
    ):
        await until(lambda: copy.height == len(zone.blocks), "the copy to find the honest source")
        assert (honest.address, None) == (copy.peers.follower.source, copy.core.alarm)
        kept = decode_signatures(copy.core.store.find_block(len(zone.blocks)).signatures)
        assert {*VALIDATORS[:3]} == {each.organisation for each in kept}
    zone.store.close()
    assert check(copy.home.path).ok


async def test_old_head_and_short_history_hold_nobody_back(zone, tmp_path):
    """A source that shows an old head again and ends early is left once others are known to have more."""
    short = zone.blocks[: -BEHIND + 1]
    old = {"height": 1, "size": 1, "root": "00" * 32, "checkpoints": (), "cosignatures": ()}
    async with (
        liar(zone, short, head=lambda head: msgspec.structs.replace(head, **old)) as false,
        liar(zone, zone.blocks, VALIDATORS[1]) as honest,
        victim(zone, tmp_path, false, honest) as copy,
    ):
        await until(lambda: copy.height == len(short), "the blocks that it has")
        copy.peers.follower.heard(len(zone.blocks))
        await until(lambda: copy.height == len(zone.blocks), "the rest from another")
        assert copy.core.alarm is None


QUORUM_LIES = {
    "app_hash_mismatch": {"app_hash": "00" * 32},
    "time_went_back": {"time": 1},
    "wrong_previous": {"previous": "00" * 32},
}


@pytest.mark.parametrize("lie", QUORUM_LIES)
async def test_what_a_quorum_signed_and_is_wrong_raises_the_alarm(zone, tmp_path, lie):
    """Three of four that order sign what is not so: that is no source's lie, and the copy follows nobody any more."""
    place = len(zone.blocks) - BEHIND
    wrong = forged(zone, zone.blocks[place], QUORUM, **QUORUM_LIES[lie])
    async with (
        liar(zone, [*zone.blocks[:place], wrong]) as false,
        liar(zone, zone.blocks, VALIDATORS[1]) as honest,
        victim(zone, tmp_path, false, honest) as copy,
    ):
        await until(lambda: copy.core.alarm, "the alarm")
        await until(lambda: copy.peers.follower.trouble, "the follower to say why")
        assert place == copy.height
        told = await copy.office.link.ask("apply", list(zone.blocks[place]))
        assert ("alarm", "orderer") == (told["refused"], told["blame"])
    assert check(copy.home.path).ok


async def test_two_histories_of_a_quorum_are_proved_to_anybody(zone, tmp_path):
    """Two headers of one height, both with three of four signatures: the fork proof names one that signed both."""
    place = len(zone.blocks) - BEHIND
    other = msgspec.structs.replace(decode_header(zone.blocks[place - 1].header), app_hash="11" * 32)
    before = signed(other, zone.blocks[place - 1].transactions, chosen(zone, VALIDATORS[1:]))
    behind = forged(zone, zone.blocks[place], QUORUM, previous=hash_of_header(other))
    async with (
        liar(zone, [*zone.blocks[: place - 1], before, behind]) as false,
        victim(zone, tmp_path, false) as copy,
    ):
        await until(lambda: copy.core.store.forks(), "the fork proof")
        assert copy.core.alarm
        (proof,) = kept_forks(copy.home)
        found = read_fork_proof(proof, copy.home.read_trust())
        assert ("headers", True) == (found.kind, found.culprit in VALIDATORS[1:])


# --- what the client is told -----------------------------------------------------------------------------------------

TOGETHER = (HOSPITAL, UNIVERSITY, BANK, CITY)


def history(folder, *labels, signers=TOGETHER):
    """Return the node of a zone of four that recorded these, and whose headers these sign."""
    recorded = RecordedZone(folder, TOGETHER, validators=TOGETHER)
    recorded.ordering = signers
    offer(recorded)
    for label in labels:
        recorded.run(HOSPITAL, RecordEvidence(root=digest(label), count=1))
    recorded.publish()
    return SimulatedNode(recorded)


def last_transaction(node):
    return node.zone.store.query("SELECT lower(hex(id)) FROM transactions ORDER BY seq DESC LIMIT 1")[0][0]


@pytest.fixture(scope="module")
def honest_node(tmp_path_factory):
    return history(tmp_path_factory.mktemp("told") / "ledger", "one", "two")


def renamed(signatures, name):
    """Return signatures with the last one under another name."""
    return sorted([*signatures[:-1], {**signatures[-1], "organisation": name}], key=lambda each: each["organisation"])


PROOF_LIES = {
    "too_few_header_signatures of two of four": lambda signatures: signatures[:2],
    "too_few_header_signatures of nobody": lambda signatures: [],
    "bad_header_signature by one that does not order": lambda signatures: renamed(signatures, "port-authority"),
    "bad_header_signature under another's name": lambda signatures: [
        {**each, "signature": signatures[0]["signature"]} for each in signatures
    ],
    "bad_header_signature counted twice": lambda signatures: [signatures[0], *signatures],
}


@pytest.mark.parametrize("lie", PROOF_LIES)
def test_client_refuses_a_proof_without_a_quorum(honest_node, lie):
    """Whatever list of signatures a node makes up, the client names what is wrong with it and takes nothing of it."""
    change = PROOF_LIES[lie]
    honest_node.lies.clear()
    honest_node.lie(
        f"/v1/records/datasets/{DATASET}",
        lambda proof: {**proof, "header_signatures": change(proof["header_signatures"])},
    )
    with honest_node.connect() as client:
        with pytest.raises(ReceiptError) as caught:
            client.record("datasets", DATASET)
        assert lie.split()[0] == caught.value.reason
        assert client.history.seen is None
        honest_node.lies.clear()
        assert client.record("datasets", DATASET).value["name"] == DATASET
    record_fault("forged-proof", tried=1, lost=0, forked=0)


def test_client_refuses_a_history_that_two_of_four_signed(honest_node, tmp_path):
    """Half of those who order make up a history that is right in itself: the client takes no record and no receipt of it."""
    false = history(tmp_path / "false", "one", "forged", "forged too", signers=TOGETHER[:2])
    honest_node.lies.clear()
    assert honest_node.trust_bytes() == false.trust_bytes()
    with false.connect(trust=honest_node.trust_bytes()) as client:
        with pytest.raises(ReceiptError) as caught:
            client.record("datasets", DATASET)
        assert "too_few_header_signatures" == caught.value.reason
        with pytest.raises((ReceiptError, NotWitnessedError)):
            client.receipt(last_transaction(false))
        assert client.history.seen is None


def test_client_refuses_an_old_head_shown_again(honest_node, tmp_path):
    """What four signed once is no answer any more to a client that has seen more."""
    old = history(tmp_path / "old", "one")
    honest_node.lies.clear()
    with honest_node.connect() as client:
        client.record("datasets", DATASET)
        seen = client.history.seen
        client._connection._client._transport = old.transport()
        client._connection._client._mounts = {}
        with pytest.raises(HistoryError) as caught:
            client.record("datasets", DATASET)
        assert "old_header" == caught.value.reason
        assert seen == client.history.seen


def test_client_is_told_of_a_fork_by_a_quorum(honest_node, tmp_path):
    """Two histories that three of four signed are proved to anybody, by the signatures of one that signed both."""
    other = history(tmp_path / "other", "one", "another", "three", signers=TOGETHER[1:])
    honest_node.lies.clear()
    with honest_node.connect() as client:
        client.record("datasets", DATASET)
        client._connection._client._transport = other.transport()
        client._connection._client._mounts = {}
        with pytest.raises(HistoryError) as caught:
            client.record("datasets", DATASET)
        assert "forked_history" == caught.value.reason
        finding = verify_fork_proof(caught.value.proof, client.trust)
        assert finding.culprit in TOGETHER[1:]
