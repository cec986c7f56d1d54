"""The client against running nodes: the main job end to end, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import tallystick
from tallystick.errors import AccessError, PeerError, RejectedError
from tallystick.sdk import NotFoundError, Zone, verify_receipt
from tests.support.nodes import RunningNode, running_zone, wait_for
from tools.tracked import ROOT

HOSPITAL, UNIVERSITY = "city-hospital", "state-university"
ROWS = b"ward,count\n" + b"".join(b"w%d,%d\n" % (number % 7, number) for number in range(300_000))


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningNode]]:
    """A zone of two running nodes."""
    with running_zone(tmp_path_factory.mktemp("zone"), UNIVERSITY, first=HOSPITAL) as found:
        yield found


@pytest.fixture
def hospital(nodes: dict[str, RunningNode]) -> Iterator[Zone]:
    """The hospital's client, which remembers what it saw."""
    memory = nodes[HOSPITAL].home.path / "seen.json"
    with tallystick.connect(home=nodes[HOSPITAL].home.path, memory=memory) as zone:
        yield zone


@pytest.fixture
def university(nodes: dict[str, RunningNode]) -> Iterator[Zone]:
    """The university's client."""
    with nodes[UNIVERSITY].client() as zone:
        yield zone


def agree(hospital: Zone, university: Zone, dataset: str) -> str:
    """Ask for a dataset and have it approved; return the agreement once both copies have it."""
    wait_for(lambda: dataset in [each.name for each in university.find(limit=200)], "the dataset")
    asked = university.request(dataset, "Study of wards", comment="soon, please")
    wait_for(lambda: asked.id in [each.id for each in hospital.requests(waiting=True)], "the request")
    agreement = hospital.approve(asked.id).agreement
    wait_for(lambda: agreement in [each.id for each in university.agreements("in_force")], "the agreement")
    return agreement


def test_data_is_shared_and_proved(
    nodes: dict[str, RunningNode], hospital: Zone, university: Zone, tmp_path: Path
) -> None:
    """Offer, find, ask, approve, fetch, table, receipt, terminate: each step checked against the ledger."""
    source = tmp_path / "wards.csv"
    source.write_bytes(ROWS)
    told: list[tuple[int, int]] = []
    offered = hospital.offer(
        source,
        name="wards",
        title="Wards",
        field="health",
        keywords=("wards",),
        progress=lambda done, total: told.append((done, total)),
    )
    assert offered.recorded is not None and f"{HOSPITAL}/wards" == offered.name
    assert "Wards, all" == hospital.revise("wards", title="Wards, all").title
    agreement = agree(hospital, university, offered.name)
    assert ["ward", "count"] == [name for name, _ in university.dataset(offered.name).latest.columns]
    said = wait_for(lambda: _said(hospital, university.agreement(agreement).request), "the purpose")
    assert "Study of wards" == said

    fetched = university.fetch(agreement, tmp_path / "here")
    assert ROWS == fetched.path.read_bytes()
    assert 300_000 == len(fetched.table())
    assert 10 == len(university.table(offered.name, nrows=10))
    assert "received" == university.delivery(fetched.delivery).state

    for zone, recorded in ((university, fetched.recorded), (hospital, offered.recorded)):
        assert recorded is not None
        receipt = zone.receipt(recorded.transaction, recorded.index)
        assert (1, 1) == (len(receipt.verified.witnesses), receipt.verified.needed)
        trust = nodes[HOSPITAL].home.path / "zone.json"
        assert verify_receipt(receipt.data, trust, file=fetched.path).accepted

    assert "open" == university.dispute(fetched.delivery, "columns").dispute
    wait_for(lambda: hospital.delivery(fetched.delivery).dispute, "the dispute")
    assert "answered" == hospital.answer(fetched.delivery, "as offered").dispute
    assert "terminated" == hospital.terminate(agreement, "over").state
    wait_for(lambda: university.agreement(agreement).state == "terminated", "the end")
    with pytest.raises(AccessError):
        university.fetch(agreement)
    with pytest.raises(RejectedError):
        hospital.terminate(agreement, "again")
    assert "withdrawn" == hospital.withdraw("wards").status


def _said(zone: Zone, request: str) -> str:
    return "".join(each.fields.get("purpose", "") for each in zone.show_request(request).private)


