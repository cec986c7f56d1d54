"""The invariants of requests and agreements find what could only come of a broken machine or a changed copy."""

import msgspec
import pytest

from tallystick.modules.agreements.ops import CancelRequest, TerminateAgreement
from tallystick.modules.agreements.records import AGREEMENTS, PROPOSED_TERMS, REQUESTS, Step
from tests.support.market import DATASET, agree, offer, send_request, terms_on, use_under
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


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": BANK},
        {"consumer": HOSPITAL},
        {"dataset": f"{HOSPITAL}/none"},
        {"version": 7},
        {"state": "OFFERED"},
        {"state": "FINALIZED"},
        {"state": "TERMINATED"},
        {"decision": "approved"},
        {"terms": "0" * 64},
        {"agreement": "agr-none", "state": "FINALIZED"},
        {"steps": ()},
        {"steps": (Step(action="countered", by=UNIVERSITY, at=1),)},
        {"steps": (Step(action="approved", by=HOSPITAL, at=1),)},
        {"changed_at": 1},
    ],
)
def test_damaged_request_is_found(zone, changes):
    """A request that contradicts itself or the rest is reported by its key."""
    request = send_request(zone)
    assert [] == zone.broken()
    damage(zone, REQUESTS, request, **changes)
    assert any(fault.startswith(f"requests/{request}: ") for fault in zone.broken())


def test_step_after_the_end_is_found(zone):
    """Nothing follows a decision."""
    request = send_request(zone)
    zone.run(UNIVERSITY, CancelRequest(request=request))
    steps = zone.get(REQUESTS, request).steps
    damage(zone, REQUESTS, request, steps=(*steps, steps[-1]))
    assert [f"requests/{request}: {UNIVERSITY} could not have cancelled it then"] == zone.broken()


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": BANK},
        {"consumer": BANK},
        {"request": "req-none"},
        {"version": 1},
        {"terms": "0" * 64},
        {"provider_transaction": ""},
        {"consumer_transaction": "x" * 64},
        {"agreed_at": 1},
        {"begins": 1},
        {"ends": None},
        {"state": "terminated"},
        {"terminated_at": 5},
        {"terminated_by": HOSPITAL},
    ],
)
def test_damaged_agreement_is_found(zone, changes):
    """An agreement that contradicts itself, its request or its terms is reported by its key."""
    agreement = agree(zone)
    assert [] == zone.broken()
    damage(zone, AGREEMENTS, agreement, **changes)
    assert any(fault.startswith(f"agreements/{agreement}: ") for fault in zone.broken())


def test_one_signature_for_both_is_found(zone):
    """The two signatures are of two transactions."""
    agreement = agree(zone)
    damage(zone, AGREEMENTS, agreement, consumer_transaction=zone.get(AGREEMENTS, agreement).provider_transaction)
    assert [f"agreements/{agreement}: one transaction stands for both signatures"] == zone.broken()


def test_termination_before_the_agreement_is_found(zone):
    """Nothing ends before it was agreed."""
    agreement = agree(zone)
    zone.run(HOSPITAL, TerminateAgreement(agreement=agreement))
    damage(zone, AGREEMENTS, agreement, terminated_at=1)
    assert [f"agreements/{agreement}: it was terminated before it was agreed"] == zone.broken()


def test_damaged_proposal_is_found(zone):
    """Proposed terms that are not their hash are reported."""
    request = send_request(zone, proposal=use_under(("elapsedTime", "eq", "P1D")))
    key = zone.get(REQUESTS, request).terms
    zone.reader.records[("proposed_terms", key)] = PROPOSED_TERMS.encode(terms_on(DATASET))
    assert [f"proposed_terms/{key}: the policy does not have this hash"] == zone.broken()
