"""What is always true of requests and agreements; run by property tests and by `tally ledger check`."""

from __future__ import annotations

from tallystick.codec import MalformedError, check_hash
from tallystick.machine import State
from tallystick.modules.agreements.ports import CATALOGUE, allows_recipient, period, terms_hash
from tallystick.modules.agreements.queries import find_terms
from tallystick.modules.agreements.records import (
    AGREEMENTS,
    OPEN_STATES,
    PROPOSED_TERMS,
    REQUESTS,
    Agreement,
    Request,
)


def requests_hold_together(state: State) -> list[str]:
    """A request is between a dataset's owner and another, in a state that its steps lead to."""
    broken: list[str] = []
    for key, request in state.scan(REQUESTS):
        faults = _party_faults(state, request) + _step_faults(request)
        if find_terms(state, request.terms) is None:
            faults.append("its terms are not on record")
        agreement = state.find(AGREEMENTS, request.agreement) if request.agreement else None
        if (request.state == "FINALIZED") != (agreement is not None and agreement.request == key):
            faults.append("it is finalized and has an agreement, or neither")
        broken += [f"requests/{key}: {fault}" for fault in faults]
    return broken


def agreements_are_signed_by_both(state: State) -> list[str]:
    """Law 3: an agreement is between the owner of the offer and the requester, on terms that both signed."""
    broken: list[str] = []
    for key, agreement in state.scan(AGREEMENTS):
        faults = _party_faults(state, agreement)
        request = state.find(REQUESTS, agreement.request)
        if request is None or request.agreement != key:
            faults.append("no request came to it")
        else:
            faults += _origin_faults(agreement, request)
        faults += _signature_faults(agreement)
        policy = find_terms(state, agreement.terms)
        if policy is None:
            faults.append("its terms are not on record")
        else:
            if policy.target != agreement.dataset or not allows_recipient(policy, agreement.consumer):
                faults.append("its terms are not for this dataset and consumer")
            if period(policy, agreement.agreed_at) != (agreement.begins, agreement.ends):
                faults.append("it does not begin and end as its terms say")
        faults += _termination_faults(agreement)
        broken += [f"agreements/{key}: {fault}" for fault in faults]
    return broken


def proposals_are_their_hash(state: State) -> list[str]:
    """Proposed terms are kept under their own hash."""
    return [
        f"proposed_terms/{key}: the policy does not have this hash"
        for key, policy in state.scan(PROPOSED_TERMS)
        if terms_hash(policy) != key
    ]


def _party_faults(state: State, record: Request | Agreement) -> list[str]:
    dataset = CATALOGUE.find_dataset(state, record.dataset)
    if dataset is None:
        return ["there is no such dataset"]
    faults: list[str] = []
    if dataset.owner != record.provider:
        faults.append("its provider is not the owner of the dataset")
    if record.provider == record.consumer:
        faults.append("provider and consumer are the same")
    if record.version is not None and not record.version <= dataset.version:
        faults.append("there is no such version")
    return faults


def _step_faults(request: Request) -> list[str]:
    """Replay the steps of a request and compare where they lead."""
    state, waits_for, terms, decision, decided_by = "", request.consumer, "", "", ""
    times: list[int] = []
    for step in request.steps:
        times.append(step.at)
        other = request.provider if step.by == request.consumer else request.consumer
        if step.action in ("sent", "countered"):
            legal = step.by == waits_for and (state == "") == (step.action == "sent") and state in ("", *OPEN_STATES)
            state, terms = ("REQUESTED" if step.by == request.consumer else "OFFERED"), step.terms
            waits_for = other
        else:
            legal = state in OPEN_STATES and (
                (step.action == "cancelled" and step.by == request.consumer)
                or (step.action == "rejected" and step.by in (waits_for, request.provider))
                or (step.action == "approved" and step.by == waits_for and step.terms == terms)
            )
            state = "FINALIZED" if step.action == "approved" else "TERMINATED"
            decision, decided_by = step.action, step.by
        if not legal:
            return [f"{step.by} could not have {step.action} it then"]
    if state == "REQUESTED" and request.state == "FINALIZED" and len(request.steps) == 1:
        # Approval was automatic: the provider had signed before.
        state, decision, decided_by = "FINALIZED", "approved", request.provider
    faults: list[str] = []
    if (state, terms, decision, decided_by) != (request.state, request.terms, request.decision, request.decided_by):
        faults.append("its steps lead to another state")
    if not times or times != sorted(times) or (times[0], times[-1]) != (request.requested_at, request.changed_at):
        faults.append("the times of its steps are not in order")
    return faults


def _origin_faults(agreement: Agreement, request: Request) -> list[str]:
    ours = (agreement.dataset, agreement.version, agreement.provider, agreement.consumer, agreement.terms)
    theirs = (request.dataset, request.version, request.provider, request.consumer, request.terms)
    faults: list[str] = []
    if ours != theirs:
        faults.append("it is not what was requested")
    if agreement.agreed_at != request.changed_at or agreement.agreed_at > request.expires:
        faults.append("it was not agreed when its request was approved")
    return faults


def _signature_faults(agreement: Agreement) -> list[str]:
    try:
        check_hash(agreement.provider_transaction)
        check_hash(agreement.consumer_transaction)
    except MalformedError:
        return ["a signature is missing"]
    if agreement.provider_transaction == agreement.consumer_transaction:
        return ["one transaction stands for both signatures"]
    return []


def _termination_faults(agreement: Agreement) -> list[str]:
    ended = agreement.state == "terminated"
    if ended != (agreement.terminated_at is not None):
        return ["its state and its time of termination disagree"]
    if ended != (agreement.terminated_by in (agreement.provider, agreement.consumer)):
        return ["it was not terminated by a party"]
    if agreement.terminated_at is not None and agreement.terminated_at < agreement.agreed_at:
        return ["it was terminated before it was agreed"]
    return []


INVARIANTS = (requests_hold_together, agreements_are_signed_by_both, proposals_are_their_hash)
