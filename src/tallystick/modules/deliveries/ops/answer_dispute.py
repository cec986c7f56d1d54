"""answer_dispute: the provider answers the consumer's dispute of a delivery.

Contract: the dispute is open. The answer is party-only, so its commitment is what is recorded.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.deliveries.checks import check_hex, check_provider, known_delivery
from tallystick.modules.deliveries.records import DELIVERIES, Hash, Identifier
from tallystick.modules.deliveries.rejections import NO_OPEN_DISPUTE


class AnswerDispute(Message, kw_only=True, tag="answer_dispute"):
    """Answer a dispute; `private` is the commitment to the answer."""

    delivery: Identifier
    private: Hash


class DisputeAnswered(Event, kw_only=True, tag="dispute_answered"):
    """A provider answered a dispute."""

    delivery: str
    agreement: str
    dataset: str
    provider: str
    consumer: str


def validate(msg: AnswerDispute) -> None:
    """Check the commitment."""
    check_hex("private", msg.private)


def apply(state: State, ctx: Context, msg: AnswerDispute) -> list[Event]:
    """Record the answer."""
    # READ
    delivery = known_delivery(state, msg.delivery)
    # CHECK
    check_provider(ctx, delivery.provider)
    if delivery.dispute != "open":
        raise NO_OPEN_DISPUTE(delivery=msg.delivery)
    # WRITE
    answered = msgspec.structs.replace(delivery, dispute="answered", answered_at=ctx.time, answer=msg.private)
    state.put(DELIVERIES, msg.delivery, answered)
    # EVENTS
    return [
        DisputeAnswered(
            delivery=msg.delivery,
            agreement=delivery.agreement,
            dataset=delivery.dataset,
            provider=delivery.provider,
            consumer=delivery.consumer,
        )
    ]


OPERATION = Operation(AnswerDispute, "service", validate, apply, "answer the dispute of a delivery")
