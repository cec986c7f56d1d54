"""Views held against the records that they are made of: each field that a record determines must be what it says.

A view also says what only the node knows (where a file is, how far a transfer got, values that were said to this
organisation alone) and where an operation is recorded; the first cannot be proved, the second by a receipt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tallystick.codec import MalformedError
from tallystick.modules.agreements.queries import agreement_state, request_state, turn
from tallystick.modules.agreements.records import OPEN_STATES, Agreement, Request
from tallystick.modules.catalogue.policy import Policy
from tallystick.modules.catalogue.records import Dataset, DatasetVersion
from tallystick.modules.catalogue.terms import terms_hash
from tallystick.modules.catalogue.wording import explain_terms
from tallystick.modules.deliveries.records import Delivery
from tallystick.modules.evidence.records import Evidence
from tallystick.modules.organisations.queries import ordering
from tallystick.modules.organisations.records import Engine, Key, Organisation, Zone
from tallystick.sdk.trouble import ViewError
from tallystick.views import (
    AgreementView,
    DatasetView,
    DeliveryView,
    EngineView,
    EvidenceView,
    MemberView,
    PrivateValues,
    RequestView,
    VersionView,
    View,
)

CLOCKS_APART_MS = 300_000
"""How far a node's clock may be from this one's where a state depends on the time."""

_Commitment = tuple[str, str, str]
"""(commitment, what it was said with, who said it)"""


def check_dataset(view: DatasetView, dataset: Dataset, versions: Sequence[DatasetVersion], me: str) -> None:
    """Check a dataset.

    Args:
        view: what the node says.
        dataset: the record.
        versions: all versions that there are, oldest first.
        me: organisation that asks.

    Raises:
        ViewError: a field differs.
    """
    shown = tuple(_version(version) for version in versions)
    expected = _same(dataset, "name owner title description field keywords licence source status approval")
    expected |= _same(dataset, "offered_at changed_at withdrawn_at terms")
    expected |= {"latest": shown[-1], "mine": dataset.owner == me}
    # Where a dataset is only listed its earlier versions are left out.
    if view.versions:
        expected["versions"] = shown
    _compare(f"the dataset {dataset.name}", view, expected)
    _check_terms(f"the dataset {dataset.name}", view)


def check_request(view: RequestView, request: Request, me: str, times: Iterable[int]) -> None:
    """Check a request; `times` are those at which its state may have been judged, ms.

    Raises:
        ViewError: a field differs.
    """
    what = f"the request {view.id}"
    states = {request_state(request, time) for time in times}
    expected = _same(request, "dataset version provider consumer decision decided_by terms requested_at changed_at")
    expected |= _same(request, "expires agreement")
    expected["direction"] = _direction(me, sent=request.consumer, received=request.provider)
    expected["state"] = view.state if view.state in states else min(states)
    expected["turn"] = turn(request) if view.state in OPEN_STATES else ""
    _compare(what, view, expected)
    _check_terms(what, view)
    said = [(step.private, step.action, step.by) for step in request.steps if step.private]
    _check_said(what, view.private, said)


def check_agreement(view: AgreementView, agreement: Agreement, times: Iterable[int]) -> None:
    """Check an agreement; `times` are those at which its state may have been judged, ms.

    Raises:
        ViewError: a field differs.
    """
    what = f"the agreement {view.id}"
    states = {agreement_state(agreement, time) for time in times}
    expected = _same(agreement, "request dataset version provider consumer terms agreed_at begins ends")
    expected |= _same(agreement, "terminated_at terminated_by")
    expected["state"] = view.state if view.state in states else min(states)
    _compare(what, view, expected)
    _check_terms(what, view)
    said = [(agreement.reason, "terminated", agreement.terminated_by)] if agreement.reason else []
    _check_said(what, view.private, said)


def check_delivery(view: DeliveryView, delivery: Delivery, me: str) -> None:
    """Check a delivery.

    Raises:
        ViewError: a field differs.
    """
    what = f"the delivery {view.id}"
    expected = _same(delivery, "agreement dataset version provider consumer state fingerprint root bytes sent_at")
    expected |= _same(delivery, "received_at failed_at dispute")
    expected["direction"] = _direction(me, sent=delivery.provider, received=delivery.consumer)
    _compare(what, view, expected)
    said = (
        (delivery.complaint, "disputed", delivery.consumer),
        (delivery.answer, "answered", delivery.provider),
        (delivery.failure, "failed", delivery.failed_by),
    )
    _check_said(what, view.private, [each for each in said if each[0]])


def check_member(
    view: MemberView, member: Organisation, keys: Mapping[str, Key], engine: Engine | None, zone: Zone, me: str
) -> None:
    """Check a member; `keys` are the records of its keys, by hex, `engine` that of its engine, if it has one.

    Raises:
        ViewError: a field differs.
    """
    what = f"the organisation {member.organisation}"
    expected = _same(member, "name status address encryption tls_pins admitted_at suspended_at")
    expected |= {
        "id": member.organisation,
        "orders": member.organisation in ordering(zone),
        "validates": member.organisation in zone.validators,
        "mine": member.organisation == me,
    }
    _compare(what, view, expected)
    shown = [(each.key, each.roles, each.added_at) for each in view.keys]
    recorded = [(key, keys[key].roles, keys[key].added_at) for key in member.keys]
    if shown != recorded:
        raise _changed(what, "keys", shown, recorded)
    announced = None if engine is None else EngineView(**_same(engine, "consensus node address announced_at"))
    if view.engine != announced:
        raise _changed(what, "engine", view.engine, announced)


def check_evidence(view: EvidenceView, evidence: Evidence) -> None:
    """Check evidence.

    Raises:
        ViewError: a field differs.
    """
    _compare(f"the evidence {view.id}", view, _same(evidence, "organisation root count recorded_at"))


def times_of(proved_ms: int, now_ms: int) -> tuple[int, ...]:
    """Return the times at which a node may have judged a state: it takes its clock or the last block's, the later."""
    return tuple(max(proved_ms, now_ms + apart) for apart in (-CLOCKS_APART_MS, 0, CLOCKS_APART_MS))


