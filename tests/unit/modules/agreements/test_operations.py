"""Requests, counters, decisions and agreements: what is accepted, and every refusal."""

import pytest

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.errors import RejectedError
from tallystick.modules.agreements import queries
from tallystick.modules.agreements.negotiation import DAY_MS, MAX_OPEN_MS
from tallystick.modules.agreements.ops import (
    ApproveRequest,
    CancelRequest,
    RejectRequest,
    SendRequest,
    TerminateAgreement,
)
from tallystick.modules.agreements.ops.counter_request import MAX_ROUNDS
from tallystick.modules.agreements.records import AGREEMENTS, PROPOSED_TERMS, REQUESTS
from tallystick.modules.catalogue.ops import ReviseDataset, WithdrawDataset
from tallystick.modules.catalogue.records import DATASETS
from tallystick.modules.catalogue.terms import terms_hash
from tests.support.market import (
    DATASET,
    agree,
    counter_message,
    digest,
    names,
    offer,
    refusal,
    request_message,
    send_request,
    terms_on,
    use_under,
)
from tests.support.zones import BANK, CITY, HOSPITAL, UNIVERSITY, SignedSimulator, Simulator


@pytest.fixture
def zone():
    """Return a zone in which the hospital offers a dataset on the default terms."""
    made = Simulator()
    offer(made)
    return made


@pytest.fixture
def request_id(zone):
    """Return the id of the university's request for it."""
    return send_request(zone)


def terms_of(zone, request):
    """Return the hash of the terms on the table."""
    return zone.get(REQUESTS, request).terms


# sending


def test_request_is_signed_by_the_consumer_and_waits_for_the_provider(zone):
    """A request is REQUESTED for 30 days, with the consumer's signature, and it is the provider's turn."""
    events = zone.run(UNIVERSITY, request_message(zone, version=1))

    request = zone.get(REQUESTS, events[0].request)
    assert ["request_sent"] == names(events)
    assert events[0].request.startswith("req-")
    assert ("REQUESTED", HOSPITAL, UNIVERSITY, 1) == (
        request.state,
        request.provider,
        request.consumer,
        request.version,
    )
    assert zone.time + 30 * DAY_MS == request.expires
    assert (UNIVERSITY, zone.last_context.transaction.hex(), 0) == (
        request.proposed_by,
        request.signed_transaction,
        request.signed_index,
    )
    assert HOSPITAL == queries.turn(request)
    assert [] == list(queries.agreements_of(zone.state, UNIVERSITY))
    assert [] == zone.broken()


def test_request_with_a_proposal_keeps_its_terms(zone):
    """A consumer may propose other terms; anyone can read them."""
    proposal = use_under(("elapsedTime", "lteq", "P10D"))
    request = send_request(zone, proposal=proposal)

    assert terms_hash(proposal) == terms_of(zone, request)
    assert proposal == queries.find_terms(zone.state, terms_hash(proposal))
    assert [] == zone.broken()


def test_proposal_of_the_offered_terms_is_not_kept_twice(zone):
    """A proposal equal to the offer is the offer."""
    request = send_request(zone, proposal=terms_on())
    assert zone.get(DATASETS, DATASET).terms == terms_of(zone, request)
    assert None is zone.find(PROPOSED_TERMS, terms_of(zone, request))


def test_request_on_automatic_terms_is_an_agreement_at_once():
    """Where approval is automatic, the offer and the request are the two signatures."""
    zone = Simulator()
    offer(zone, terms="open-within-zone")
    dataset = zone.get(DATASETS, DATASET)
    events = zone.run(BANK, request_message(zone))

    agreement = zone.get(AGREEMENTS, events[1].agreement)
    request = zone.get(REQUESTS, events[0].request)
    assert ["request_sent", "agreement_made"] == names(events)
    assert ("FINALIZED", "approved", HOSPITAL) == (request.state, request.decision, request.decided_by)
    assert (dataset.terms_transaction, dataset.terms_index) == (
        agreement.provider_transaction,
        agreement.provider_index,
    )
    assert zone.last_context.transaction.hex() == agreement.consumer_transaction
    assert (zone.time, None) == (agreement.begins, agreement.ends)
    assert queries.in_force(zone.state, events[1].agreement, zone.time + 10_000 * DAY_MS)
    assert [] == zone.broken()


