"""Asking for data and deciding: one step of each kind, in time and too late, by the right side and the wrong one."""

import asyncio

import pytest

from tallystick.errors import NodeError, PeerError, RejectedError, UsageError
from tallystick.office.refusals import NotFoundError
from tests.support.deals import DATASET, PURPOSE, agree, ask, offer
from tests.support.offices import DAY, HOUR
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY

SHORTER = {
    "permission": [
        {"action": "use", "constraint": [{"leftOperand": "elapsedTime", "operator": "lteq", "rightOperand": "P30D"}]}
    ]
}


async def test_request_is_seen_by_both_and_its_purpose_by_them_alone(zone, table):
    """Provider and consumer read the purpose; a third member sees that there is a request, and no more."""
    await offer(zone, table)
    request = await ask(zone, comment="By May, please")
    assert ("sent", "REQUESTED", HOSPITAL) == (request.direction, request.state, request.turn)
    received = zone[HOSPITAL].requests.show(request.id)
    assert ("received", "verified") == (received.direction, received.private[0].status)
    assert {"purpose": PURPOSE, "comment": "By May, please"} == received.private[0].fields
    assert "own" == zone[UNIVERSITY].requests.show(request.id).private[0].status
    seen = zone[BANK].requests.show(request.id)
    assert ("other", "other", {}) == (seen.direction, seen.private[0].status, seen.private[0].fields)
    assert () == zone[BANK].requests.list()


async def test_lists_by_direction_state_and_turn(zone, table):
    """Each side lists its own; `waiting` is what it is to decide."""
    await offer(zone, table)
    first, second = await ask(zone), await ask(zone, BANK)
    await zone[HOSPITAL].requests.reject(first.id)
    await zone.settle()
    requests = zone[HOSPITAL].requests
    assert {first.id, second.id} == {each.id for each in requests.list("received")}
    assert () == requests.list("sent")
    assert [second.id] == [each.id for each in requests.list(waiting=True)]
    assert [first.id] == [each.id for each in requests.list(state="terminated")]
    assert () == zone[UNIVERSITY].requests.list(waiting=True)


async def test_approval_makes_an_agreement_in_force(zone, table):
    """Both see the same agreement, on the terms that both signed, for 90 days."""
    await offer(zone, table)
    agreement = await agree(zone)
    assert ("in_force", DATASET) == (agreement.state, agreement.dataset)
    assert agreement.begins + 90 * DAY == agreement.ends
    assert agreement == zone[HOSPITAL].agreements.show(agreement.id)
    assert [agreement.id] == [each.id for each in zone[HOSPITAL].agreements.list("in_force", dataset=DATASET)]
    assert () == zone[BANK].agreements.list()


async def test_automatic_terms_agree_at_once(zone, table):
    """Where the owner said yes beforehand, asking is enough."""
    await offer(zone, table, terms="open-within-zone")
    request = await ask(zone)
    assert "FINALIZED" == request.state
    assert "in_force" == zone[UNIVERSITY].agreements.show(request.agreement).state


async def test_counter_passes_the_turn(zone, table):
    """The provider puts other terms; the consumer approves them, and those are the agreement's."""
    await offer(zone, table)
    request = await ask(zone)
    countered = await zone[HOSPITAL].requests.counter(request.id, SHORTER, "Thirty days will do")
    await zone.settle()
    assert ("OFFERED", UNIVERSITY) == (countered.state, countered.turn)
    seen = zone[UNIVERSITY].requests.show(request.id)
    assert {"comment": "Thirty days will do"} == seen.private[1].fields
    with pytest.raises(RejectedError) as raised:
        await zone[HOSPITAL].requests.approve(request.id)
    assert "not_your_turn" == raised.value.name
    approved = await zone[UNIVERSITY].requests.approve(request.id)
    agreement = zone[UNIVERSITY].agreements.show(approved.agreement)
    assert agreement.begins + 30 * DAY == agreement.ends
    assert countered.terms == agreement.terms


async def test_proposal_with_the_request(zone, table):
    """A consumer may ask on terms of its own; the provider approves or counters those."""
    await offer(zone, table)
    request = await ask(zone, proposal=SHORTER)
    approved = await zone[HOSPITAL].requests.approve(request.id)
    await zone.settle()
    agreement = zone[UNIVERSITY].agreements.show(approved.agreement)
    assert agreement.begins + 30 * DAY == agreement.ends


async def test_rejection_and_its_reason(zone, table):
    """The reason reaches the consumer; a decision is final."""
    await offer(zone, table)
    request = await ask(zone)
    rejected = await zone[HOSPITAL].requests.reject(request.id, "The purpose is too wide")
    await zone.settle()
    assert ("TERMINATED", "rejected", HOSPITAL) == (rejected.state, rejected.decision, rejected.decided_by)
    assert {"why": "The purpose is too wide"} == zone[UNIVERSITY].requests.show(request.id).private[1].fields
    for decide in (zone[HOSPITAL].requests.approve, zone[UNIVERSITY].requests.cancel):
        with pytest.raises(RejectedError) as raised:
            await decide(request.id)
        assert (3014, "request_already_decided") == (raised.value.code, raised.value.name)
        assert "rejected" == raised.value.fields["decision"]


async def test_cancelled_request_cannot_be_approved(zone, table):
    """Only the consumer takes its request back, and then it is over."""
    await offer(zone, table)
    request = await ask(zone)
    with pytest.raises(RejectedError) as raised:
        await zone[HOSPITAL].requests.cancel(request.id)
    assert "not_a_party" == raised.value.name
    assert "cancelled" == (await zone[UNIVERSITY].requests.cancel(request.id)).decision
    await zone.settle()
    with pytest.raises(RejectedError):
        await zone[HOSPITAL].requests.approve(request.id)


