"""Deliveries: sent only under an agreement in force, received by root, given up, disputed, answered."""

import msgspec
import pytest

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.modules.agreements.ops import TerminateAgreement
from tallystick.modules.agreements.records import AGREEMENTS
from tallystick.modules.catalogue.ops import ReviseDataset, WithdrawDataset
from tallystick.modules.deliveries import queries
from tallystick.modules.deliveries.ops import (
    AnswerDispute,
    DisputeDelivery,
    RecordDeliveryFailed,
    RecordDeliveryReceived,
    RecordDeliverySent,
)
from tallystick.modules.deliveries.records import DELIVERIES
from tests.support.market import DATASET, agree, content, digest, names, offer, refusal, send, sending
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY, SignedSimulator, Simulator

FINGERPRINT = content().fingerprint


@pytest.fixture
def zone():
    """Return a zone with an offer."""
    made = Simulator()
    offer(made)
    return made


@pytest.fixture
def agreement(zone):
    """Return the id of an agreement in force on it, between hospital and university."""
    return agree(zone)


@pytest.fixture
def delivery(zone, agreement):
    """Return the id of a delivery under it that was sent."""
    return send(zone, agreement)


# sending


def test_sending_is_recorded_under_the_agreement(zone, agreement):
    """A sending names the agreement, its parties, and the version as it was offered."""
    events = zone.run(HOSPITAL, sending(agreement))

    record = zone.get(DELIVERIES, events[0].delivery)
    assert ["delivery_sent"] == names(events)
    assert events[0].delivery.startswith("dlv-")
    assert ("sent", zone.time, agreement, DATASET, 1) == (
        record.state,
        record.sent_at,
        record.agreement,
        record.dataset,
        record.version,
    )
    assert (HOSPITAL, UNIVERSITY, FINGERPRINT) == (record.provider, record.consumer, record.fingerprint)
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (HOSPITAL, {"fingerprint": "A" * 64}, (4001, "bad_hash")),
        (HOSPITAL, {"package": "A" * 64}, (4001, "bad_hash")),
        (HOSPITAL, {"nonce": "A" * 32}, (4001, "bad_hash")),
        (HOSPITAL, {"agreement": "agr-none"}, (4002, "unknown_agreement")),
        (UNIVERSITY, {}, (4003, "not_the_provider")),
        (BANK, {}, (4003, "not_the_provider")),
        (HOSPITAL, {"version": 2}, (4007, "unknown_version")),
        (HOSPITAL, {"fingerprint": "0" * 64}, (4009, "not_as_offered")),
        (HOSPITAL, {"bytes": 1}, (4009, "not_as_offered")),
        (HOSPITAL, {"chunks": 4}, (4009, "not_as_offered")),
    ],
)
def test_sending_is_refused(zone, agreement, organisation, changes, expected):
    """Only the provider sends, and only a version as it was offered."""
    message = sending(**({"agreement": agreement} | changes))
    assert expected == refusal(zone.reject(organisation, message))


def test_nothing_is_sent_after_the_end(zone, agreement):
    """Law 3: at the agreement's end nothing may be sent; a ms before, it may."""
    ends = zone.get(AGREEMENTS, agreement).ends
    zone.run(HOSPITAL, sending(agreement), at_ms=ends - 1)
    error = zone.reject(HOSPITAL, sending(agreement), at_ms=ends)
    assert (4006, "agreement_not_in_force") == refusal(error)
    assert "ended" == error.fields["state"]
    assert [] == zone.broken()


def test_nothing_is_sent_after_termination(zone, agreement):
    """Law 3: a terminated agreement carries no delivery."""
    zone.run(UNIVERSITY, TerminateAgreement(agreement=agreement))
    error = zone.reject(HOSPITAL, sending(agreement))
    assert ("agreement_not_in_force", "terminated") == (error.name, error.fields["state"])


