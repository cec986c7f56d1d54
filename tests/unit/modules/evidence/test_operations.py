"""What evidence operations do together; each outcome alone is a golden vector."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.modules.evidence import queries
from tallystick.modules.evidence.ops import RecordEvidence, SupersedeEvidence
from tallystick.modules.evidence.records import EVIDENCE, SUPERSESSIONS
from tests.support.zones import HOSPITAL, UNIVERSITY, SignedSimulator, Simulator
from tests.vectors.evidence.cases import ROOT, recorded


@pytest.fixture(params=[Simulator, SignedSimulator])
def zone(request):
    """Return a zone of two members; once simulated, once with signatures."""
    return request.param((HOSPITAL, UNIVERSITY))


def test_evidence_is_found_by_its_id(zone):
    """Recorded evidence says whose it is, its root and when it was recorded."""
    identifier = recorded(zone)

    evidence = queries.find_evidence(zone.state, identifier)
    assert evidence is not None
    assert (HOSPITAL, ROOT, 1, zone.time) == (
        evidence.organisation,
        evidence.root,
        evidence.count,
        evidence.recorded_at,
    )
    assert queries.find_evidence(zone.state, "ev-nothing") is None


def test_same_root_twice_is_two_records(zone):
    """Recording a root again makes another record."""
    assert recorded(zone) != recorded(zone)


def test_two_in_one_transaction_have_different_ids(zone):
    """Operations of one transaction get ids of their own."""
    zone.run_atomic(HOSPITAL, [RecordEvidence(root=ROOT, count=1), RecordEvidence(root=ROOT, count=1)])

    assert 2 == len(list(zone.state.scan(EVIDENCE)))


def test_record_is_small(zone):
    """A full record stays within 300 bytes, a plain one within 220."""
    identifier = recorded(zone)
    assert len(zone.reader.read("evidence", identifier)) <= 220

    zone.run(HOSPITAL, RecordEvidence(root=ROOT, count=2**53 - 1, bytes=2**53 - 1, private="ab" * 32))
    assert max(len(value) for (name, _), value in zone.reader.records.items() if name == "evidence") <= 300


def test_replacements_are_followed_to_the_latest(zone):
    """The latest of a chain is found from each of its links; the replaced stay as they were."""
    first, second, third = recorded(zone), recorded(zone), recorded(zone)
    before = zone.get(EVIDENCE, first)

    zone.run(HOSPITAL, SupersedeEvidence(evidence=first, by=second))
    zone.run(HOSPITAL, SupersedeEvidence(evidence=second, by=third))

    assert [third] * 3 == [queries.latest(zone.state, each) for each in (first, second, third)]
    assert second == queries.superseded_by(zone.state, first)
    assert before == zone.get(EVIDENCE, first)
    assert [] == zone.broken()


def test_damaged_records_break_invariants():
    """Each invariant notices what it is about."""
    zone = Simulator((HOSPITAL, UNIVERSITY))
    old, new = recorded(zone), recorded(zone)
    zone.run(HOSPITAL, SupersedeEvidence(evidence=old, by=new))
    assert [] == zone.broken()
    damages = [
        (EVIDENCE, old, {"organisation": UNIVERSITY}),
        (EVIDENCE, new, {"organisation": "nobody"}),
        (SUPERSESSIONS, old, {"by": old}),
        (SUPERSESSIONS, old, {"by": "ev-nothing"}),
    ]
    for collection, key, changes in damages:
        where = (collection.name, key)
        intact = zone.reader.records[where]
        zone.reader.records[where] = collection.encode(msgspec.structs.replace(zone.get(collection, key), **changes))
        assert zone.broken(), (where, changes)
        zone.reader.records[where] = intact
    zone.reader.records[("supersessions", new)] = SUPERSESSIONS.encode(
        msgspec.structs.replace(zone.get(SUPERSESSIONS, old), by=old)
    )
    assert any("circle" in fault for fault in zone.broken())
