"""Cases of the agreements module's vectors."""

from __future__ import annotations

from typing import Any

from tallystick.modules.agreements.ops import ApproveRequest, CancelRequest, RejectRequest, TerminateAgreement
from tallystick.modules.agreements.ops.counter_request import MAX_ROUNDS
from tallystick.modules.agreements.records import REQUESTS
from tallystick.modules.catalogue.ops import WithdrawDataset
from tallystick.modules.catalogue.terms import DAY_MS
from tests.support.market import (
    DATASET,
    agree,
    counter_message,
    digest,
    offer,
    request_message,
    send_request,
    terms_on,
    use_under,
)
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY, Simulator
from tests.vectors.generate_modules import Case, Step, step


def zone() -> Simulator:
    """Return a zone of three organisations in which the hospital offers a dataset on the default terms."""
    simulator = Simulator((HOSPITAL, UNIVERSITY, BANK))
    offer(simulator)
    return simulator


def open_zone() -> Simulator:
    """Return a zone in which the dataset needs no approval."""
    simulator = Simulator((HOSPITAL, UNIVERSITY))
    offer(simulator, terms="open-within-zone")
    return simulator


def approval(simulator: Simulator, request: str) -> ApproveRequest:
    """Return the approval of the terms on the table."""
    return ApproveRequest(request=request, terms=simulator.get(REQUESTS, request).terms)


def _approve(simulator: Simulator) -> Step:
    return step(HOSPITAL, approval(simulator, send_request(simulator)))


def _approve_counter(simulator: Simulator) -> Step:
    request = send_request(simulator, version=1)
    simulator.run(HOSPITAL, counter_message(request, private=digest("shorter")))
    return step(UNIVERSITY, approval(simulator, request))


def _approve_again(simulator: Simulator) -> Step:
    request = send_request(simulator)
    simulator.run(HOSPITAL, RejectRequest(request=request))
    return step(HOSPITAL, approval(simulator, request))


def _approve_late(simulator: Simulator) -> Step:
    request = send_request(simulator)
    return step(HOSPITAL, approval(simulator, request), at_ms=simulator.time + 30 * DAY_MS + 1)


def _approve_other_terms(simulator: Simulator) -> Step:
    return step(HOSPITAL, ApproveRequest(request=send_request(simulator), terms="0" * 64))


def _proposal(simulator: Simulator) -> Step:
    proposal = use_under(("purpose", "isAnyOf", ("care", "research")), ("dateTime", "lt", "2025-01-01T00:00:00Z"))
    return step(UNIVERSITY, request_message(simulator, proposal=proposal, version=1))


def _approve_withdrawn(simulator: Simulator) -> Step:
    request = send_request(simulator)
    simulator.run(HOSPITAL, WithdrawDataset(name=DATASET))
    return step(HOSPITAL, approval(simulator, request))


def _round_after_round(simulator: Simulator) -> Step:
    request = send_request(simulator)
    for number in range(1, MAX_ROUNDS):
        simulator.run(HOSPITAL if number % 2 else UNIVERSITY, counter_message(request, f"P{number}D"))
    return step(HOSPITAL if MAX_ROUNDS % 2 else UNIVERSITY, counter_message(request, "P99D"))


def _sent(name: str, description: str, **changes: Any) -> Case:
    """Return the case of a request by the university, changed so that it is refused."""

    def scenario(simulator: Simulator) -> Step:
        return step(UNIVERSITY, request_message(simulator, **changes))

    return Case("send_request", name, description, scenario, zone)


