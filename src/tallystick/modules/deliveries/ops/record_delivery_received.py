"""record_delivery_received: the consumer records the root that it computed over what it received.

Contract: the delivery is sent and not closed. The root decides: equal to the fingerprint it is `received`, any other
and it is `mismatched`. What arrived stays on record even where the agreement has ended in between.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.deliveries.checks import check_consumer, check_hex, known_delivery
from tallystick.modules.deliveries.records import DELIVERIES, Hash, Identifier
from tallystick.modules.deliveries.rejections import DELIVERY_CLOSED


class RecordDeliveryReceived(Message, kw_only=True, tag="record_delivery_received"):
    """Record what was received: the root over it, computed by the consumer itself."""

    delivery: Identifier
    root: Hash


class DeliveryReceived(Event, kw_only=True, tag="delivery_received"):
    """The consumer received exactly what was offered."""

    delivery: str
    agreement: str
    dataset: str
    provider: str
    consumer: str


class DeliveryMismatched(Event, kw_only=True, tag="delivery_mismatched"):
    """The consumer received something else than what was offered."""

    delivery: str
    agreement: str
    dataset: str
    provider: str
    consumer: str
    root: str


def validate(msg: RecordDeliveryReceived) -> None:
    """Check the root."""
    check_hex("root", msg.root)


def apply(state: State, ctx: Context, msg: RecordDeliveryReceived) -> list[Event]:
    """Record the root, and what follows from it."""
    # READ
    delivery = known_delivery(state, msg.delivery)
    # CHECK
    check_consumer(ctx, delivery)
    if delivery.state != "sent":
        raise DELIVERY_CLOSED(delivery=msg.delivery, state=delivery.state)
    # WRITE
    matches = msg.root == delivery.fingerprint
    received = msgspec.structs.replace(
        delivery, state="received" if matches else "mismatched", received_at=ctx.time, root=msg.root
    )
    state.put(DELIVERIES, msg.delivery, received)
    # EVENTS
    what = {
        "delivery": msg.delivery,
        "agreement": delivery.agreement,
        "dataset": delivery.dataset,
        "provider": delivery.provider,
        "consumer": delivery.consumer,
    }
    return [DeliveryReceived(**what) if matches else DeliveryMismatched(root=msg.root, **what)]


OPERATION = Operation(RecordDeliveryReceived, "service", validate, apply, "record the root of what was received")