async def test_expired_request_cannot_be_decided(zone, table):
    """After its deadline a request shows as expired, and the ledger refuses whatever is done with it."""
    await offer(zone, table)
    request = await ask(zone, expires=zone.clock.now + HOUR)
    zone.clock.advance(HOUR + 1)
    shown = zone[HOSPITAL].requests.show(request.id)
    assert ("EXPIRED", "") == (shown.state, shown.turn)
    assert () == zone[HOSPITAL].requests.list(waiting=True)
    for decide in (zone[HOSPITAL].requests.approve, zone[HOSPITAL].requests.reject, zone[UNIVERSITY].requests.cancel):
        with pytest.raises(RejectedError) as raised:
            await decide(request.id)
        assert "request_expired" == raised.value.name


async def test_a_third_member_decides_nothing(zone, table):
    """Approving, rejecting, countering or cancelling what is between two others is refused."""
    await offer(zone, table)
    request = await ask(zone)
    requests = zone[BANK].requests
    for decide in (
        requests.approve(request.id),
        requests.reject(request.id, "no"),
        requests.cancel(request.id),
        requests.counter(request.id, SHORTER),
    ):
        with pytest.raises(RejectedError) as raised:
            await decide
        assert "not_a_party" == raised.value.name
    assert "REQUESTED" == zone[UNIVERSITY].requests.show(request.id).state


async def test_terms_that_changed_meanwhile_are_not_signed_unseen(zone, table):
    """A copy that is behind asks on terms that were replaced: the ledger refuses, and names the current ones."""
    await offer(zone, table)
    zone.hold(UNIVERSITY)
    await zone[HOSPITAL].datasets.revise(DATASET, terms="research-90d")
    sending = asyncio.ensure_future(zone[UNIVERSITY].requests.send(DATASET, PURPOSE))
    while not zone.nodes[UNIVERSITY].behind[1:]:
        await asyncio.sleep(0)
    await zone.release(UNIVERSITY)
    with pytest.raises(RejectedError) as raised:
        await sending
    assert "terms_not_current" == raised.value.name
    assert zone[UNIVERSITY].datasets.show(DATASET).terms == raised.value.fields["current"]


async def test_what_makes_no_sense_is_refused_here(zone, table):
    """No purpose, no such dataset, no such request, no such terms: refused before anything is signed."""
    await offer(zone, table)
    size = zone.engine.state.frontier.size
    requests = zone[UNIVERSITY].requests
    for attempt, kind in (
        (requests.send(DATASET, "  "), UsageError),
        (requests.send(f"{HOSPITAL}/nothing", PURPOSE), NotFoundError),
        (requests.send(DATASET, "x" * 8_001), UsageError),
        (requests.send(DATASET, "\ud800"), UsageError),
        (requests.send(DATASET, PURPOSE, proposal={"permission": 1}), UsageError),
        (requests.approve("req-nothing"), NotFoundError),
        (requests.counter("req-nothing", SHORTER), NotFoundError),
    ):
        with pytest.raises(NodeError) as raised:
            await attempt
        assert isinstance(raised.value, kind)
        assert raised.value.remedy
    assert size == zone.engine.state.frontier.size


async def test_own_dataset_and_unknown_version_are_rejected_by_number(zone, table):
    """The rules of the zone, not this node, refuse these; what was said is forgotten."""
    await offer(zone, table)
    with pytest.raises(RejectedError) as raised:
        await ask(zone, HOSPITAL)
    assert "own_dataset" == raised.value.name
    with pytest.raises(RejectedError) as raised:
        await ask(zone, version=7)
    assert "unknown_version" == raised.value.name


@pytest.mark.parametrize("officers", [2, 20])
async def test_officers_who_decide_at_once(zone, table, officers):
    """Approvals and rejections of one request at the same moment: exactly one counts, all others hear which."""
    await offer(zone, table)
    request = await ask(zone)
    requests = zone[HOSPITAL].requests
    decisions = [
        requests.approve(request.id) if number % 2 else requests.reject(request.id, f"officer {number} says no")
        for number in range(officers)
    ]
    results = await asyncio.gather(*decisions, return_exceptions=True)
    won = [each for each in results if not isinstance(each, Exception)]
    lost = [each for each in results if isinstance(each, Exception)]
    assert (1, officers - 1) == (len(won), len(lost))
    assert {"request_already_decided"} == {each.name for each in lost}
    assert {won[0].decision} == {each.fields["decision"] for each in lost}
    await zone.settle()
    shown = zone[UNIVERSITY].requests.show(request.id)
    assert won[0].decision == shown.decision
    assert bool(shown.agreement) == (shown.decision == "approved")
    assert len(zone[UNIVERSITY].agreements.list()) == (shown.decision == "approved")
    assert all(each.status in ("own", "verified") for each in shown.private)


async def test_lost_answer_of_an_approval(zone, table):
    """The answer got lost, the approval did not: asking again tells that it was decided."""
    await offer(zone, table)
    request = await ask(zone)
    zone.orders.loses = 1
    with pytest.raises(PeerError):
        await zone[HOSPITAL].requests.approve(request.id)
    await zone.settle()
    with pytest.raises(RejectedError) as raised:
        await zone[HOSPITAL].requests.approve(request.id)
    assert {"decision": "approved", "by": HOSPITAL}.items() <= raised.value.fields.items()
    assert "in_force" == zone[UNIVERSITY].agreements.list()[0].state
