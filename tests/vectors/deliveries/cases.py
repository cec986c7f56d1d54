"""Cases of the deliveries module's vectors."""

from __future__ import annotations

from collections.abc import Callable

from tallystick.machine import Message
from tallystick.modules.agreements.ops import TerminateAgreement
from tallystick.modules.catalogue.ops import ReviseDataset
from tallystick.modules.deliveries.ops import (
    AnswerDispute,
    DisputeDelivery,
    RecordDeliveryFailed,
    RecordDeliveryReceived,
)
from tests.support.market import DATASET, agree, content, digest, offer, send, sending
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY, Simulator
from tests.vectors.generate_modules import Case, Step, step

FINGERPRINT = content().fingerprint


def zone() -> Simulator:
    """Return a zone of two organisations in which the hospital offers a dataset."""
    simulator = Simulator((HOSPITAL, UNIVERSITY))
    offer(simulator)
    return simulator


def three() -> Simulator:
    """Return the same zone with a third organisation."""
    simulator = Simulator((HOSPITAL, UNIVERSITY, BANK))
    offer(simulator)
    return simulator


def sent(organisation: str, message: Callable[[str], Message], disputed: bool = False) -> Callable[[Simulator], Step]:
    """Return the scenario of an operation on a delivery that was sent."""

    def scenario(simulator: Simulator) -> Step:
        delivery = send(simulator, agree(simulator))
        if disputed:
            simulator.run(UNIVERSITY, DisputeDelivery(delivery=delivery, private=digest("wrong year")))
        return step(organisation, message(delivery))

    return scenario


def _terminated(simulator: Simulator) -> Step:
    agreement = agree(simulator)
    simulator.run(UNIVERSITY, TerminateAgreement(agreement=agreement))
    return step(HOSPITAL, sending(agreement))


def _received_again(simulator: Simulator) -> Step:
    delivery = send(simulator, agree(simulator))
    message = RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT)
    simulator.run(UNIVERSITY, message)
    return step(UNIVERSITY, message)


def _other_version(simulator: Simulator) -> Step:
    agreement = agree(simulator, version=1)
    simulator.run(HOSPITAL, ReviseDataset(name=DATASET, version=content("two")))
    return step(HOSPITAL, sending(agreement, 2, "two"))


def _stranger(simulator: Simulator) -> Step:
    return step(BANK, RecordDeliveryFailed(delivery=send(simulator, agree(simulator))))


CASES = [
    Case(
        "record_delivery_sent",
        "accepted",
        "The provider sends under an agreement in force.",
        lambda simulator: step(HOSPITAL, sending(agree(simulator))),
        zone,
    ),
    Case("record_delivery_sent", "agreement-not-in-force", "The agreement was terminated.", _terminated, zone),
    Case(
        "record_delivery_sent",
        "not-as-offered",
        "The fingerprint is not that of the version.",
        lambda simulator: step(HOSPITAL, sending(agree(simulator), fingerprint="0" * 64)),
        zone,
    ),
    Case(
        "record_delivery_received",
        "accepted",
        "The consumer computed the fingerprint of the offer.",
        sent(UNIVERSITY, lambda delivery: RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT)),
        zone,
    ),
    Case(
        "record_delivery_received",
        "accepted-mismatch",
        "The consumer computed another root, which is recorded as a mismatch.",
        sent(UNIVERSITY, lambda delivery: RecordDeliveryReceived(delivery=delivery, root="0" * 64)),
        zone,
    ),
    Case("record_delivery_received", "delivery-closed", "It was received before.", _received_again, zone),
    Case(
        "record_delivery_failed",
        "accepted",
        "The provider gives up.",
        sent(HOSPITAL, lambda delivery: RecordDeliveryFailed(delivery=delivery, private=digest("cut"))),
        zone,
    ),
    Case(
        "record_delivery_failed",
        "unknown-delivery",
        "There is no such delivery.",
        lambda _: step(HOSPITAL, RecordDeliveryFailed(delivery="dlv-none")),
        zone,
    ),
    Case(
        "dispute_delivery",
        "accepted",
        "The consumer disputes.",
        sent(UNIVERSITY, lambda delivery: DisputeDelivery(delivery=delivery, private=digest("wrong year"))),
        zone,
    ),
    Case(
        "dispute_delivery",
        "not-the-consumer",
        "The provider disputes its own delivery.",
        sent(HOSPITAL, lambda delivery: DisputeDelivery(delivery=delivery)),
        zone,
    ),
    Case(
        "answer_dispute",
        "accepted",
        "The provider answers.",
        sent(
            HOSPITAL,
            lambda delivery: AnswerDispute(delivery=delivery, private=digest("as offered")),
            disputed=True,
        ),
        zone,
    ),
    Case(
        "answer_dispute",
        "no-open-dispute",
        "Nothing is disputed.",
        sent(HOSPITAL, lambda delivery: AnswerDispute(delivery=delivery, private=digest("as offered"))),
        zone,
    ),
    Case(
        "record_delivery_sent",
        "bad-hash",
        "The nonce is in upper case.",
        lambda simulator: step(HOSPITAL, sending(agree(simulator), nonce="A" * 32)),
        zone,
    ),
    Case(
        "record_delivery_sent",
        "unknown-agreement",
        "There is no such agreement.",
        lambda _: step(HOSPITAL, sending("agr-none")),
        zone,
    ),
    Case(
        "record_delivery_sent",
        "not-the-provider",
        "The consumer records a sending.",
        lambda simulator: step(UNIVERSITY, sending(agree(simulator))),
        zone,
    ),
    Case(
        "record_delivery_sent",
        "unknown-version",
        "The dataset has no second version.",
        lambda simulator: step(HOSPITAL, sending(agree(simulator), version=2)),
        zone,
    ),
    Case("record_delivery_sent", "other-version-agreed", "The first version was agreed on.", _other_version, zone),
    Case("record_delivery_failed", "not-a-party", "A third organisation gives up.", _stranger, three),
    Case(
        "dispute_delivery",
        "already-disputed",
        "It was disputed before.",
        sent(UNIVERSITY, lambda delivery: DisputeDelivery(delivery=delivery), disputed=True),
        zone,
    ),
]
