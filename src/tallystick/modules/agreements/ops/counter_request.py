"""counter_request: the party whose turn it is puts other terms on the table.

Contract: the request is open and waits for the signer. By signing this the signer signs the proposed terms; it is then
the other's turn: OFFERED where the provider countered, REQUESTED where the consumer did.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.agreements.negotiation import (
    check_hex,
    check_offered,
    check_open_to,
    check_proposal,
    check_time_left,
    check_turn,
    expiry,
    keep_terms,
    open_request,
    with_step,
)
from tallystick.modules.agreements.ports import Policy, terms_hash
from tallystick.modules.agreements.records import REQUESTS, Count, Hash, Identifier
from tallystick.modules.agreements.rejections import BAD_TERMS, SAME_TERMS, TOO_MANY_ROUNDS

MAX_ROUNDS = 20


class CounterRequest(Message, kw_only=True, tag="counter_request"):
    """Propose other terms.

    Attributes:
        request: its id.
        proposal: the terms, in full.
        private: commitment to what is said with it to the other party alone.
        expires: new deadline, ms; by default it stays.
    """

    request: Identifier
    proposal: Policy
    private: Hash | None = None
    expires: Count | None = None


class RequestCountered(Event, kw_only=True, tag="request_countered"):
    """A party put other terms on the table; the other has its turn."""

    request: str
    dataset: str
    provider: str
    consumer: str
    by: str
    terms: str
    expires: int


def validate(msg: CounterRequest) -> None:
    """Check the commitment and the proposal."""
    if msg.private is not None:
        check_hex("private", msg.private)
    check_proposal(msg.proposal, msg.proposal.target)


def apply(state: State, ctx: Context, msg: CounterRequest) -> list[Event]:
    """Put the proposal on the table."""
    # READ
    request = open_request(state, ctx, msg.request)
    # CHECK
    check_turn(ctx, msg.request, request)
    check_offered(state, request.dataset)
    if msg.proposal.target != request.dataset:
        raise BAD_TERMS(reason="target and uid must name the dataset")
    terms = terms_hash(msg.proposal)
    if terms == request.terms:
        raise SAME_TERMS(request=msg.request)
    if len(request.steps) >= MAX_ROUNDS:
        raise TOO_MANY_ROUNDS(request=msg.request, limit=MAX_ROUNDS)
    check_open_to(msg.proposal, request.consumer)
    check_time_left(msg.proposal, ctx.time)
    expires = expiry(ctx, msg.expires, request.expires)
    # WRITE
    keep_terms(state, msg.proposal)
    countered = msgspec.structs.replace(
        with_step(ctx, request, "countered", terms, msg.private or ""),
        state="OFFERED" if ctx.organisation == request.provider else "REQUESTED",
        terms=terms,
        proposed_by=ctx.organisation,
        signed_transaction=ctx.transaction.hex(),
        signed_index=ctx.index,
        expires=expires,
    )
    state.put(REQUESTS, msg.request, countered)
    # EVENTS
    return [
        RequestCountered(
            request=msg.request,
            dataset=request.dataset,
            provider=request.provider,
            consumer=request.consumer,
            by=ctx.organisation,
            terms=terms,
            expires=expires,
        )
    ]


OPERATION = Operation(CounterRequest, "service", validate, apply, "put other terms on the table")
