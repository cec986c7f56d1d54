"""Why deliveries are refused, from 4001. Numbers keep their meaning for ever."""

from __future__ import annotations

from tallystick.machine import Rejection

BAD_HASH = Rejection(4001, "bad_hash", "{field} is not lower-case hex of its length")
UNKNOWN_AGREEMENT = Rejection(4002, "unknown_agreement", "there is no agreement {agreement}")
NOT_THE_PROVIDER = Rejection(4003, "not_the_provider", "{organisation} is not the provider of this")
NOT_THE_CONSUMER = Rejection(4004, "not_the_consumer", "{organisation} is not the consumer of this")
NOT_A_PARTY = Rejection(4005, "not_a_party", "{organisation} is not a party to this")
AGREEMENT_NOT_IN_FORCE = Rejection(4006, "agreement_not_in_force", "{agreement} is {state}")
UNKNOWN_VERSION = Rejection(4007, "unknown_version", "{dataset} has no version {version}")
OTHER_VERSION_AGREED = Rejection(4008, "other_version_agreed", "{agreement} is about version {agreed}")
NOT_AS_OFFERED = Rejection(4009, "not_as_offered", "{field} differs from version {version} of {dataset}")
UNKNOWN_DELIVERY = Rejection(4010, "unknown_delivery", "there is no delivery {delivery}")
DELIVERY_CLOSED = Rejection(4011, "delivery_closed", "{delivery} is {state} already")
ALREADY_DISPUTED = Rejection(4012, "already_disputed", "{delivery} was disputed before")
NO_OPEN_DISPUTE = Rejection(4013, "no_open_dispute", "{delivery} has no dispute that waits for an answer")

REJECTIONS: tuple[Rejection, ...] = (
    BAD_HASH,
    UNKNOWN_AGREEMENT,
    NOT_THE_PROVIDER,
    NOT_THE_CONSUMER,
    NOT_A_PARTY,
    AGREEMENT_NOT_IN_FORCE,
    UNKNOWN_VERSION,
    OTHER_VERSION_AGREED,
    NOT_AS_OFFERED,
    UNKNOWN_DELIVERY,
    DELIVERY_CLOSED,
    ALREADY_DISPUTED,
    NO_OPEN_DISPUTE,
)