def test_termination_and_sending_in_one_block():
    """In a block, what comes after the termination is refused, and what came before stands."""
    zone = SignedSimulator()
    offer(zone)
    agreement = agree(zone)
    key = zone.key(HOSPITAL, "service")
    messages = [sending(agreement), TerminateAgreement(agreement=agreement), sending(agreement, nonce="0" * 32)]
    zone.execute([zone.transaction(HOSPITAL, [message], key) for message in messages])
    assert [0, 0, 4006] == [result.outcomes[0].code for result in zone.last_results]
    assert [] == zone.broken()


def test_latest_or_agreed_version(zone):
    """Without a version in the agreement any version may be sent; with one, only that."""
    any_version, first_only = agree(zone), agree(zone, version=1)
    zone.run(HOSPITAL, ReviseDataset(name=DATASET, version=content("two")))
    send(zone, any_version, version=2, label="two")
    send(zone, first_only)
    error = zone.reject(HOSPITAL, sending(first_only, version=2, label="two"))
    assert (4008, "other_version_agreed") == refusal(error)
    assert [] == zone.broken()


def test_withdrawal_does_not_end_agreements(zone, agreement):
    """A withdrawn dataset is still delivered under agreements in force."""
    zone.run(HOSPITAL, WithdrawDataset(name=DATASET))
    send(zone, agreement)
    assert [] == zone.broken()


def test_fields_are_typed():
    """Hashes of another length and a version 0 are malformed."""
    decoder = StrictDecoder(RecordDeliverySent, max_bytes=10_000)
    for change in ({"nonce": "00"}, {"package": "00"}, {"version": 0}, {"chunks": 0}):
        with pytest.raises(MalformedError):
            decoder.decode(encode_json(msgspec.to_builtins(sending("agr-1")) | change))


# receiving


def test_matching_root_is_received(zone, delivery):
    """The fingerprint that the consumer computed itself makes a delivery received."""
    events = zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT))
    record = zone.get(DELIVERIES, delivery)
    assert ["delivery_received"] == names(events)
    assert ("received", zone.time, FINGERPRINT) == (record.state, record.received_at, record.root)
    assert [] == zone.broken()


def test_other_root_is_a_mismatch(zone, delivery):
    """Another root is recorded as what it is."""
    events = zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root="0" * 64))
    record = zone.get(DELIVERIES, delivery)
    assert ["delivery_mismatched"] == names(events)
    assert ("mismatched", "0" * 64) == (record.state, record.root)
    assert [] == zone.broken()


def test_receipt_after_termination_counts(zone, agreement, delivery):
    """What was on its way when the agreement ended can still be recorded as received."""
    zone.run(HOSPITAL, TerminateAgreement(agreement=agreement))
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT))
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (UNIVERSITY, {"root": "A" * 64}, (4001, "bad_hash")),
        (HOSPITAL, {}, (4004, "not_the_consumer")),
        (BANK, {}, (4004, "not_the_consumer")),
        (UNIVERSITY, {"delivery": "dlv-none"}, (4010, "unknown_delivery")),
    ],
)
def test_receiving_is_refused(zone, delivery, organisation, changes, expected):
    """Only the consumer says what it received."""
    message = RecordDeliveryReceived(**({"delivery": delivery, "root": FINGERPRINT} | changes))
    assert expected == refusal(zone.reject(organisation, message))


def test_received_once(zone, delivery):
    """What was received is not received, corrected or given up afterwards."""
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root="0" * 64))
    for message in (
        RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT),
        RecordDeliveryFailed(delivery=delivery),
    ):
        error = zone.reject(UNIVERSITY, message)
        assert (4011, "delivery_closed") == refusal(error)
        assert "mismatched" == error.fields["state"]


# giving up


@pytest.mark.parametrize("organisation", [HOSPITAL, UNIVERSITY])
def test_either_party_gives_up(zone, delivery, organisation):
    """A delivery that never finished is closed as failed."""
    events = zone.run(organisation, RecordDeliveryFailed(delivery=delivery, private=digest("cut")))
    record = zone.get(DELIVERIES, delivery)
    assert ["delivery_failed"] == names(events)
    assert ("failed", organisation, zone.time, digest("cut")) == (
        record.state,
        record.failed_by,
        record.failed_at,
        record.failure,
    )
    message = RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT)
    assert (4011, "delivery_closed") == refusal(zone.reject(UNIVERSITY, message))
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (HOSPITAL, {"private": "A" * 64}, (4001, "bad_hash")),
        (BANK, {}, (4005, "not_a_party")),
        (HOSPITAL, {"delivery": "dlv-none"}, (4010, "unknown_delivery")),
    ],
)
def test_giving_up_is_refused(zone, delivery, organisation, changes, expected):
    """Only parties give up."""
    message = RecordDeliveryFailed(**({"delivery": delivery} | changes))
    assert expected == refusal(zone.reject(organisation, message))


