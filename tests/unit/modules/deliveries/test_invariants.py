"""The invariants of deliveries find what could only come of a broken machine or a changed copy."""

import msgspec
import pytest

from tallystick.modules.agreements.ops import TerminateAgreement
from tallystick.modules.agreements.records import AGREEMENTS
from tallystick.modules.catalogue.records import DATASET_VERSIONS, version_key
from tallystick.modules.deliveries.ops import DisputeDelivery, RecordDeliveryReceived
from tallystick.modules.deliveries.records import DELIVERIES
from tests.support.market import DATASET, agree, content, offer, send
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY, Simulator


@pytest.fixture
def zone():
    """Return a zone with an offer."""
    made = Simulator()
    offer(made)
    return made


def damage(zone, collection, key, **changes):
    """Change a record behind the machine's back."""
    record = zone.get(collection, key)
    zone.reader.records[(collection.name, key)] = collection.encode(msgspec.structs.replace(record, **changes))


def faults_of(zone, delivery):
    """Return what is reported of a delivery."""
    return [fault for fault in zone.broken() if fault.startswith(f"deliveries/{delivery}: ")]


@pytest.mark.parametrize(
    "changes",
    [
        {"agreement": "agr-none"},
        {"consumer": BANK},
        {"dataset": f"{HOSPITAL}/none"},
        {"version": 2},
        {"fingerprint": "0" * 64},
        {"bytes": 1},
        {"sent_at": 1},
        {"sent_at": 2**52},
        {"state": "received"},
        {"received_at": 2**52},
        {"root": "0" * 64},
        {"state": "failed"},
        {"failed_by": HOSPITAL},
        {"dispute": "open"},
        {"dispute": "answered", "disputed_at": 2**52},
        {"answered_at": 2**52},
        {"state": "received", "received_at": 2**52, "root": "0" * 64},
        {"state": "mismatched", "received_at": 2**52, "root": content().fingerprint},
        {"state": "received", "received_at": 1, "root": content().fingerprint},
    ],
)
def test_damaged_delivery_is_found(zone, changes):
    """A delivery that contradicts itself, its agreement or its version is reported by its key."""
    delivery = send(zone, agree(zone))
    assert [] == zone.broken()
    damage(zone, DELIVERIES, delivery, **changes)
    assert faults_of(zone, delivery)


def test_delivery_after_termination_is_found(zone):
    """A delivery recorded later than the end of its agreement breaks law 3."""
    agreement = agree(zone)
    zone.run(HOSPITAL, TerminateAgreement(agreement=agreement))
    delivery = "dlv-forged"
    other = send(zone, agree(zone))
    forged = msgspec.structs.replace(zone.get(DELIVERIES, other), agreement=agreement)
    zone.reader.records[("deliveries", delivery)] = DELIVERIES.encode(forged)
    assert [f"deliveries/{delivery}: it was sent after its agreement was terminated"] == zone.broken()


def test_delivery_of_a_version_not_agreed_is_found(zone):
    """A delivery of another version than the agreed one is reported."""
    agreement = agree(zone)
    delivery = send(zone, agreement)
    damage(zone, AGREEMENTS, agreement, version=2)
    assert [f"deliveries/{delivery}: another version was agreed"] == faults_of(zone, delivery)


def test_delivery_before_publication_is_found(zone):
    """Nothing is sent before it was published."""
    delivery = send(zone, agree(zone))
    damage(zone, DATASET_VERSIONS, version_key(DATASET, 1), published_at=2**52)
    assert [f"deliveries/{delivery}: it was sent before its version was published"] == faults_of(zone, delivery)


def test_disputed_and_received_is_whole(zone):
    """A delivery that was disputed and then received is in order."""
    delivery = send(zone, agree(zone))
    zone.run(UNIVERSITY, DisputeDelivery(delivery=delivery))
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root=content().fingerprint))
    assert [] == zone.broken()
