"""Where commitments to party-only fields are on the ledger: what was said with which step, by whom, to whom.

A subject names the record: `requests/<id>`, `agreements/<id>` or `deliveries/<id>`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tallystick.machine import State
from tallystick.modules.agreements.queries import agreements_of, find_agreement, find_request, requests_of
from tallystick.modules.agreements.records import Agreement, Request
from tallystick.modules.deliveries.queries import find_delivery
from tallystick.modules.deliveries.records import DELIVERIES, Delivery


class Commitment(NamedTuple):
    """One commitment on the ledger.

    Attributes:
        value: the root, hex.
        about: what it was said with.
        author: who committed to it, and sends the values.
        party: the other side, who alone gets them.
    """

    value: str
    about: str
    author: str
    party: str


def commitments_in(state: State, subject: str) -> list[Commitment] | None:
    """Return the commitments of a record, oldest first, or None where this copy has no such record."""
    collection, _, key = subject.partition("/")
    if collection == "requests":
        request = find_request(state, key)
        return None if request is None else _of_request(request)
    if collection == "agreements":
        agreement = find_agreement(state, key)
        return None if agreement is None else _of_agreement(agreement)
    if collection == "deliveries":
        delivery = find_delivery(state, key)
        return None if delivery is None else _of_delivery(delivery)
    return None


def commitments_of(state: State, organisation: str) -> Iterator[tuple[str, Commitment]]:
    """Yield (subject, commitment) of everything that an organisation committed to."""
    for key, request in requests_of(state, organisation):
        yield from ((f"requests/{key}", each) for each in _of_request(request) if each.author == organisation)
    for key, agreement in agreements_of(state, organisation):
        yield from ((f"agreements/{key}", each) for each in _of_agreement(agreement) if each.author == organisation)
    for key, delivery in state.scan(DELIVERIES):
        if organisation in (delivery.provider, delivery.consumer):
            yield from ((f"deliveries/{key}", each) for each in _of_delivery(delivery) if each.author == organisation)


def _of_request(request: Request) -> list[Commitment]:
    return [
        Commitment(step.private, step.action, step.by, _other(request, step.by))
        for step in request.steps
        if step.private
    ]


def _of_agreement(agreement: Agreement) -> list[Commitment]:
    by = agreement.terminated_by
    return [Commitment(agreement.reason, "terminated", by, _other(agreement, by))] if agreement.reason else []


def _of_delivery(delivery: Delivery) -> list[Commitment]:
    said = (
        (delivery.complaint, "disputed", delivery.consumer),
        (delivery.answer, "answered", delivery.provider),
        (delivery.failure, "failed", delivery.failed_by),
    )
    return [Commitment(value, about, by, _other(delivery, by)) for value, about, by in said if value]


def _other(record: Request | Agreement | Delivery, organisation: str) -> str:
    return record.consumer if organisation == record.provider else record.provider
