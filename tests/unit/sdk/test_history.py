"""What was seen of the history: nothing that contradicts it is taken, and each contradiction has a name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tallystick.errors import IntegrityError, UsageError
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.proofs import verify_fork_proof
from tallystick.sdk import HistoryError, Zone
from tests.support.market import digest
from tests.support.recorded import RecordedZone
from tests.support.zones import BANK, HOSPITAL
from tests.unit.sdk.simulated import SimulatedNode


def grown(folder: Path, *labels: str) -> SimulatedNode:
    """Return a node of a zone with one operation for each label; equal labels give equal histories."""
    node = SimulatedNode(RecordedZone(folder), BANK)
    for label in labels:
        add(node, label)
    return node


def add(node: SimulatedNode, label: str) -> None:
    """Record one more operation, witnessed."""
    node.zone.run(HOSPITAL, RecordEvidence(root=digest(label), count=1))
    node.zone.publish()


def look(zone: Zone) -> Any:
    """See the newest head."""
    return zone.record("zone", "zone")


def turn_to(zone: Zone, node: SimulatedNode) -> None:
    """Let a client speak to another node from now on, as if it were the same."""
    zone._connection._client._transport = node.transport()
    zone._connection._client._mounts = {}


def refused(zone: Zone) -> HistoryError:
    """Return why the newest head is refused."""
    with pytest.raises(HistoryError) as caught:
        look(zone)
    return caught.value


def test_a_history_that_grows_is_followed(tmp_path: Path) -> None:
    """Each newer head is proved to go on from the one before, and becomes what was seen."""
    node = grown(tmp_path / "a", "one", "two", "three")
    with node.connect() as zone:
        look(zone)
        for label in ("four", "five"):
            add(node, label)
            look(zone)

        assert zone.history.seen is not None
        assert 5 == zone.history.seen.size
        assert 2 == node.asked.count(("GET", "/v1/consistency"))


def test_a_heartbeat_needs_no_proof(tmp_path: Path) -> None:
    """A later block with the same history is taken, and then it is what was seen."""
    node = grown(tmp_path / "a", "one")
    with node.connect() as zone:
        look(zone)
        node.zone.execute([])
        look(zone)

        assert zone.history.seen is not None
        assert (2, 1) == (zone.history.seen.header.height, zone.history.seen.size)


def test_an_old_header_is_refused(tmp_path: Path) -> None:
    """A node that shows less than was seen is waited for, then refused: its log was cut, or it shows an old header."""
    newer, older = grown(tmp_path / "a", "one", "two"), grown(tmp_path / "b", "one")
    with newer.connect() as zone:
        look(zone)
        turn_to(zone, older)

        assert "old_header" == refused(zone).reason
        assert newer.slept
        assert zone.history.seen is not None and 2 == zone.history.seen.size


def test_another_history_is_proved_to_anybody(tmp_path: Path) -> None:
    """Two histories of one orderer make a fork proof, whichever of them is longer."""
    mine = grown(tmp_path / "a", "one", "two")
    for labels, kind in ((("one", "other"), "headers"), (("one", "other", "three"), "histories")):
        theirs = grown(tmp_path / "-".join(labels), *labels)
        with mine.connect() as zone:
            look(zone)
            turn_to(zone, theirs)
            error = refused(zone)

            assert "forked_history" == error.reason
            finding = verify_fork_proof(error.proof, zone.trust)
            assert (kind, HOSPITAL) == (finding.kind, finding.culprit)


def test_equal_sizes_with_other_roots_are_a_fork(tmp_path: Path) -> None:
    """A later block with as many entries, but others, is a fork."""
    mine, theirs = grown(tmp_path / "a", "one", "two"), grown(tmp_path / "b", "one", "other")
    theirs.zone.execute([])
    with mine.connect() as zone:
        look(zone)
        turn_to(zone, theirs)
        error = refused(zone)

        assert "forked_history" == error.reason
        assert HOSPITAL == verify_fork_proof(error.proof, zone.trust).culprit


def test_a_consistency_proof_that_does_not_hold_is_refused(tmp_path: Path) -> None:
    """Without a good proof that the one goes on from the other, a newer head is not taken."""
    node = grown(tmp_path / "a", "one", "two", "three")
    for lie in (
        lambda proof: {**proof, "path": proof["path"][:-1]},
        lambda proof: {**proof, "path": ["00" * 32] * len(proof["path"])},
        lambda proof: {**proof, "path": ["x"]},
        lambda proof: {**proof, "first_root": "00" * 32, "path": []},
    ):
        with node.connect() as zone:
            look(zone)
            add(node, "more")
            node.lie("/v1/consistency", lie)
            assert "not_consistent" == refused(zone).reason
            node.lies.clear()


def test_a_node_that_cannot_prove_is_refused(tmp_path: Path) -> None:
    """A node that has no history of the size that was seen is not believed about a larger one."""
    mine, theirs = grown(tmp_path / "a", "one", "two"), SimulatedNode(RecordedZone(tmp_path / "b"), BANK)
    theirs.zone.execute([])
    messages = [RecordEvidence(root=digest(str(number)), count=1) for number in range(3)]
    theirs.zone.execute([])
    theirs.zone.run_atomic(HOSPITAL, messages)
    theirs.zone.publish()
    with mine.connect() as zone:
        look(zone)
        turn_to(zone, theirs)

        assert "not_consistent" == refused(zone).reason


def test_time_that_goes_back_is_refused(tmp_path: Path) -> None:
    """A later block with an earlier time is refused, though its orderer signed it."""
    node = grown(tmp_path / "a", "one", "two")
    with node.connect() as zone:
        look(zone)
        node.zone.execute([])
        node.header = {"time": node.zone.time - 60_000}

        assert "time_went_back" == refused(zone).reason


def test_a_longer_history_cannot_lose_entries(tmp_path: Path) -> None:
    """A later block with a smaller history is refused: the log was truncated."""
    mine, theirs = grown(tmp_path / "a", "one", "two"), grown(tmp_path / "b", "one")
    theirs.header = {"height": 9}
    with mine.connect() as zone:
        look(zone)
        turn_to(zone, theirs)

        error = refused(zone)
        assert ("not_consistent", True) == (error.reason, "cut" in error.message)


def test_receipts_must_be_of_the_history_seen(tmp_path: Path) -> None:
    """A receipt of an earlier part of the history is taken; one of another history is not, though it verifies."""
    mine = grown(tmp_path / "a", "one", "two", "three")
    theirs = grown(tmp_path / "b", "one", "other", "third")
    (mine_id,) = mine.zone.store.query("SELECT lower(hex(id)) FROM transactions WHERE seq = 1")[0]
    (their_id,) = theirs.zone.store.query("SELECT lower(hex(id)) FROM transactions WHERE seq = 2")[0]
    with mine.connect() as zone:
        look(zone)
        assert 1 == zone.receipt(mine_id).verified.size

        mine.answers["GET", f"/v1/receipts/{their_id}"] = [_answer(theirs.ledger().receipt(1))]
        with pytest.raises(HistoryError) as caught:
            zone.receipt(their_id)

        assert "forked_history" == caught.value.reason
        assert HOSPITAL == verify_fork_proof(caught.value.proof, zone.trust).culprit


def test_what_was_seen_outlives_the_program(tmp_path: Path) -> None:
    """With a file, the next client refuses what contradicts the one before; the file is its owner's alone."""
    memory = tmp_path / "seen.json"
    mine, theirs = grown(tmp_path / "a", "one", "two"), grown(tmp_path / "b", "one", "other", "third")
    with mine.connect(memory=memory) as zone:
        look(zone)
    assert 0o600 == memory.stat().st_mode & 0o777

    with theirs.connect(memory=memory) as zone:
        assert "forked_history" == refused(zone).reason
    with mine.connect(memory=memory) as zone:
        add(mine, "three")
        look(zone)
    with mine.connect(memory=memory) as zone:
        assert zone.history.seen is not None and 3 == zone.history.seen.size


def test_a_memory_that_was_changed_is_refused(tmp_path: Path) -> None:
    """A file of another zone, or one that was damaged or made up, is not taken up."""
    memory = tmp_path / "seen.json"
    node = grown(tmp_path / "a", "one", "two")
    with node.connect(memory=memory) as zone:
        look(zone)
    good = memory.read_bytes()
    for bad in (good[:-1], good.replace(b'"size":2', b'"size":1'), b""):
        memory.write_bytes(bad)
        with pytest.raises(IntegrityError):
            node.connect(memory=memory)
    memory.write_bytes(good)
    other = SimulatedNode(RecordedZone(tmp_path / "other", [HOSPITAL, BANK]), BANK)
    other.zone.execute([])
    with pytest.raises(UsageError):
        other.connect(memory=memory)


def _answer(data: bytes) -> Any:
    import httpx

    return httpx.Response(200, content=data)
