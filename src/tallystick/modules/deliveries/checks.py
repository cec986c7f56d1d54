"""Checks that the operations on deliveries share."""

from __future__ import annotations

from tallystick.codec import MalformedError, check_hash
from tallystick.machine import Context, State
from tallystick.modules.deliveries.records import DELIVERIES, Delivery
from tallystick.modules.deliveries.rejections import (
    BAD_HASH,
    NOT_A_PARTY,
    NOT_THE_CONSUMER,
    NOT_THE_PROVIDER,
    UNKNOWN_DELIVERY,
)


def check_hex(field: str, text: str) -> None:
    """Raise `bad_hash` unless `text` is 32 bytes of lower-case hex."""
    try:
        check_hash(text)
    except MalformedError:
        raise BAD_HASH(field=field) from None


def known_delivery(state: State, delivery: str) -> Delivery:
    """Return a delivery, or raise `unknown_delivery`."""
    found = state.find(DELIVERIES, delivery)
    if found is None:
        raise UNKNOWN_DELIVERY(delivery=delivery)
    return found


def check_provider(ctx: Context, provider: str) -> None:
    """Raise `not_the_provider` unless the signer is it."""
    if ctx.organisation != provider:
        raise NOT_THE_PROVIDER(organisation=ctx.organisation)


def check_consumer(ctx: Context, delivery: Delivery) -> None:
    """Raise `not_the_consumer` unless the signer is it."""
    if ctx.organisation != delivery.consumer:
        raise NOT_THE_CONSUMER(organisation=ctx.organisation)


def check_party(ctx: Context, delivery: Delivery) -> None:
    """Raise `not_a_party` unless the signer is provider or consumer."""
    if ctx.organisation not in (delivery.provider, delivery.consumer):
        raise NOT_A_PARTY(organisation=ctx.organisation)
