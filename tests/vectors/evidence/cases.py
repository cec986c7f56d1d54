"""Cases of the evidence module's vectors."""

from __future__ import annotations

from tallystick.modules.evidence.ops.record_evidence import EvidenceRecorded, RecordEvidence
from tallystick.modules.evidence.ops.supersede_evidence import SupersedeEvidence
from tests.support.zones import HOSPITAL, UNIVERSITY, Simulator
from tests.vectors.generate_modules import Case, Step, step

ROOT = "5a" * 32


def zone() -> Simulator:
    """Return a zone of two organisations."""
    return Simulator((HOSPITAL, UNIVERSITY))


def recorded(simulator: Simulator, organisation: str = HOSPITAL, root: str = ROOT) -> str:
    """Record evidence and return its id."""
    (event,) = simulator.run(organisation, RecordEvidence(root=root, count=1))
    assert isinstance(event, EvidenceRecorded)
    return event.evidence


def _superseded(simulator: Simulator) -> tuple[str, str]:
    old, new = recorded(simulator), recorded(simulator, root="6b" * 32)
    simulator.run(HOSPITAL, SupersedeEvidence(evidence=old, by=new))
    return old, new


def _supersede(simulator: Simulator) -> Step:
    return step(HOSPITAL, SupersedeEvidence(evidence=recorded(simulator), by=recorded(simulator, root="6b" * 32)))


def _of_another(simulator: Simulator) -> Step:
    return step(UNIVERSITY, SupersedeEvidence(evidence=recorded(simulator), by=recorded(simulator, UNIVERSITY)))


def _again(simulator: Simulator) -> Step:
    old, _ = _superseded(simulator)
    return step(HOSPITAL, SupersedeEvidence(evidence=old, by=recorded(simulator, root="7c" * 32)))


def _circle(simulator: Simulator) -> Step:
    old, new = _superseded(simulator)
    return step(HOSPITAL, SupersedeEvidence(evidence=new, by=old))


def _full(simulator: Simulator) -> Step:
    return step(HOSPITAL, RecordEvidence(root=ROOT, count=3, bytes=12_345, private="7c" * 32))


CASES = [
    Case(
        "record_evidence",
        "accepted",
        "A root over one file is recorded.",
        lambda _: step(HOSPITAL, RecordEvidence(root=ROOT, count=1)),
        zone,
    ),
    Case("record_evidence", "all-fields", "Number, size and party-only fields are recorded too.", _full, zone),
    Case(
        "record_evidence",
        "bad-root",
        "A root in capitals is refused.",
        lambda _: step(HOSPITAL, RecordEvidence(root="5A" * 32, count=1)),
        zone,
    ),
    Case(
        "record_evidence",
        "bad-private-root",
        "A commitment that is no hash is refused.",
        lambda _: step(HOSPITAL, RecordEvidence(root=ROOT, count=1, private="z" * 64)),
        zone,
    ),
    Case(
        "record_evidence",
        "role-missing",
        "A system key records no evidence.",
        lambda _: step(HOSPITAL, RecordEvidence(root=ROOT, count=1), role="system"),
        zone,
    ),
    Case("supersede_evidence", "accepted", "Later evidence replaces earlier.", _supersede, zone),
    Case(
        "supersede_evidence",
        "unknown-evidence",
        "What is not there cannot be replaced.",
        lambda zone: step(HOSPITAL, SupersedeEvidence(evidence="ev-nothing", by=recorded(zone))),
        zone,
    ),
    Case(
        "supersede_evidence",
        "not-your-evidence",
        "Evidence of another organisation is not replaced.",
        _of_another,
        zone,
    ),
    Case("supersede_evidence", "already-superseded", "Evidence is replaced once.", _again, zone),
    Case("supersede_evidence", "circle", "Replaced evidence does not replace what replaced it.", _circle, zone),
    Case(
        "supersede_evidence",
        "same-evidence",
        "Evidence does not replace itself.",
        lambda zone: (lambda evidence: step(HOSPITAL, SupersedeEvidence(evidence=evidence, by=evidence)))(
            recorded(zone)
        ),
        zone,
    ),
]
