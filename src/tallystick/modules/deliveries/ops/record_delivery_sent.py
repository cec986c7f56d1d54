"""record_delivery_sent: the provider records that it sends a version of a dataset to the consumer of an agreement.

Contract (law 3): the agreement is in force at this block's time and the signer is its provider. What is sent is a
version as it was offered, the agreed one where the agreement names one. Recorded before the key package is handed over.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.deliveries.checks import check_hex, check_provider
from tallystick.modules.deliveries.ports import AGREEMENTS, VERSIONS, agreement_state
from tallystick.modules.deliveries.records import DELIVERIES, Count, Delivery, Hash, Identifier, Nonce, Positive
from tallystick.modules.deliveries.rejections import (
    AGREEMENT_NOT_IN_FORCE,
    BAD_HASH,
    NOT_AS_OFFERED,
    OTHER_VERSION_AGREED,
    UNKNOWN_AGREEMENT,
    UNKNOWN_VERSION,
)

ID_LENGTH = 6


class RecordDeliverySent(Message, kw_only=True, tag="record_delivery_sent"):
    """Record a sending; the fields are those of `Delivery`."""

    agreement: Identifier
    version: Positive
    fingerprint: Hash
    package: Hash
    nonce: Nonce
    bytes: Count
    chunks: Positive


class DeliverySent(Event, kw_only=True, tag="delivery_sent"):
    """A provider sends a version of a dataset."""

    delivery: str
    agreement: str
    dataset: str
    version: int
    provider: str
    consumer: str


def validate(msg: RecordDeliverySent) -> None:
    """Check the hashes and the nonce."""
    check_hex("fingerprint", msg.fingerprint)
    check_hex("package", msg.package)
    if not all("0" <= digit <= "9" or "a" <= digit <= "f" for digit in msg.nonce):
        raise BAD_HASH(field="nonce")


def apply(state: State, ctx: Context, msg: RecordDeliverySent) -> list[Event]:
    """Record the delivery as sent."""
    # READ
    agreement = AGREEMENTS.find_agreement(state, msg.agreement)
    # CHECK
    if agreement is None:
        raise UNKNOWN_AGREEMENT(agreement=msg.agreement)
    check_provider(ctx, agreement.provider)
    now = agreement_state(agreement, ctx.time)
    if now != "in_force":
        raise AGREEMENT_NOT_IN_FORCE(agreement=msg.agreement, state=now)
    if agreement.version not in (None, msg.version):
        raise OTHER_VERSION_AGREED(agreement=msg.agreement, agreed=agreement.version or 0)
    version = VERSIONS.find_version(state, agreement.dataset, msg.version)
    if version is None:
        raise UNKNOWN_VERSION(dataset=agreement.dataset, version=msg.version)
    for field, given, offered in (
        ("fingerprint", msg.fingerprint, version.fingerprint),
        ("bytes", msg.bytes, version.size),
        ("chunks", msg.chunks, version.chunks),
    ):
        if given != offered:
            raise NOT_AS_OFFERED(field=field, dataset=agreement.dataset, version=msg.version)
    # WRITE
    key = ctx.new_id(state, DELIVERIES, "dlv", ID_LENGTH)
    delivery = Delivery(
        agreement=msg.agreement,
        dataset=agreement.dataset,
        version=msg.version,
        provider=agreement.provider,
        consumer=agreement.consumer,
        fingerprint=msg.fingerprint,
        package=msg.package,
        nonce=msg.nonce,
        bytes=msg.bytes,
        chunks=msg.chunks,
        state="sent",
        sent_at=ctx.time,
    )
    state.put(DELIVERIES, key, delivery)
    # EVENTS
    return [
        DeliverySent(
            delivery=key,
            agreement=msg.agreement,
            dataset=agreement.dataset,
            version=msg.version,
            provider=agreement.provider,
            consumer=agreement.consumer,
        )
    ]


OPERATION = Operation(
    RecordDeliverySent, "service", validate, apply, "record that a version is sent under an agreement"
)