def test_other_terms_on_an_open_dataset_wait_for_the_provider():
    """A proposal is never approved automatically, even if it says so itself."""
    zone = Simulator()
    offer(zone, terms="open-within-zone")
    request = send_request(zone, proposal=use_under(("elapsedTime", "eq", "P9Y"), approval="automatic"))
    assert "REQUESTED" == zone.get(REQUESTS, request).state


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (UNIVERSITY, {"private": "A" * 64}, (3001, "bad_hash")),
        (UNIVERSITY, {"terms": "g" * 64}, (3001, "bad_hash")),
        (UNIVERSITY, {"dataset": f"{HOSPITAL}/none", "terms": "0" * 64}, (3002, "unknown_dataset")),
        (HOSPITAL, {}, (3004, "own_dataset")),
        (UNIVERSITY, {"version": 2}, (3005, "unknown_version")),
        (UNIVERSITY, {"terms": None}, (3006, "terms_or_proposal")),
        (UNIVERSITY, {"terms": "0" * 64, "proposal": terms_on()}, (3006, "terms_or_proposal")),
        (UNIVERSITY, {"terms": "0" * 64}, (3007, "terms_not_current")),
        (UNIVERSITY, {"proposal": terms_on(assigner=UNIVERSITY)}, (3008, "bad_terms")),
        (UNIVERSITY, {"proposal": terms_on(assignee=BANK)}, (3009, "recipient_not_allowed")),
        (UNIVERSITY, {"expires": 1}, (3010, "bad_expiry")),
        (UNIVERSITY, {"expires": 2**53 - 1}, (3010, "bad_expiry")),
        (UNIVERSITY, {"proposal": use_under(("dateTime", "lt", "2024-01-01T00:00:00Z"))}, (3019, "terms_over")),
    ],
)
def test_request_is_refused(zone, organisation, changes, expected):
    """A request that could never become an agreement is refused by number."""
    dataset = changes.get("dataset", DATASET)
    message = request_message(zone, **({"dataset": dataset} | changes))
    assert expected == refusal(zone.reject(organisation, message))


def test_request_names_the_terms_offered_now(zone):
    """After the terms changed, the old hash is refused and the current one told."""
    message = request_message(zone)
    zone.run(HOSPITAL, ReviseDataset(name=DATASET, terms=terms_on(name="internal-use-1y")))
    error = zone.reject(UNIVERSITY, message)
    assert (3007, "terms_not_current") == refusal(error)
    assert zone.get(DATASETS, DATASET).terms == error.fields["current"]


def test_only_named_recipients_may_ask():
    """Terms for some organisations are not open to others."""
    zone = Simulator()
    offer(zone, terms=use_under(("recipient", "isAnyOf", (UNIVERSITY, CITY))))
    assert (3009, "recipient_not_allowed") == refusal(zone.reject(BANK, request_message(zone)))
    send_request(zone, CITY)


def test_longest_deadline_is_366_days(zone):
    """A request may stay open for 366 days and not a ms more."""
    at = zone.time + 5_000
    assert "bad_expiry" == zone.reject(UNIVERSITY, request_message(zone, expires=at + MAX_OPEN_MS + 1), at_ms=at).name
    zone.run(UNIVERSITY, request_message(zone, expires=at + MAX_OPEN_MS), at_ms=at)


def test_party_only_fields_are_a_commitment():
    """A request without its commitment, or with text in its place, is malformed."""
    decoder = StrictDecoder(SendRequest, max_bytes=10_000)
    for change in ({}, {"private": "for research"}):
        document = {"type": "send_request", "dataset": DATASET, "terms": "0" * 64} | change
        with pytest.raises(MalformedError):
            decoder.decode(encode_json(document))