def _version(version: DatasetVersion) -> VersionView:
    return VersionView(
        version=version.version,
        fingerprint=version.fingerprint,
        size=version.size,
        files=version.files,
        media_type=version.media_type,
        rows=version.rows,
        columns=tuple((column.name, column.type) for column in version.schema),
        published_at=version.published_at,
    )


def _same(record: Any, names: str) -> dict[str, Any]:
    """Return the fields that a view takes over as they are."""
    return {name: getattr(record, name) for name in names.split()}


def _direction(me: str, *, sent: str, received: str) -> str:
    return "sent" if me == sent else "received" if me == received else "other"


def _compare(what: str, view: View, expected: Mapping[str, Any]) -> None:
    for name, value in expected.items():
        if getattr(view, name) != value:
            raise _changed(what, name, getattr(view, name), value)


def _check_terms(what: str, view: DatasetView | RequestView | AgreementView) -> None:
    """Check that the policy shown is the one whose hash is on record, and the sentences are what it says."""
    try:
        policy = msgspec.convert(view.policy, Policy)
        found = terms_hash(policy)
    except (msgspec.ValidationError, MalformedError):
        raise _changed(what, "policy", "no policy of this zone", view.terms) from None
    if found != view.terms:
        raise _changed(what, "policy", found, view.terms)
    _compare(what, view, {"terms_summary": explain_terms(policy)})


def _check_said(what: str, shown: Iterable[PrivateValues], recorded: Sequence[_Commitment]) -> None:
    found = [(each.commitment, each.about, each.author) for each in shown]
    if found != list(recorded):
        raise _changed(what, "private", found, recorded)


def _changed(what: str, field: str, shown: object, recorded: object) -> ViewError:
    return ViewError(
        "changed_view",
        f"{what}: the node shows {field} as {_short(shown)}, the ledger has {_short(recorded)}",
        field,
    )


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
