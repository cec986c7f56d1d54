"""send_request: a consumer asks for a dataset, on the terms it is offered on or on a proposal of its own.

Contract: the dataset is offered by another organisation and the terms are open to the signer. By signing this the
consumer signs the terms. Afterwards the request is REQUESTED and waits for the provider; where the dataset is offered
on terms of automatic approval and these are the ones signed, both sides have signed, and the agreement exists at once.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.agreements.events import AgreementMade, RequestSent
from tallystick.modules.agreements.negotiation import (
    DEFAULT_OPEN_MS,
    check_hex,
    check_open_to,
    check_proposal,
    check_time_left,
    conclude,
    expiry,
    keep_terms,
)
from tallystick.modules.agreements.ports import CATALOGUE, Policy, terms_hash
from tallystick.modules.agreements.queries import find_terms
from tallystick.modules.agreements.records import REQUESTS, Count, Hash, Name, Positive, Request, Step
from tallystick.modules.agreements.rejections import (
    DATASET_WITHDRAWN,
    OWN_DATASET,
    TERMS_NOT_CURRENT,
    TERMS_OR_PROPOSAL,
    UNKNOWN_DATASET,
    UNKNOWN_VERSION,
)


class SendRequest(Message, kw_only=True, tag="send_request"):
    """Ask for a dataset.

    Attributes:
        dataset: its name.
        version: the version wanted; None is the latest at each delivery.
        terms: hash of the terms it is offered on; or
        proposal: other terms, in full.
        private: commitment to the party-only fields, the purpose among them.
        expires: until when it may be decided, ms; by default 30 days from now.
    """

    dataset: Name
    version: Positive | None = None
    terms: Hash | None = None
    proposal: Policy | None = None
    private: Hash
    expires: Count | None = None


def validate(msg: SendRequest) -> None:
    """Check the hashes and the proposal."""
    check_hex("private", msg.private)
    if (msg.terms is None) == (msg.proposal is None):
        raise TERMS_OR_PROPOSAL()
    if msg.terms is not None:
        check_hex("terms", msg.terms)
    if msg.proposal is not None:
        check_proposal(msg.proposal, msg.dataset)


def apply(state: State, ctx: Context, msg: SendRequest) -> list[Event]:
    """Record the request, and the agreement where approval is automatic."""
    # READ
    dataset = CATALOGUE.find_dataset(state, msg.dataset)
    # CHECK
    if dataset is None:
        raise UNKNOWN_DATASET(dataset=msg.dataset)
    if dataset.status == "withdrawn":
        raise DATASET_WITHDRAWN(dataset=msg.dataset)
    if dataset.owner == ctx.organisation:
        raise OWN_DATASET(dataset=msg.dataset)
    if msg.version is not None and CATALOGUE.find_version(state, msg.dataset, msg.version) is None:
        raise UNKNOWN_VERSION(dataset=msg.dataset, version=msg.version)
    terms = msg.terms if msg.proposal is None else terms_hash(msg.proposal)
    policy = find_terms(state, dataset.terms) if msg.proposal is None else msg.proposal
    if policy is None or terms is None or (msg.proposal is None and terms != dataset.terms):
        raise TERMS_NOT_CURRENT(dataset=msg.dataset, current=dataset.terms)
    check_open_to(policy, ctx.organisation)
    check_time_left(policy, ctx.time)
    expires = expiry(ctx, msg.expires, ctx.time + DEFAULT_OPEN_MS)
    # WRITE
    if msg.proposal is not None:
        keep_terms(state, msg.proposal)
    key = ctx.new_id(state, REQUESTS, "req")
    request = Request(
        dataset=msg.dataset,
        version=msg.version,
        provider=dataset.owner,
        consumer=ctx.organisation,
        state="REQUESTED",
        terms=terms,
        proposed_by=ctx.organisation,
        signed_transaction=ctx.transaction.hex(),
        signed_index=ctx.index,
        private=msg.private,
        requested_at=ctx.time,
        changed_at=ctx.time,
        expires=expires,
        steps=(Step(action="sent", by=ctx.organisation, at=ctx.time, terms=terms, private=msg.private),),
    )
    agreement = ""
    if terms == dataset.terms and dataset.approval == "automatic":
        agreement = conclude(state, ctx, key, request, policy, (dataset.terms_transaction, dataset.terms_index))
    else:
        state.put(REQUESTS, key, request)
    # EVENTS
    parties = {"dataset": msg.dataset, "provider": dataset.owner, "consumer": ctx.organisation}
    events: list[Event] = [RequestSent(request=key, terms=terms, expires=expires, **parties)]
    if agreement:
        events.append(AgreementMade(agreement=agreement, request=key, terms=terms, **parties))
    return events


OPERATION = Operation(SendRequest, "service", validate, apply, "ask for a dataset on its terms or on others")
