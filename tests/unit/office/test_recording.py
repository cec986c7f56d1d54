"""Recording together: what is asked for in the same moment is one transaction, and each who asked has their own result."""

import asyncio
import secrets

import pytest

from tallystick.errors import PeerError, RejectedError
from tallystick.ledger import gathering
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.modules.organisations.ops import RenameOrganisation
from tallystick.proofs.receipts import decode_receipt
from tests.support.zones import HOSPITAL


def evidence(root=None):
    return RecordEvidence(root=root or secrets.token_hex(32), count=1)


@pytest.fixture
def recorder(zone):
    """What the parts of the hospital's office record with."""
    return zone[HOSPITAL].datasets._recorder


def transactions(zone):
    """Return how many transactions are on the history."""
    return zone[HOSPITAL].ledger.store.query("SELECT count(*) FROM transactions")[0][0]


async def test_same_moment_one_transaction(zone, recorder):
    """Each has the outcome, the events and the place of their own, and a receipt can be made of each."""
    wanted = [evidence() for _ in range(20)]
    done = await asyncio.gather(*(recorder.record(each) for each in wanted))
    assert 1 == transactions(zone)
    assert list(range(20)) == [each.recorded.index for each in done]
    assert [each.root for each in wanted] == [each.event("evidence_recorded")["root"] for each in done]
    await zone.witness()
    ledger = zone[HOSPITAL].ledger
    assert 7 == decode_receipt(ledger.receipt(done[7].recorded.leaf)).index
    assert done[7].recorded.leaf == ledger.leaf_of(done[7].recorded.transaction, 7)


async def test_rejected_one_harms_no_other(zone, recorder):
    """One of them that the rules refuse is told why; those before and behind it are recorded."""
    answers = await asyncio.gather(
        *(recorder.record(each) for each in (evidence(), evidence("0"), evidence())), return_exceptions=True
    )
    assert isinstance(answers[1], RejectedError)
    assert [0, 2] == [each.recorded.index for each in (answers[0], answers[2])]
    assert 1 == transactions(zone)


async def test_each_key_signs_its_own(zone, recorder):
    """Operations that need different keys are not put together."""
    await asyncio.gather(
        recorder.record(evidence()), recorder.record(RenameOrganisation(name="X"), role="registration")
    )
    assert 2 == transactions(zone)


async def test_lost_answer_is_told_to_all_and_the_next_goes_out(zone, recorder):
    """Where the core is away, everybody who asked in that moment is told so."""
    zone.orders.fails = 1
    answers = await asyncio.gather(*(recorder.record(evidence()) for _ in range(3)), return_exceptions=True)
    assert [PeerError] * 3 == [type(each) for each in answers]
    assert 0 == (await recorder.record(evidence())).recorded.leaf


async def test_transactions_are_bounded(zone, recorder, monkeypatch):
    """More than one transaction may hold goes in several; nobody waits for the next."""
    monkeypatch.setattr(gathering, "MAX_OPERATIONS", 4)
    done = await asyncio.gather(*(recorder.record(evidence()) for _ in range(10)))
    assert [4, 4, 2] == [
        len({each.recorded.index for each in done if each.recorded.transaction == name})
        for name in dict.fromkeys(each.recorded.transaction for each in done)
    ]
    monkeypatch.setattr(gathering, "MAX_BYTES", 100)
    first, second = await asyncio.gather(recorder.record(evidence()), recorder.record(evidence()))
    assert first.recorded.transaction != second.recorded.transaction
    assert 5 == transactions(zone)


async def test_who_has_gone_holds_up_nobody(zone, recorder):
    """Who stops waiting leaves the others their results."""
    gone = asyncio.create_task(recorder.record(evidence()))
    stays = asyncio.create_task(recorder.record(evidence()))
    await asyncio.sleep(0)
    gone.cancel()
    assert 1 == (await stays).recorded.index