CASES = [
    Case(
        "send_request",
        "accepted",
        "A dataset is requested on the terms it is offered on.",
        lambda simulator: step(UNIVERSITY, request_message(simulator)),
        zone,
    ),
    Case("send_request", "accepted-proposal", "A version is requested on other terms.", _proposal, zone),
    Case(
        "send_request",
        "accepted-automatic",
        "Where approval is automatic the request makes the agreement.",
        lambda simulator: step(UNIVERSITY, request_message(simulator)),
        open_zone,
    ),
    Case(
        "send_request",
        "own-dataset",
        "An organisation requests its own dataset.",
        lambda simulator: step(HOSPITAL, request_message(simulator)),
        zone,
    ),
    Case(
        "send_request",
        "terms-not-current",
        "The terms named are not those of the offer.",
        lambda simulator: step(UNIVERSITY, request_message(simulator, terms="0" * 64)),
        zone,
    ),
    Case(
        "counter_request",
        "accepted",
        "The provider proposes other terms, and it is the consumer's turn.",
        lambda simulator: step(HOSPITAL, counter_message(send_request(simulator), private=digest("shorter"))),
        zone,
    ),
    Case(
        "counter_request",
        "not-your-turn",
        "The consumer counters its own request.",
        lambda simulator: step(UNIVERSITY, counter_message(send_request(simulator))),
        zone,
    ),
    Case("approve_request", "accepted", "The provider approves what the consumer signed.", _approve, zone),
    Case(
        "approve_request",
        "accepted-counter",
        "The consumer approves the provider's counter.",
        _approve_counter,
        zone,
    ),
    Case("approve_request", "request-already-decided", "The request was rejected before.", _approve_again, zone),
    Case("approve_request", "request-expired", "The deadline has passed.", _approve_late, zone),
    Case(
        "approve_request",
        "terms-changed",
        "Other terms are approved than are on the table.",
        _approve_other_terms,
        zone,
    ),
    Case(
        "reject_request",
        "accepted",
        "The provider rejects, with a commitment to the reason.",
        lambda simulator: step(HOSPITAL, RejectRequest(request=send_request(simulator), private=digest("why"))),
        zone,
    ),
    Case(
        "reject_request",
        "not-a-party",
        "A third organisation rejects.",
        lambda simulator: step(BANK, RejectRequest(request=send_request(simulator))),
        zone,
    ),
    Case(
        "cancel_request",
        "accepted",
        "The consumer takes its request back.",
        lambda simulator: step(UNIVERSITY, CancelRequest(request=send_request(simulator))),
        zone,
    ),
    Case(
        "cancel_request",
        "unknown-request",
        "There is no such request.",
        lambda simulator: step(UNIVERSITY, CancelRequest(request="req-none")),
        zone,
    ),
    Case(
        "terminate_agreement",
        "accepted",
        "The consumer ends the agreement.",
        lambda simulator: step(
            UNIVERSITY, TerminateAgreement(agreement=agree(simulator), private=digest("no longer needed"))
        ),
        zone,
    ),
    Case(
        "terminate_agreement",
        "agreement-not-in-force",
        "The agreement has ended by itself.",
        lambda simulator: step(
            HOSPITAL, TerminateAgreement(agreement=agree(simulator)), at_ms=simulator.time + 91 * DAY_MS
        ),
        zone,
    ),
    _sent("bad-hash", "The commitment is in upper case.", private="A" * 64),
    _sent("unknown-dataset", "There is no such dataset.", dataset=f"{HOSPITAL}/none", terms="0" * 64),
    _sent("unknown-version", "The dataset has no second version.", version=2),
    _sent("terms-or-proposal", "Neither terms nor a proposal are given.", terms=None),
    _sent("bad-terms", "The proposal is assigned by the consumer.", proposal=terms_on(assigner=UNIVERSITY)),
    _sent("recipient-not-allowed", "The proposal is for another organisation.", proposal=terms_on(assignee=BANK)),
    _sent("bad-expiry", "The deadline has passed.", expires=1),
    _sent("terms-over", "The proposal ended before.", proposal=use_under(("dateTime", "lt", "2024-01-01T00:00:00Z"))),
    Case("approve_request", "dataset-withdrawn", "The dataset was withdrawn.", _approve_withdrawn, zone),
    Case(
        "counter_request",
        "same-terms",
        "The counter is what is on the table.",
        lambda simulator: step(HOSPITAL, counter_message(send_request(simulator), proposal=terms_on())),
        zone,
    ),
    Case("counter_request", "too-many-rounds", "There were 20 steps before.", _round_after_round, zone),
    Case(
        "terminate_agreement",
        "unknown-agreement",
        "There is no such agreement.",
        lambda _: step(HOSPITAL, TerminateAgreement(agreement="agr-none")),
        zone,
    ),
]
