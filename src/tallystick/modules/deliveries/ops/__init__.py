"""The operations on deliveries, one a file."""

from tallystick.modules.deliveries.ops.answer_dispute import AnswerDispute, DisputeAnswered
from tallystick.modules.deliveries.ops.dispute_delivery import DeliveryDisputed, DisputeDelivery
from tallystick.modules.deliveries.ops.record_delivery_failed import DeliveryFailed, RecordDeliveryFailed
from tallystick.modules.deliveries.ops.record_delivery_received import (
    DeliveryMismatched,
    DeliveryReceived,
    RecordDeliveryReceived,
)
from tallystick.modules.deliveries.ops.record_delivery_sent import DeliverySent, RecordDeliverySent

__all__ = [
    "AnswerDispute",
    "DeliveryDisputed",
    "DeliveryFailed",
    "DeliveryMismatched",
    "DeliveryReceived",
    "DeliverySent",
    "DisputeAnswered",
    "DisputeDelivery",
    "RecordDeliveryFailed",
    "RecordDeliveryReceived",
    "RecordDeliverySent",
]
