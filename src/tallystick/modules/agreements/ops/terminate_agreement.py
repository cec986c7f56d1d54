"""terminate_agreement: either party ends an agreement before its time.

Contract: the agreement is in force, or not yet begun. From this block on nothing may be delivered under it; what was
delivered, and the record of it, remains.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.agreements.negotiation import check_hex
from tallystick.modules.agreements.queries import agreement_state
from tallystick.modules.agreements.records import AGREEMENTS, Hash, Identifier
from tallystick.modules.agreements.rejections import AGREEMENT_NOT_IN_FORCE, NOT_A_PARTY, UNKNOWN_AGREEMENT


class TerminateAgreement(Message, kw_only=True, tag="terminate_agreement"):
    """End an agreement; `private` is the commitment to the reason."""

    agreement: Identifier
    private: Hash | None = None


class AgreementTerminated(Event, kw_only=True, tag="agreement_terminated"):
    """A party ended the agreement."""

    agreement: str
    dataset: str
    provider: str
    consumer: str
    by: str


def validate(msg: TerminateAgreement) -> None:
    """Check the commitment."""
    if msg.private is not None:
        check_hex("private", msg.private)


def apply(state: State, ctx: Context, msg: TerminateAgreement) -> list[Event]:
    """Record the termination."""
    # READ
    agreement = state.find(AGREEMENTS, msg.agreement)
    # CHECK
    if agreement is None:
        raise UNKNOWN_AGREEMENT(agreement=msg.agreement)
    if ctx.organisation not in (agreement.provider, agreement.consumer):
        raise NOT_A_PARTY(organisation=ctx.organisation)
    now = agreement_state(agreement, ctx.time)
    if now in ("terminated", "ended"):
        raise AGREEMENT_NOT_IN_FORCE(agreement=msg.agreement, state=now)
    # WRITE
    terminated = msgspec.structs.replace(
        agreement,
        state="terminated",
        terminated_at=ctx.time,
        terminated_by=ctx.organisation,
        reason=msg.private or "",
    )
    state.put(AGREEMENTS, msg.agreement, terminated)
    # EVENTS
    return [
        AgreementTerminated(
            agreement=msg.agreement,
            dataset=agreement.dataset,
            provider=agreement.provider,
            consumer=agreement.consumer,
            by=ctx.organisation,
        )
    ]


OPERATION = Operation(TerminateAgreement, "service", validate, apply, "end an agreement before its time")
