"""Reading requests and agreements. Deadlines are judged here, on reading, against a time that the caller gives."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.machine import State
from tallystick.modules.agreements.ports import CATALOGUE, Policy
from tallystick.modules.agreements.records import (
    AGREEMENTS,
    OPEN_STATES,
    PROPOSED_TERMS,
    REQUESTS,
    Agreement,
    Request,
)


def find_request(state: State, request: str) -> Request | None:
    """Return a request."""
    return state.find(REQUESTS, request)


def find_agreement(state: State, agreement: str) -> Agreement | None:
    """Return an agreement."""
    return state.find(AGREEMENTS, agreement)


def find_terms(state: State, terms: str) -> Policy | None:
    """Return the policy of that hash, offered or proposed: what was signed."""
    return CATALOGUE.find_offered_terms(state, terms) or state.find(PROPOSED_TERMS, terms)


def request_state(request: Request, now_ms: int) -> str:
    """Return the state of a request at a time: as recorded, or `EXPIRED` where it is open past its deadline."""
    if request.state in OPEN_STATES and now_ms > request.expires:
        return "EXPIRED"
    return request.state


def turn(request: Request) -> str:
    """Return the organisation that an open request waits for."""
    return request.provider if request.proposed_by == request.consumer else request.consumer


def agreement_state(agreement: Agreement, now_ms: int) -> str:
    """Return the state of an agreement at a time: `terminated`, `ended`, `pending` or `in_force`."""
    if agreement.state == "terminated":
        return "terminated"
    if agreement.ends is not None and now_ms >= agreement.ends:
        return "ended"
    return "pending" if now_ms < agreement.begins else "in_force"


def in_force(state: State, agreement: str, now_ms: int) -> bool:
    """Tell whether there is such an agreement and data may be delivered under it at that time."""
    found = state.find(AGREEMENTS, agreement)
    return found is not None and agreement_state(found, now_ms) == "in_force"


def requests_of(state: State, organisation: str) -> Iterator[tuple[str, Request]]:
    """Yield (id, request) of the requests that an organisation sent or received, in order of id."""
    for key, request in state.scan(REQUESTS):
        if organisation in (request.provider, request.consumer):
            yield key, request


def agreements_of(state: State, organisation: str) -> Iterator[tuple[str, Agreement]]:
    """Yield (id, agreement) of the agreements of an organisation, in order of id."""
    for key, agreement in state.scan(AGREEMENTS):
        if organisation in (agreement.provider, agreement.consumer):
            yield key, agreement