# approving


def test_approval_makes_an_agreement_signed_by_both(zone, request_id):
    """The provider's approval is the second signature; the terms' 90 days begin now."""
    sent = zone.get(REQUESTS, request_id)
    events = zone.run(HOSPITAL, ApproveRequest(request=request_id, terms=sent.terms))

    agreement_id = events[1].agreement
    agreement = zone.get(AGREEMENTS, agreement_id)
    request = zone.get(REQUESTS, request_id)
    assert ["request_approved", "agreement_made"] == names(events)
    assert agreement_id.startswith("agr-")
    assert ("FINALIZED", "approved", HOSPITAL, agreement_id) == (
        request.state,
        request.decision,
        request.decided_by,
        request.agreement,
    )
    assert (sent.signed_transaction, zone.last_context.transaction.hex()) == (
        agreement.consumer_transaction,
        agreement.provider_transaction,
    )
    assert (zone.time, zone.time + 90 * DAY_MS) == (agreement.begins, agreement.ends)
    assert queries.in_force(zone.state, agreement_id, agreement.ends - 1)
    assert not queries.in_force(zone.state, agreement_id, agreement.ends)
    assert "ended" == queries.agreement_state(agreement, agreement.ends)
    assert [] == zone.broken()


def test_approval_after_the_offer_changed_is_of_what_was_signed(zone, request_id):
    """New terms on the offer do not touch a request that was sent on the old."""
    old = terms_of(zone, request_id)
    zone.run(HOSPITAL, ReviseDataset(name=DATASET, terms=terms_on(name="internal-use-1y")))
    events = zone.run(HOSPITAL, ApproveRequest(request=request_id, terms=old))
    assert old == zone.get(AGREEMENTS, events[1].agreement).terms
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (HOSPITAL, {"terms": "A" * 64}, (3001, "bad_hash")),
        (HOSPITAL, {"request": "req-none"}, (3011, "unknown_request")),
        (BANK, {}, (3012, "not_a_party")),
        (UNIVERSITY, {}, (3013, "not_your_turn")),
        (HOSPITAL, {"terms": "0" * 64}, (3016, "terms_changed")),
    ],
)
def test_approval_is_refused(zone, request_id, organisation, changes, expected):
    """Only the party whose turn it is approves, and only the terms on the table."""
    message = ApproveRequest(**({"request": request_id, "terms": terms_of(zone, request_id)} | changes))
    assert expected == refusal(zone.reject(organisation, message))


def test_two_officers_at_once(zone, request_id):
    """The second decision is refused and told who decided what."""
    approve = ApproveRequest(request=request_id, terms=terms_of(zone, request_id))
    zone.run(HOSPITAL, approve)
    for message in (approve, RejectRequest(request=request_id)):
        error = zone.reject(HOSPITAL, message)
        assert (3014, "request_already_decided") == refusal(error)
        assert {"request": request_id, "decision": "approved", "by": HOSPITAL, "state": "FINALIZED"} == error.fields


def test_two_officers_in_one_block():
    """Two decisions in the same block: the first stands, the second is recorded as refused."""
    zone = SignedSimulator()
    offer(zone)
    request = send_request(zone)
    key = zone.key(HOSPITAL, "service")
    messages = [ApproveRequest(request=request, terms=terms_of(zone, request)), RejectRequest(request=request)]
    zone.execute([zone.transaction(HOSPITAL, [message], key) for message in messages])

    assert [0, 3014] == [result.outcomes[0].code for result in zone.last_results]
    assert "FINALIZED" == zone.get(REQUESTS, request).state
    assert [] == zone.broken()


