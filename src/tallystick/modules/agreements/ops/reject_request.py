"""reject_request: the other party says no, and the negotiation is over.

Contract: the request is open. The provider may reject at any time, also after its own counter; the consumer rejects
a counter that waits for it, and otherwise cancels.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.agreements.negotiation import check_hex, check_turn, closed, open_request, with_step
from tallystick.modules.agreements.records import REQUESTS, Hash, Identifier


class RejectRequest(Message, kw_only=True, tag="reject_request"):
    """Reject a request; `private` is the commitment to the reason."""

    request: Identifier
    private: Hash | None = None


class RequestRejected(Event, kw_only=True, tag="request_rejected"):
    """A party rejected the request, or the terms last proposed for it."""

    request: str
    dataset: str
    provider: str
    consumer: str
    by: str


def validate(msg: RejectRequest) -> None:
    """Check the commitment."""
    if msg.private is not None:
        check_hex("private", msg.private)


def apply(state: State, ctx: Context, msg: RejectRequest) -> list[Event]:
    """End the negotiation."""
    # READ
    request = open_request(state, ctx, msg.request)
    # CHECK
    if ctx.organisation != request.provider:
        check_turn(ctx, msg.request, request)
    # WRITE
    rejected = closed(ctx, with_step(ctx, request, "rejected", private=msg.private or ""), "rejected")
    state.put(REQUESTS, msg.request, rejected)
    # EVENTS
    return [
        RequestRejected(
            request=msg.request,
            dataset=request.dataset,
            provider=request.provider,
            consumer=request.consumer,
            by=ctx.organisation,
        )
    ]


OPERATION = Operation(RejectRequest, "service", validate, apply, "say no")