# disputes


def test_dispute_and_answer(zone, delivery):
    """A dispute is opened by the consumer and answered by the provider, beside the delivery's own state."""
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT))
    opened = zone.run(UNIVERSITY, DisputeDelivery(delivery=delivery, private=digest("wrong year")))
    disputed = zone.get(DELIVERIES, delivery)
    answered = zone.run(HOSPITAL, AnswerDispute(delivery=delivery, private=digest("as offered")))
    record = zone.get(DELIVERIES, delivery)

    assert ["delivery_disputed", "dispute_answered"] == names(opened) + names(answered)
    assert ("received", "open", digest("wrong year")) == (disputed.state, disputed.dispute, disputed.complaint)
    assert ("received", "answered", digest("as offered")) == (record.state, record.dispute, record.answer)
    assert (zone.time - 1_000, zone.time) == (record.disputed_at, record.answered_at)
    assert [] == zone.broken()


def test_disputed_delivery_can_still_arrive(zone, delivery):
    """A dispute about something not yet arrived does not stop it from being received."""
    zone.run(UNIVERSITY, DisputeDelivery(delivery=delivery))
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root=FINGERPRINT))
    assert ("received", "open") == (zone.get(DELIVERIES, delivery).state, zone.get(DELIVERIES, delivery).dispute)
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (UNIVERSITY, {"private": "A" * 64}, (4001, "bad_hash")),
        (HOSPITAL, {}, (4004, "not_the_consumer")),
        (UNIVERSITY, {"delivery": "dlv-none"}, (4010, "unknown_delivery")),
    ],
)
def test_dispute_is_refused(zone, delivery, organisation, changes, expected):
    """Only the consumer disputes."""
    assert expected == refusal(zone.reject(organisation, DisputeDelivery(**({"delivery": delivery} | changes))))


def test_dispute_once(zone, delivery):
    """A delivery is disputed once, also after the answer, and answered once."""
    answer = AnswerDispute(delivery=delivery, private=digest("answer"))
    assert (4013, "no_open_dispute") == refusal(zone.reject(HOSPITAL, answer))
    zone.run(UNIVERSITY, DisputeDelivery(delivery=delivery))
    assert (4012, "already_disputed") == refusal(zone.reject(UNIVERSITY, DisputeDelivery(delivery=delivery)))
    zone.run(HOSPITAL, answer)
    assert (4012, "already_disputed") == refusal(zone.reject(UNIVERSITY, DisputeDelivery(delivery=delivery)))
    assert (4013, "no_open_dispute") == refusal(zone.reject(HOSPITAL, answer))


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (HOSPITAL, {"private": "A" * 64}, (4001, "bad_hash")),
        (UNIVERSITY, {}, (4003, "not_the_provider")),
        (HOSPITAL, {"delivery": "dlv-none"}, (4010, "unknown_delivery")),
    ],
)
def test_answer_is_refused(zone, delivery, organisation, changes, expected):
    """Only the provider answers."""
    zone.run(UNIVERSITY, DisputeDelivery(delivery=delivery))
    message = AnswerDispute(**({"delivery": delivery, "private": digest("answer")} | changes))
    assert expected == refusal(zone.reject(organisation, message))


def test_deliveries_are_listed_by_agreement(zone, agreement, delivery):
    """The deliveries under one agreement are found, and no others."""
    other = agree(zone, BANK)
    send(zone, other)
    assert [delivery] == [key for key, _ in queries.deliveries_under(zone.state, agreement)]
    assert None is queries.find_delivery(zone.state, "dlv-none")
