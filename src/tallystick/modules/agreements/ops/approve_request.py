"""approve_request: the party whose turn it is accepts the terms on the table, and the agreement exists.

Contract: the request is open, waits for the signer, the dataset is still offered, and the hash that the signer names is
that of the terms on the table: so the signer signs exactly these. The other side signed them when it proposed them.
Afterwards the request is FINALIZED and the agreement is in force from the time that the terms say, by default now.

Of the Dataspace Protocol, AGREED and VERIFIED (and ACCEPTED, where the consumer approves) are passed within this
one step: they stand for messages by which each side learns that the other has signed, and here one record shows both.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.agreements.events import AgreementMade
from tallystick.modules.agreements.negotiation import (
    check_hex,
    check_offered,
    check_open_to,
    check_time_left,
    check_turn,
    conclude,
    open_request,
    with_step,
)
from tallystick.modules.agreements.queries import find_terms
from tallystick.modules.agreements.records import Hash, Identifier
from tallystick.modules.agreements.rejections import TERMS_CHANGED


class ApproveRequest(Message, kw_only=True, tag="approve_request"):
    """Approve a request on the terms of that hash."""

    request: Identifier
    terms: Hash


class RequestApproved(Event, kw_only=True, tag="request_approved"):
    """The party whose turn it was approved the terms on the table."""

    request: str
    dataset: str
    provider: str
    consumer: str
    by: str


def validate(msg: ApproveRequest) -> None:
    """Check the hash."""
    check_hex("terms", msg.terms)


def apply(state: State, ctx: Context, msg: ApproveRequest) -> list[Event]:
    """Record the approval and the agreement."""
    # READ
    request = open_request(state, ctx, msg.request)
    policy = find_terms(state, request.terms)
    # CHECK
    check_turn(ctx, msg.request, request)
    check_offered(state, request.dataset)
    if policy is None or msg.terms != request.terms:
        raise TERMS_CHANGED(request=msg.request, current=request.terms)
    check_open_to(policy, request.consumer)
    check_time_left(policy, ctx.time)
    # WRITE
    approved = with_step(ctx, request, "approved", request.terms)
    agreement = conclude(state, ctx, msg.request, approved, policy, (ctx.transaction.hex(), ctx.index))
    # EVENTS
    parties = {"dataset": request.dataset, "provider": request.provider, "consumer": request.consumer}
    return [
        RequestApproved(request=msg.request, by=ctx.organisation, **parties),
        AgreementMade(agreement=agreement, request=msg.request, terms=request.terms, **parties),
    ]


OPERATION = Operation(ApproveRequest, "service", validate, apply, "accept the terms on the table; the agreement exists")