def test_requests_are_countered_rejected_and_cancelled(hospital: Zone, university: Zone, tmp_path: Path) -> None:
    """Terms go to and fro, and what is decided is checked each time."""
    source = tmp_path / "beds.csv"
    source.write_bytes(b"bed\n1\n")
    name = hospital.offer(source, name="beds", title="Beds", field="health").name
    wait_for(lambda: name in [each.name for each in university.find("beds")], "the dataset")
    asked = university.request(name, "Study", proposal="open-within-zone")
    wait_for(lambda: asked.id in [each.id for each in hospital.requests("received")], "the request")
    assert UNIVERSITY == hospital.counter(asked.id, "research-90d", "ninety days will do").turn
    wait_for(lambda: university.show_request(asked.id).turn == UNIVERSITY, "the counter")
    assert "rejected" == university.reject(asked.id, "too short").decision
    again = university.request(name, "Study")
    assert "cancelled" == university.cancel(again.id).decision
    with pytest.raises(NotFoundError):
        hospital.show_request("req-none")


def test_members_keys_and_the_ledger(hospital: Zone, university: Zone, tmp_path: Path) -> None:
    """Members, keys, API keys, evidence, the history and its events are there and checked."""
    assert [HOSPITAL, UNIVERSITY] == [each.id for each in hospital.organisations()]
    assert hospital.organisation(HOSPITAL).orders and university.organisation(UNIVERSITY).mine
    assert () == hospital.applications()
    added = hospital.add_key("service")
    rotated = hospital.rotate_key("registration")
    assert hospital.revoke_key(added.key).key == added.key
    assert rotated.key in [each.key for each in hospital.organisation(HOSPITAL).keys]
    renamed = university.rename("The University")
    assert "The University" == wait_for(lambda: university.organisation(UNIVERSITY).name, "the name")
    assert university.operation(renamed.transaction, renamed.index).operation == {
        "type": "rename_organisation",
        "name": "The University",
    }
    file = tmp_path / "minutes.txt"
    file.write_text("minutes")
    evidence = hospital.record_evidence([file], tmp_path / "proofs")
    assert evidence.id in [each.id for each in hospital.evidence()]
    assert hospital.record("evidence", evidence.id).value is not None

    newest = hospital.operations(limit=1)[0]
    assert evidence.recorded is not None and newest.leaf == evidence.recorded.leaf
    kinds = [event.event["type"] for event in hospital.events()]
    assert {"evidence_recorded", "organisation_renamed"} <= set(kinds)
    assert hospital.status().size == newest.leaf + 1
    assert [HOSPITAL] == [each.organisation for each in university.standing().nodes]
    assert hospital.history.seen is not None and hospital.history.seen.size >= newest.leaf


def test_api_keys_hold_what_they_say(nodes: dict[str, RunningNode], hospital: Zone, tmp_path: Path) -> None:
    """A key that may only read cannot act, and one that was revoked is refused; only a fingerprint need be known."""
    made = hospital.create_api_key("reader", ["observer"], expires=time.time_ns() // 1_000_000 + 60_000)
    assert made.key.id in [each.id for each in hospital.api_keys()]
    address, known = nodes[HOSPITAL].operator().url, hospital.trust.fingerprint
    with tallystick.connect(address, made.secret, fingerprint=known) as reader:
        assert reader.record("zone", "zone").value is not None
        with pytest.raises(AccessError):
            reader.offer(tmp_path, name="x", title="X", field="health")
        hospital.revoke_api_key(made.key.id)
        with pytest.raises(AccessError):
            reader.status()


def test_the_example_runs(nodes: dict[str, RunningNode], tmp_path: Path) -> None:
    """`examples/share_data.py` does what it says."""
    file = tmp_path / "shared-by-example.csv"
    file.write_bytes(b"a,b\n1,2\n")
    homes = [str(nodes[name].home.path) for name in (HOSPITAL, UNIVERSITY)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "share_data.py"), *homes, str(file), str(tmp_path / "here")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "witnessed by" in done.stdout
    assert file.read_bytes() == (tmp_path / "here" / file.name).read_bytes()


def test_a_node_that_stopped_is_named(nodes: dict[str, RunningNode]) -> None:
    """While the node of a home does not run, the error says which and how to start it; afterwards all is as before."""
    node = nodes[UNIVERSITY]
    node.stop()
    try:
        with pytest.raises(PeerError, match="does not run"):
            node.client()
    finally:
        node.start()
    with node.client() as zone:
        assert UNIVERSITY == zone.organisation
