"""record_evidence: an organisation records the fingerprint of files that it holds.

Contract: the root is a salted commitment (see README), so that it says nothing of the files to anybody who is not shown
them with a proof. The ledger cannot know whether there are such files; it proves that who shows them had them by then.
"""

from __future__ import annotations

from tallystick.codec import MalformedError, check_hash
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.evidence.records import EVIDENCE, Count, Evidence, Hash, Positive
from tallystick.modules.evidence.rejections import BAD_ROOT

ID_LENGTH = 8


class RecordEvidence(Message, kw_only=True, tag="record_evidence"):
    """Record a fingerprint of files.

    Attributes:
        root: commitment root over the files, hex.
        count: how many files.
        bytes: of all files together; left out where it is nobody's business.
        private: commitment root of party-only fields, hex.
    """

    root: Hash
    count: Positive
    bytes: Count | None = None
    private: Hash | None = None


class EvidenceRecorded(Event, kw_only=True, tag="evidence_recorded"):
    """A fingerprint was recorded under this id."""

    evidence: str
    organisation: str
    root: str


def validate(msg: RecordEvidence) -> None:
    """Check that the roots are hashes."""
    _check_root(msg.root, "root")
    if msg.private is not None:
        _check_root(msg.private, "private")


def apply(state: State, ctx: Context, msg: RecordEvidence) -> list[Event]:
    """Record the fingerprint under a new short id."""
    # READ
    identifier = ctx.new_id(state, EVIDENCE, "ev", ID_LENGTH)
    # CHECK: anybody may record what they hold; the same root twice is two records.
    # WRITE
    evidence = Evidence(
        organisation=ctx.organisation,
        root=msg.root,
        count=msg.count,
        bytes=msg.bytes,
        private=msg.private,
        recorded_at=ctx.time,
    )
    state.put(EVIDENCE, identifier, evidence)
    # EVENTS
    return [EvidenceRecorded(evidence=identifier, organisation=ctx.organisation, root=msg.root)]


def _check_root(root: str, field: str) -> None:
    try:
        check_hash(root)
    except MalformedError:
        raise BAD_ROOT(field=field) from None


OPERATION = Operation(RecordEvidence, "service", validate, apply, "record the fingerprint of files")