def test_request_expires_by_block_time(zone, request_id):
    """At its deadline a request can be approved; a ms later nothing can be done with it."""
    request = zone.get(REQUESTS, request_id)
    late = request.expires + 1
    assert ("REQUESTED", "EXPIRED") == (
        queries.request_state(request, request.expires),
        queries.request_state(request, late),
    )
    for organisation, message in (
        (HOSPITAL, ApproveRequest(request=request_id, terms=request.terms)),
        (HOSPITAL, RejectRequest(request=request_id)),
        (HOSPITAL, counter_message(request_id)),
        (UNIVERSITY, CancelRequest(request=request_id)),
    ):
        assert (3015, "request_expired") == refusal(zone.reject(organisation, message, at_ms=late))


def test_request_is_open_until_its_last_moment(zone, request_id):
    """The deadline itself is still in time."""
    request = zone.get(REQUESTS, request_id)
    zone.run(HOSPITAL, ApproveRequest(request=request_id, terms=request.terms), at_ms=request.expires)
    assert "FINALIZED" == zone.get(REQUESTS, request_id).state


def test_withdrawn_dataset_is_neither_requested_nor_approved(zone, request_id):
    """Withdrawal closes the way in, but not the way out of a negotiation."""
    message = request_message(zone)
    zone.run(HOSPITAL, WithdrawDataset(name=DATASET))
    withdrawn = (3003, "dataset_withdrawn")
    approve = ApproveRequest(request=request_id, terms=terms_of(zone, request_id))
    assert withdrawn == refusal(zone.reject(UNIVERSITY, message))
    assert withdrawn == refusal(zone.reject(HOSPITAL, approve))
    assert withdrawn == refusal(zone.reject(HOSPITAL, counter_message(request_id)))
    zone.run(HOSPITAL, RejectRequest(request=request_id))


def test_terms_that_ran_out_meanwhile_cannot_be_approved(zone):
    """A fixed end that passed while the request waited leaves nothing to agree on."""
    request = send_request(zone, proposal=use_under(("dateTime", "lt", "2024-05-10T00:00:00Z")))
    message = ApproveRequest(request=request, terms=terms_of(zone, request))
    assert (3019, "terms_over") == refusal(zone.reject(HOSPITAL, message, at_ms=zone.time + 10 * DAY_MS))


def test_agreement_may_begin_later(zone):
    """Before the time that its terms name, an agreement is pending; it can be terminated."""
    proposal = use_under(("dateTime", "gteq", "2024-05-10T00:00:00Z"), ("elapsedTime", "eq", "P1D"))
    request = send_request(zone, proposal=proposal)
    events = zone.run(HOSPITAL, ApproveRequest(request=request, terms=terms_of(zone, request)))
    agreement = zone.get(AGREEMENTS, events[1].agreement)

    assert DAY_MS == agreement.ends - agreement.begins
    assert ("pending", "in_force") == (
        queries.agreement_state(agreement, zone.time),
        queries.agreement_state(agreement, agreement.begins),
    )
    zone.run(UNIVERSITY, TerminateAgreement(agreement=events[1].agreement))
    assert [] == zone.broken()


# countering


