"""Datasets, requests, agreements and deliveries for tests: the usual ones, with what a test is about changed."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.codec import tagged_hash
from tallystick.errors import RejectedError
from tallystick.machine import Event
from tallystick.modules.agreements.ops import ApproveRequest, CounterRequest, SendRequest
from tallystick.modules.catalogue.ops import OfferDataset
from tallystick.modules.catalogue.policy import Constraint, Policy, Rule
from tallystick.modules.catalogue.presets import preset
from tallystick.modules.catalogue.records import DATASETS, Column, VersionContent
from tallystick.modules.deliveries.ops import RecordDeliverySent
from tests.support.zones import HOSPITAL, UNIVERSITY, Simulator

DATASET = f"{HOSPITAL}/discharges-2024"


def digest(text: str) -> str:
    """Return 32 bytes of hex that stand for a fingerprint, a commitment or a package."""
    return tagged_hash(b"tests/digest", text.encode()).hex()


def names(events: list[Event]) -> list[str]:
    """Return the names of events."""
    return [str(event.__struct_config__.tag) for event in events]


def refusal(error: RejectedError) -> tuple[int, str]:
    """Return number and name of a rejection."""
    return error.code, error.name


def content(label: str = "one", **changes: Any) -> VersionContent:
    """Return a version of 2.5 MiB in three chunks."""
    fields: dict[str, Any] = {
        "fingerprint": digest(f"fingerprint {label}"),
        "size": 2_621_440,
        "chunks": 3,
        "media_type": "text/csv",
        "rows": 20_000,
        "schema": (Column(name="admitted", type="date32"), Column(name="ward", type="string")),
    } | changes
    return VersionContent(**fields)


def terms_on(dataset: str = DATASET, name: str = "default", **changes: Any) -> Policy:
    """Return preset terms on a dataset, with changes."""
    return msgspec.structs.replace(preset(name, dataset.partition("/")[0], dataset), **changes)


def use_under(*constraints: tuple[str, str, Any], dataset: str = DATASET, **changes: Any) -> Policy:
    """Return terms that permit use under these constraints alone."""
    made = tuple(Constraint(left_operand=left, operator=op, right_operand=right) for left, op, right in constraints)  # type: ignore[arg-type]
    return terms_on(dataset, permission=(Rule(action="use", constraint=made),), **changes)


def offer_message(name: str = DATASET, terms: Policy | str = "default", **changes: Any) -> OfferDataset:
    """Return the offer of a dataset, with changes."""
    fields: dict[str, Any] = {
        "name": name,
        "title": "Hospital discharges, 2024",
        "description": "One row for each discharge.\nDates are shifted.",
        "field": "health",
        "keywords": ("discharges", "wards"),
        "licence": "CC BY 4.0",
        "version": content(),
        "terms": terms_on(name, terms) if isinstance(terms, str) else terms,
    } | changes
    return OfferDataset(**fields)


def offer(zone: Simulator, name: str = DATASET, terms: Policy | str = "default", **changes: Any) -> str:
    """Offer a dataset and return the hash of its terms."""
    zone.run(name.partition("/")[0], offer_message(name, terms, **changes))
    return str(zone.get(DATASETS, name).terms)


def request_message(zone: Simulator, dataset: str = DATASET, **changes: Any) -> SendRequest:
    """Return a request for a dataset on the terms it is offered on, with changes."""
    fields: dict[str, Any] = {"dataset": dataset, "private": digest("purpose")} | changes
    if "terms" not in fields and "proposal" not in fields:
        fields["terms"] = zone.get(DATASETS, dataset).terms
    return SendRequest(**fields)


def send_request(zone: Simulator, consumer: str = UNIVERSITY, dataset: str = DATASET, **changes: Any) -> str:
    """Send a request and return its id."""
    events: list[Any] = zone.run(consumer, request_message(zone, dataset, **changes))
    return str(events[0].request)


def counter_message(request: str, length: str = "P30D", **changes: Any) -> CounterRequest:
    """Return a counter of another duration."""
    fields: dict[str, Any] = {"request": request, "proposal": use_under(("elapsedTime", "lteq", length))} | changes
    return CounterRequest(**fields)


def agree(zone: Simulator, consumer: str = UNIVERSITY, dataset: str = DATASET, **changes: Any) -> str:
    """Send a request, approve it, and return the id of the agreement."""
    request = send_request(zone, consumer, dataset, **changes)
    terms = zone.get(DATASETS, dataset).terms
    events: list[Any] = zone.run(dataset.partition("/")[0], ApproveRequest(request=request, terms=terms))
    return str(events[1].agreement)


def sending(agreement: str, version: int = 1, label: str = "one", **changes: Any) -> RecordDeliverySent:
    """Return the record of a sending of a version made by `content(label)`."""
    made = content(label)
    fields: dict[str, Any] = {
        "agreement": agreement,
        "version": version,
        "fingerprint": made.fingerprint,
        "package": digest("package"),
        "nonce": digest("nonce")[:32],
        "bytes": made.size,
        "chunks": made.chunks,
    } | changes
    return RecordDeliverySent(**fields)


def send(zone: Simulator, agreement: str, **changes: Any) -> str:
    """Record a sending by the hospital and return the delivery's id."""
    events: list[Any] = zone.run(HOSPITAL, sending(agreement, **changes))
    return str(events[0].delivery)
