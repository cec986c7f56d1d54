"""record_delivery_failed: a party gives up a delivery that never finished.

Contract: the delivery is sent and not closed. Afterwards it is `failed`; a new attempt is a new delivery.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.deliveries.checks import check_hex, check_party, known_delivery
from tallystick.modules.deliveries.records import DELIVERIES, Hash, Identifier
from tallystick.modules.deliveries.rejections import DELIVERY_CLOSED


class RecordDeliveryFailed(Message, kw_only=True, tag="record_delivery_failed"):
    """Give up a delivery; `private` is the commitment to the reason."""

    delivery: Identifier
    private: Hash | None = None


class DeliveryFailed(Event, kw_only=True, tag="delivery_failed"):
    """A delivery was given up."""

    delivery: str
    agreement: str
    dataset: str
    provider: str
    consumer: str
    by: str


def validate(msg: RecordDeliveryFailed) -> None:
    """Check the commitment."""
    if msg.private is not None:
        check_hex("private", msg.private)


def apply(state: State, ctx: Context, msg: RecordDeliveryFailed) -> list[Event]:
    """Record the failure."""
    # READ
    delivery = known_delivery(state, msg.delivery)
    # CHECK
    check_party(ctx, delivery)
    if delivery.state != "sent":
        raise DELIVERY_CLOSED(delivery=msg.delivery, state=delivery.state)
    # WRITE
    failed = msgspec.structs.replace(
        delivery, state="failed", failed_at=ctx.time, failed_by=ctx.organisation, failure=msg.private or ""
    )
    state.put(DELIVERIES, msg.delivery, failed)
    # EVENTS
    return [
        DeliveryFailed(
            delivery=msg.delivery,
            agreement=delivery.agreement,
            dataset=delivery.dataset,
            provider=delivery.provider,
            consumer=delivery.consumer,
            by=ctx.organisation,
        )
    ]


OPERATION = Operation(RecordDeliveryFailed, "service", validate, apply, "give up a delivery that never finished")