def test_counters_go_back_and_forth(zone, request_id):
    """Each counter passes the turn; the last proposal is what is approved, signed by the one who proposed it."""
    zone.run(HOSPITAL, counter_message(request_id, "P30D", private=digest("too long")))
    offered = zone.get(REQUESTS, request_id)
    assert ("OFFERED", UNIVERSITY, HOSPITAL) == (offered.state, queries.turn(offered), offered.proposed_by)
    events = zone.run(UNIVERSITY, counter_message(request_id, "P60D", expires=zone.time + 2 * DAY_MS))
    requested = zone.get(REQUESTS, request_id)
    assert ["request_countered"] == names(events)
    assert ("REQUESTED", HOSPITAL) == (requested.state, queries.turn(requested))
    zone.run(HOSPITAL, counter_message(request_id, "P45D"))
    last = zone.get(REQUESTS, request_id)
    events = zone.run(UNIVERSITY, ApproveRequest(request=request_id, terms=last.terms))

    agreement = zone.get(AGREEMENTS, events[1].agreement)
    assert 45 * DAY_MS == agreement.ends - agreement.begins
    assert (last.signed_transaction, zone.last_context.transaction.hex()) == (
        agreement.provider_transaction,
        agreement.consumer_transaction,
    )
    steps = [(step.action, step.by) for step in zone.get(REQUESTS, request_id).steps]
    assert [
        ("sent", UNIVERSITY),
        ("countered", HOSPITAL),
        ("countered", UNIVERSITY),
        ("countered", HOSPITAL),
        ("approved", UNIVERSITY),
    ] == steps
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (HOSPITAL, {"private": "A" * 64}, (3001, "bad_hash")),
        (HOSPITAL, {"proposal": terms_on(f"{HOSPITAL}/other")}, (3008, "bad_terms")),
        (HOSPITAL, {"proposal": terms_on(assigner=BANK)}, (3008, "bad_terms")),
        (HOSPITAL, {"proposal": terms_on(assignee=BANK)}, (3009, "recipient_not_allowed")),
        (HOSPITAL, {"expires": 1}, (3010, "bad_expiry")),
        (HOSPITAL, {"request": "req-none"}, (3011, "unknown_request")),
        (BANK, {}, (3012, "not_a_party")),
        (UNIVERSITY, {}, (3013, "not_your_turn")),
        (HOSPITAL, {"proposal": terms_on()}, (3017, "same_terms")),
        (HOSPITAL, {"proposal": use_under(("dateTime", "lt", "2024-01-01T00:00:00Z"))}, (3019, "terms_over")),
    ],
)
def test_counter_is_refused(zone, request_id, organisation, changes, expected):
    """Only the party whose turn it is counters, with other terms on the same dataset."""
    message = counter_message(**({"request": request_id} | changes))
    assert expected == refusal(zone.reject(organisation, message))


def test_rounds_are_limited(zone, request_id):
    """After 20 steps a negotiation can only be decided."""
    for number in range(1, MAX_ROUNDS):
        side = HOSPITAL if number % 2 else UNIVERSITY
        zone.run(side, counter_message(request_id, f"P{number}D"))
    side = HOSPITAL if MAX_ROUNDS % 2 else UNIVERSITY
    assert (3018, "too_many_rounds") == refusal(zone.reject(side, counter_message(request_id, "P99D")))
    zone.run(side, ApproveRequest(request=request_id, terms=terms_of(zone, request_id)))
    assert [] == zone.broken()


# rejecting and cancelling


def test_rejection_ends_the_negotiation(zone, request_id):
    """A rejected request is TERMINATED, with the commitment to the reason."""
    events = zone.run(HOSPITAL, RejectRequest(request=request_id, private=digest("why")))
    request = zone.get(REQUESTS, request_id)
    assert ["request_rejected"] == names(events)
    assert ("TERMINATED", "rejected", HOSPITAL, "") == (
        request.state,
        request.decision,
        request.decided_by,
        request.agreement,
    )
    assert digest("why") == request.steps[-1].private
    message = ApproveRequest(request=request_id, terms=request.terms)
    assert (3014, "request_already_decided") == refusal(zone.reject(HOSPITAL, message))
    assert [] == zone.broken()


@pytest.mark.parametrize("organisation", [HOSPITAL, UNIVERSITY])
def test_either_side_rejects_a_counter(zone, request_id, organisation):
    """The provider may take its counter back, and the consumer may refuse it."""
    zone.run(HOSPITAL, counter_message(request_id))
    zone.run(organisation, RejectRequest(request=request_id))
    assert organisation == zone.get(REQUESTS, request_id).decided_by
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (HOSPITAL, {"private": "A" * 64}, (3001, "bad_hash")),
        (HOSPITAL, {"request": "req-none"}, (3011, "unknown_request")),
        (BANK, {}, (3012, "not_a_party")),
        (UNIVERSITY, {}, (3013, "not_your_turn")),
    ],
)
def test_rejection_is_refused(zone, request_id, organisation, changes, expected):
    """A consumer does not reject its own request, and strangers nothing."""
    assert expected == refusal(zone.reject(organisation, RejectRequest(**({"request": request_id} | changes))))


