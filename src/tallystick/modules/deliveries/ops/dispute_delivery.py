"""dispute_delivery: the consumer says that something is wrong with a delivery.

Contract: whatever state the delivery is in, and once for each. It changes nothing of what was recorded before.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.deliveries.checks import check_consumer, check_hex, known_delivery
from tallystick.modules.deliveries.records import DELIVERIES, Hash, Identifier
from tallystick.modules.deliveries.rejections import ALREADY_DISPUTED


class DisputeDelivery(Message, kw_only=True, tag="dispute_delivery"):
    """Dispute a delivery; `private` is the commitment to what is wrong with it."""

    delivery: Identifier
    private: Hash | None = None


class DeliveryDisputed(Event, kw_only=True, tag="delivery_disputed"):
    """A consumer disputes a delivery; the provider may answer."""

    delivery: str
    agreement: str
    dataset: str
    provider: str
    consumer: str


def validate(msg: DisputeDelivery) -> None:
    """Check the commitment."""
    if msg.private is not None:
        check_hex("private", msg.private)


def apply(state: State, ctx: Context, msg: DisputeDelivery) -> list[Event]:
    """Open the dispute."""
    # READ
    delivery = known_delivery(state, msg.delivery)
    # CHECK
    check_consumer(ctx, delivery)
    if delivery.dispute:
        raise ALREADY_DISPUTED(delivery=msg.delivery)
    # WRITE
    disputed = msgspec.structs.replace(delivery, dispute="open", disputed_at=ctx.time, complaint=msg.private or "")
    state.put(DELIVERIES, msg.delivery, disputed)
    # EVENTS
    return [
        DeliveryDisputed(
            delivery=msg.delivery,
            agreement=delivery.agreement,
            dataset=delivery.dataset,
            provider=delivery.provider,
            consumer=delivery.consumer,
        )
    ]


OPERATION = Operation(DisputeDelivery, "service", validate, apply, "say that something is wrong with a delivery")
