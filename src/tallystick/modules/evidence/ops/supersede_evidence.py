"""supersede_evidence: an organisation says that later evidence of its own replaces earlier.

Contract: both exist and are the signer's; neither was superseded before, which also keeps chains of replacements free
of circles. Nothing is changed or removed: the replaced evidence stays, and stays provable.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.evidence.records import EVIDENCE, SUPERSESSIONS, EvidenceId, Supersession
from tallystick.modules.evidence.rejections import (
    ALREADY_SUPERSEDED,
    NOT_YOUR_EVIDENCE,
    SAME_EVIDENCE,
    UNKNOWN_EVIDENCE,
)


class SupersedeEvidence(Message, kw_only=True, tag="supersede_evidence"):
    """Replace evidence.

    Attributes:
        evidence: id of the replaced.
        by: id of the evidence to look at instead.
    """

    evidence: EvidenceId
    by: EvidenceId


class EvidenceSuperseded(Event, kw_only=True, tag="evidence_superseded"):
    """Evidence was replaced by other evidence."""

    evidence: str
    by: str
    organisation: str


def validate(msg: SupersedeEvidence) -> None:
    """Check that two different ones are named."""
    if msg.evidence == msg.by:
        raise SAME_EVIDENCE(evidence=msg.evidence)


def apply(state: State, ctx: Context, msg: SupersedeEvidence) -> list[Event]:
    """Record the replacement."""
    # READ
    both = (msg.evidence, msg.by)
    records = [state.find(EVIDENCE, identifier) for identifier in both]
    replacements = [state.find(SUPERSESSIONS, identifier) for identifier in both]
    # CHECK
    for identifier, record in zip(both, records, strict=True):
        if record is None:
            raise UNKNOWN_EVIDENCE(evidence=identifier)
        if record.organisation != ctx.organisation:
            raise NOT_YOUR_EVIDENCE(evidence=identifier, organisation=ctx.organisation)
    for identifier, replacement in zip(both, replacements, strict=True):
        if replacement is not None:
            raise ALREADY_SUPERSEDED(evidence=identifier, by=replacement.by)
    # WRITE
    supersession = Supersession(by=msg.by, organisation=ctx.organisation, recorded_at=ctx.time)
    state.put(SUPERSESSIONS, msg.evidence, supersession)
    # EVENTS
    return [EvidenceSuperseded(evidence=msg.evidence, by=msg.by, organisation=ctx.organisation)]


OPERATION = Operation(SupersedeEvidence, "service", validate, apply, "replace evidence of one's own by later evidence")
