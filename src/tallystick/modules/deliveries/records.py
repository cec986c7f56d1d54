"""What this module keeps: deliveries, each under one agreement.

Hashes are lower-case hex, times are ms since the epoch, sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from tallystick.machine import Collection, Record

DeliveryState = Literal["failed", "mismatched", "received", "sent"]
DisputeState = Literal["", "answered", "open"]

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Positive = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]
Identifier = Annotated[str, msgspec.Meta(max_length=60)]
Hash = Annotated[str, msgspec.Meta(min_length=64, max_length=64)]
Nonce = Annotated[str, msgspec.Meta(min_length=32, max_length=32)]


class Delivery(Record, kw_only=True):
    """One sending of one version of a dataset under an agreement.

    Attributes:
        agreement: id of the agreement that it is under.
        dataset: its name.
        version: of the dataset.
        provider: who sent it.
        consumer: whom it is for.
        fingerprint: of the version: what the consumer must compute from what it received.
        package: hash of the content key's package, sealed to the consumer's encryption key.
        nonce: binds the encrypted chunks to this delivery.
        bytes: size of the version in clear.
        chunks: of the version.
        state: sent, then received, mismatched or failed.
        sent_at: when the sending was recorded.
        received_at: when the consumer recorded what it received.
        root: what the consumer computed, or "".
        failed_at: when an unfinished delivery was given up.
        failed_by: by whom.
        failure: commitment to the reason, or "".
        dispute: "" where there is none, open, or answered.
        disputed_at: when the consumer disputed it.
        complaint: commitment to what the consumer says, or "".
        answered_at: when the provider answered.
        answer: commitment to what the provider says, or "".
    """

    agreement: str
    dataset: str
    version: Positive
    provider: str
    consumer: str
    fingerprint: str
    package: str
    nonce: str
    bytes: Count
    chunks: Positive
    state: DeliveryState
    sent_at: Count
    received_at: Count | None = None
    root: str = ""
    failed_at: Count | None = None
    failed_by: str = ""
    failure: str = ""
    dispute: DisputeState = ""
    disputed_at: Count | None = None
    complaint: str = ""
    answered_at: Count | None = None
    answer: str = ""


DELIVERIES = Collection("deliveries", Delivery, "what was sent under agreements, and what the consumer received, by id")
