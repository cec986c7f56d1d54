"""The catalogue's invariants find what could only come of a broken machine or a changed copy."""

import msgspec
import pytest

from tallystick.modules.catalogue.records import DATASET_VERSIONS, DATASETS, TERMS, version_key
from tests.support.market import DATASET, offer, terms_on
from tests.support.zones import BANK, Simulator


@pytest.fixture
def zone():
    """Return a zone."""
    made = Simulator()
    offer(made)
    assert [] == made.broken()
    return made


def damage(zone, collection, key, **changes):
    """Change a record behind the machine's back."""
    record = zone.get(collection, key)
    zone.reader.records[(collection.name, key)] = collection.encode(msgspec.structs.replace(record, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"owner": BANK},
        {"terms": "0" * 64},
        {"approval": "automatic"},
        {"status": "withdrawn"},
        {"withdrawn_at": 5},
        {"version": 2},
        {"changed_at": 0},
    ],
)
def test_damaged_dataset_is_found(zone, changes):
    """A dataset that contradicts itself or the rest is reported by its key."""
    damage(zone, DATASETS, DATASET, **changes)
    assert any(fault.startswith(f"datasets/{DATASET}: ") for fault in zone.broken())


def test_damaged_version_is_found(zone):
    """A version under another number is reported."""
    damage(zone, DATASET_VERSIONS, version_key(DATASET, 1), version=2)
    assert any("its key is not its name and number" in fault for fault in zone.broken())


def test_version_without_dataset_is_found(zone):
    """A version of nothing is reported."""
    damage(zone, DATASET_VERSIONS, version_key(DATASET, 1), dataset="a-b/c")
    assert any("there is no such dataset" in fault for fault in zone.broken())


def test_damaged_terms_are_found(zone):
    """Terms that are not their hash are reported."""
    key = zone.get(DATASETS, DATASET).terms
    zone.reader.records[("terms", key)] = TERMS.encode(terms_on(name="internal-use-1y"))
    assert [f"terms/{key}: the policy does not have this hash"] == zone.broken()
