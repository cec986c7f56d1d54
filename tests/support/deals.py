"""Deals between offices, in one line each: a dataset on offer, a request, an agreement, a delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tallystick.views import AgreementView, DatasetView, FetchedDelivery, RequestView
from tests.support.offices import OfficeZone
from tests.support.zones import HOSPITAL, UNIVERSITY

DATASET = f"{HOSPITAL}/discharges"
PURPOSE = "Study of readmissions"


async def offer(zone: OfficeZone, source: Path, name: str = "discharges", **changes: Any) -> DatasetView:
    """Offer a file or folder of the hospital's."""
    fields: dict[str, Any] = {"title": "Hospital discharges", "field": "health"} | changes
    made = await zone[HOSPITAL].datasets.offer(source, name=name, **fields)
    await zone.settle()
    return made


async def ask(zone: OfficeZone, consumer: str = UNIVERSITY, dataset: str = DATASET, **changes: Any) -> RequestView:
    """Let a consumer ask for a dataset."""
    made = await zone[consumer].requests.send(dataset, changes.pop("purpose", PURPOSE), **changes)
    await zone.settle()
    return made


async def agree(zone: OfficeZone, consumer: str = UNIVERSITY, dataset: str = DATASET, **changes: Any) -> AgreementView:
    """Let a consumer ask and the hospital approve."""
    request = await ask(zone, consumer, dataset, **changes)
    if not request.agreement:
        request = await zone[HOSPITAL].requests.approve(request.id)
        await zone.settle()
    return zone[consumer].agreements.show(request.agreement)


async def deliver(zone: OfficeZone, source: Path, consumer: str = UNIVERSITY, **changes: Any) -> FetchedDelivery:
    """Offer, agree, and fetch."""
    await offer(zone, source, **changes)
    agreement = await agree(zone, consumer)
    fetched = await zone[consumer].deliveries.fetch(agreement.id)
    await zone.settle()
    return fetched
