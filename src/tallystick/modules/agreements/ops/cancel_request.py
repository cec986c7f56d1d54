"""cancel_request: the consumer takes its request back.

Contract: the request is open, whoever's turn it is. Afterwards nothing can come of it.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.agreements.negotiation import closed, open_request, with_step
from tallystick.modules.agreements.records import REQUESTS, Identifier
from tallystick.modules.agreements.rejections import NOT_A_PARTY


class CancelRequest(Message, kw_only=True, tag="cancel_request"):
    """Take a request back."""

    request: Identifier


class RequestCancelled(Event, kw_only=True, tag="request_cancelled"):
    """The consumer took its request back."""

    request: str
    dataset: str
    provider: str
    consumer: str


def validate(msg: CancelRequest) -> None:
    """Nothing to check beyond the types."""


def apply(state: State, ctx: Context, msg: CancelRequest) -> list[Event]:
    """End the negotiation."""
    # READ
    request = open_request(state, ctx, msg.request)
    # CHECK
    if ctx.organisation != request.consumer:
        raise NOT_A_PARTY(organisation=ctx.organisation)
    # WRITE
    state.put(REQUESTS, msg.request, closed(ctx, with_step(ctx, request, "cancelled"), "cancelled"))
    # EVENTS
    return [
        RequestCancelled(
            request=msg.request, dataset=request.dataset, provider=request.provider, consumer=request.consumer
        )
    ]


OPERATION = Operation(CancelRequest, "service", validate, apply, "take a request back")
