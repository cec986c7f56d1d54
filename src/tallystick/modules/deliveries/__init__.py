"""Deliveries: that data was sent under an agreement, what the consumer received, and disputes about it.

It reads agreements and the catalogue through `ports`. Its specification is the README beside this file.
"""

from tallystick.machine import Module
from tallystick.modules.deliveries.invariants import INVARIANTS
from tallystick.modules.deliveries.ops import (
    answer_dispute,
    dispute_delivery,
    record_delivery_failed,
    record_delivery_received,
    record_delivery_sent,
)
from tallystick.modules.deliveries.records import DELIVERIES
from tallystick.modules.deliveries.rejections import REJECTIONS

MODULE = Module(
    name="deliveries",
    collections=(DELIVERIES,),
    operations=(
        record_delivery_sent.OPERATION,
        record_delivery_received.OPERATION,
        record_delivery_failed.OPERATION,
        dispute_delivery.OPERATION,
        answer_dispute.OPERATION,
    ),
    rejections=REJECTIONS,
    events=(
        record_delivery_sent.DeliverySent,
        record_delivery_received.DeliveryReceived,
        record_delivery_received.DeliveryMismatched,
        record_delivery_failed.DeliveryFailed,
        dispute_delivery.DeliveryDisputed,
        answer_dispute.DisputeAnswered,
    ),
    invariants=INVARIANTS,
)

__all__ = ["MODULE"]
