"""Records of the ledger as views: one place that says how a record is shown."""

from __future__ import annotations

from typing import Any

from tallystick.machine import State
from tallystick.modules.agreements.queries import agreement_state, find_terms, request_state, turn
from tallystick.modules.agreements.records import OPEN_STATES, Agreement, Request
from tallystick.modules.catalogue.queries import find_version, versions_of
from tallystick.modules.catalogue.records import Dataset, DatasetVersion
from tallystick.modules.catalogue.wording import explain_terms
from tallystick.modules.deliveries.records import Delivery
from tallystick.office.database import TransferRow
from tallystick.office.terms import policy_json
from tallystick.views import (
    AgreementView,
    DatasetView,
    DeliveryView,
    PrivateValues,
    Recorded,
    RequestView,
    VersionView,
)


def version_view(version: DatasetVersion) -> VersionView:
    """Return a version as it is shown."""
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


def dataset_view(
    state: State, dataset: Dataset, me: str, *, all_versions: bool = False, recorded: Recorded | None = None
) -> DatasetView:
    """Return a dataset as it is shown."""
    latest = find_version(state, dataset.name, dataset.version)
    assert latest is not None  # noqa: S101 - an invariant of the catalogue
    return DatasetView(
        name=dataset.name,
        owner=dataset.owner,
        title=dataset.title,
        description=dataset.description,
        field=dataset.field,
        keywords=dataset.keywords,
        licence=dataset.licence,
        source=dataset.source,
        status=dataset.status,
        approval=dataset.approval,
        latest=version_view(latest),
        versions=tuple(version_view(each) for each in versions_of(state, dataset.name)) if all_versions else (),
        offered_at=dataset.offered_at,
        changed_at=dataset.changed_at,
        withdrawn_at=dataset.withdrawn_at,
        mine=dataset.owner == me,
        recorded=recorded,
        **_terms(state, dataset.terms),
    )


def request_view(
    state: State,
    key: str,
    request: Request,
    me: str,
    now_ms: int,
    *,
    private: tuple[PrivateValues, ...] = (),
    recorded: Recorded | None = None,
) -> RequestView:
    """Return a request as it is shown at a time."""
    current = request_state(request, now_ms)
    return RequestView(
        id=key,
        direction="sent" if me == request.consumer else "received" if me == request.provider else "other",
        dataset=request.dataset,
        version=request.version,
        provider=request.provider,
        consumer=request.consumer,
        state=current,
        decision=request.decision,
        decided_by=request.decided_by,
        turn=turn(request) if current in OPEN_STATES else "",
        requested_at=request.requested_at,
        changed_at=request.changed_at,
        expires=request.expires,
        agreement=request.agreement,
        private=private,
        recorded=recorded,
        **_terms(state, request.terms),
    )


def agreement_view(
    state: State,
    key: str,
    agreement: Agreement,
    now_ms: int,
    *,
    private: tuple[PrivateValues, ...] = (),
    recorded: Recorded | None = None,
) -> AgreementView:
    """Return an agreement as it is shown at a time."""
    return AgreementView(
        id=key,
        request=agreement.request,
        dataset=agreement.dataset,
        version=agreement.version,
        provider=agreement.provider,
        consumer=agreement.consumer,
        state=agreement_state(agreement, now_ms),
        agreed_at=agreement.agreed_at,
        begins=agreement.begins,
        ends=agreement.ends,
        terminated_at=agreement.terminated_at,
        terminated_by=agreement.terminated_by,
        private=private,
        recorded=recorded,
        **_terms(state, agreement.terms),
    )


def delivery_view(
    key: str,
    delivery: Delivery,
    me: str,
    transfer: TransferRow | None,
    *,
    private: tuple[PrivateValues, ...] = (),
    recorded: Recorded | None = None,
) -> DeliveryView:
    """Return a delivery as it is shown, with what this node has of it."""
    local: dict[str, Any] = {}
    if transfer is not None:
        local = {
            "path": transfer.path if transfer.direction == "out" or transfer.state in ("arrived", "received") else "",
            "transfer": transfer.state,
            "bytes_done": transfer.bytes_done,
            "error": transfer.error,
        }
    return DeliveryView(
        id=key,
        direction="received" if me == delivery.consumer else "sent" if me == delivery.provider else "other",
        agreement=delivery.agreement,
        dataset=delivery.dataset,
        version=delivery.version,
        provider=delivery.provider,
        consumer=delivery.consumer,
        state=delivery.state,
        fingerprint=delivery.fingerprint,
        root=delivery.root,
        bytes=delivery.bytes,
        sent_at=delivery.sent_at,
        received_at=delivery.received_at,
        failed_at=delivery.failed_at,
        dispute=delivery.dispute,
        private=private,
        recorded=recorded,
        **local,
    )


def _terms(state: State, terms: str) -> dict[str, Any]:
    policy = find_terms(state, terms)
    assert policy is not None  # noqa: S101 - an invariant: terms are on record before they are signed
    return {"terms": terms, "terms_summary": explain_terms(policy), "policy": policy_json(policy)}
