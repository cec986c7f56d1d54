"""What the steps of a negotiation share: who may act, what a proposal must be, and how an agreement comes about."""

from __future__ import annotations

import msgspec

from tallystick.codec import MalformedError, check_hash
from tallystick.machine import Context, State
from tallystick.modules.agreements.ports import CATALOGUE, Policy, allows_recipient, period, policy_fault, terms_hash
from tallystick.modules.agreements.queries import find_terms, request_state, turn
from tallystick.modules.agreements.records import (
    AGREEMENTS,
    OPEN_STATES,
    PROPOSED_TERMS,
    REQUESTS,
    Agreement,
    Decision,
    Request,
    Step,
    StepAction,
)
from tallystick.modules.agreements.rejections import (
    BAD_EXPIRY,
    BAD_HASH,
    BAD_TERMS,
    DATASET_WITHDRAWN,
    NOT_A_PARTY,
    NOT_YOUR_TURN,
    RECIPIENT_NOT_ALLOWED,
    REQUEST_ALREADY_DECIDED,
    REQUEST_EXPIRED,
    TERMS_OVER,
    UNKNOWN_REQUEST,
)

DAY_MS = 86_400_000
DEFAULT_OPEN_MS = 30 * DAY_MS
MAX_OPEN_MS = 366 * DAY_MS


def check_hex(field: str, text: str) -> None:
    """Raise `bad_hash` unless `text` is 32 bytes of lower-case hex."""
    try:
        check_hash(text)
    except MalformedError:
        raise BAD_HASH(field=field) from None


def expiry(ctx: Context, wanted: int | None, default: int) -> int:
    """Return until when a request stays open.

    Raises:
        RejectedError: `bad_expiry`: in the past, or more than 366 days ahead.
    """
    if wanted is None:
        return default
    if not ctx.time < wanted <= ctx.time + MAX_OPEN_MS:
        raise BAD_EXPIRY(limit_ms=MAX_OPEN_MS)
    return wanted


def open_request(state: State, ctx: Context, request: str) -> Request:
    """Return a request that the signer is a party to and that is still open.

    Raises:
        RejectedError: `unknown_request`, `not_a_party`, `request_already_decided`, `request_expired`.
    """
    found = state.find(REQUESTS, request)
    if found is None:
        raise UNKNOWN_REQUEST(request=request)
    if ctx.organisation not in (found.provider, found.consumer):
        raise NOT_A_PARTY(organisation=ctx.organisation)
    if found.state not in OPEN_STATES:
        raise REQUEST_ALREADY_DECIDED(request=request, decision=found.decision, by=found.decided_by, state=found.state)
    if request_state(found, ctx.time) == "EXPIRED":
        raise REQUEST_EXPIRED(request=request, expires=found.expires)
    return found


def check_turn(ctx: Context, key: str, request: Request) -> None:
    """Raise `not_your_turn` unless the request waits for the signer."""
    if turn(request) != ctx.organisation:
        raise NOT_YOUR_TURN(request=key, turn=turn(request))


def check_offered(state: State, dataset: str) -> None:
    """Raise `dataset_withdrawn` unless the dataset is still offered."""
    found = CATALOGUE.find_dataset(state, dataset)
    if found is None or found.status == "withdrawn":
        raise DATASET_WITHDRAWN(dataset=dataset)


def check_open_to(policy: Policy, consumer: str) -> None:
    """Raise `recipient_not_allowed` unless the terms are open to the consumer."""
    if not allows_recipient(policy, consumer):
        raise RECIPIENT_NOT_ALLOWED(organisation=consumer)


def check_proposal(proposal: Policy, dataset: str) -> None:
    """Raise `bad_terms` unless the proposal is fit to be the terms of the dataset."""
    fault = policy_fault(proposal, dataset)
    if fault is not None:
        raise BAD_TERMS(reason=fault)


def check_time_left(policy: Policy, agreed_ms: int) -> None:
    """Raise `terms_over` where an agreement made now would have ended already."""
    begins, ends = period(policy, agreed_ms)
    if ends is not None and ends <= begins:
        raise TERMS_OVER()


def keep_terms(state: State, proposal: Policy) -> str:
    """Keep proposed terms so that anyone can read them, and return their hash."""
    terms = terms_hash(proposal)
    if find_terms(state, terms) is None:
        state.put(PROPOSED_TERMS, terms, proposal)
    return terms


def with_step(ctx: Context, request: Request, action: StepAction, terms: str = "", private: str = "") -> Request:
    """Return the request with one more step by the signer."""
    step = Step(action=action, by=ctx.organisation, at=ctx.time, terms=terms, private=private)
    return msgspec.structs.replace(request, steps=(*request.steps, step), changed_at=ctx.time)


def closed(ctx: Context, request: Request, decision: Decision) -> Request:
    """Return the request ended without an agreement."""
    return msgspec.structs.replace(request, state="TERMINATED", decision=decision, decided_by=ctx.organisation)


def conclude(state: State, ctx: Context, key: str, request: Request, policy: Policy, approval: tuple[str, int]) -> str:
    """Write the agreement that a request comes to, and the request as finalized.

    Args:
        state: written to.
        ctx: of the operation that brings the second signature.
        key: id of the request.
        request: with all its steps; `signed_*` is the signature of the side that proposed.
        policy: the terms on the table.
        approval: transaction id (hex) and index in which the other side signed them.

    Returns:
        the id of the agreement.
    """
    begins, ends = period(policy, ctx.time)
    proposal = (request.signed_transaction, request.signed_index)
    by_consumer = request.proposed_by == request.consumer
    consumer, provider = (proposal, approval) if by_consumer else (approval, proposal)
    agreement = ctx.new_id(state, AGREEMENTS, "agr")
    record = Agreement(
        request=key,
        dataset=request.dataset,
        version=request.version,
        provider=request.provider,
        consumer=request.consumer,
        terms=request.terms,
        provider_transaction=provider[0],
        provider_index=provider[1],
        consumer_transaction=consumer[0],
        consumer_index=consumer[1],
        agreed_at=ctx.time,
        begins=begins,
        ends=ends,
        state="in_force",
    )
    state.put(AGREEMENTS, agreement, record)
    decided_by = request.provider if by_consumer else request.consumer
    finalized = msgspec.structs.replace(
        request, state="FINALIZED", decision="approved", decided_by=decided_by, agreement=agreement
    )
    state.put(REQUESTS, key, finalized)
    return agreement