@pytest.mark.parametrize("countered", [False, True])
def test_consumer_cancels_at_any_time(zone, request_id, countered):
    """A consumer takes its request back whoever's turn it is."""
    if countered:
        zone.run(HOSPITAL, counter_message(request_id))
    events = zone.run(UNIVERSITY, CancelRequest(request=request_id))
    request = zone.get(REQUESTS, request_id)
    assert ["request_cancelled"] == names(events)
    assert ("TERMINATED", "cancelled") == (request.state, request.decision)
    error = zone.reject(UNIVERSITY, CancelRequest(request=request_id))
    assert (3014, "request_already_decided") == refusal(error)
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "request_name", "expected"),
    [(UNIVERSITY, "req-none", (3011, "unknown_request")), (HOSPITAL, None, (3012, "not_a_party"))],
)
def test_cancelling_is_refused(zone, request_id, organisation, request_name, expected):
    """Only the consumer cancels."""
    message = CancelRequest(request=request_name or request_id)
    assert expected == refusal(zone.reject(organisation, message))


# agreements


@pytest.mark.parametrize("organisation", [HOSPITAL, UNIVERSITY])
def test_either_party_terminates(zone, organisation):
    """A terminated agreement is in force no more, and says who ended it."""
    agreement_id = agree(zone)
    events = zone.run(organisation, TerminateAgreement(agreement=agreement_id, private=digest("why")))

    agreement = zone.get(AGREEMENTS, agreement_id)
    assert ["agreement_terminated"] == names(events)
    assert (organisation, zone.time, digest("why")) == (
        agreement.terminated_by,
        agreement.terminated_at,
        agreement.reason,
    )
    assert not queries.in_force(zone.state, agreement_id, zone.time)
    error = zone.reject(HOSPITAL, TerminateAgreement(agreement=agreement_id))
    assert (3021, "agreement_not_in_force") == refusal(error)
    assert "terminated" == error.fields["state"]
    assert [] == zone.broken()


@pytest.mark.parametrize(
    ("organisation", "changes", "expected"),
    [
        (HOSPITAL, {"private": "A" * 64}, (3001, "bad_hash")),
        (BANK, {}, (3012, "not_a_party")),
        (HOSPITAL, {"agreement": "agr-none"}, (3020, "unknown_agreement")),
    ],
)
def test_termination_is_refused(zone, organisation, changes, expected):
    """Only parties terminate, and only what there is."""
    message = TerminateAgreement(**({"agreement": agree(zone)} | changes))
    assert expected == refusal(zone.reject(organisation, message))


def test_ended_agreement_cannot_be_terminated(zone):
    """What ended by itself has no other end."""
    agreement_id = agree(zone)
    ends = zone.get(AGREEMENTS, agreement_id).ends
    error = zone.reject(HOSPITAL, TerminateAgreement(agreement=agreement_id), at_ms=ends)
    assert ("agreement_not_in_force", "ended") == (error.name, error.fields["state"])


def test_nothing_is_in_force_that_is_not_there(zone):
    """An unknown agreement is not in force."""
    assert not queries.in_force(zone.state, "agr-none", zone.time)
    assert None is queries.find_request(zone.state, "req-none")
    assert None is queries.find_agreement(zone.state, "agr-none")


def test_requests_are_listed_for_both_sides(zone, request_id):
    """Both parties find the request, others do not."""
    found = [[key for key, _ in queries.requests_of(zone.state, name)] for name in (HOSPITAL, UNIVERSITY, BANK)]
    assert [[request_id], [request_id], []] == found


def test_only_service_keys_decide(zone, request_id):
    """A key without the role `service` decides nothing."""
    message = ApproveRequest(request=request_id, terms=terms_of(zone, request_id))
    with pytest.raises(RejectedError, match="service"):
        zone.run(HOSPITAL, message, role="registration")
