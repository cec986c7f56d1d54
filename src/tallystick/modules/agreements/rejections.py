"""Why requests and agreements are refused, from 3001. Numbers keep their meaning for ever."""

from __future__ import annotations

from tallystick.machine import Rejection

BAD_HASH = Rejection(3001, "bad_hash", "{field} is not 32 bytes of lower-case hex")
UNKNOWN_DATASET = Rejection(3002, "unknown_dataset", "there is no dataset {dataset}")
DATASET_WITHDRAWN = Rejection(3003, "dataset_withdrawn", "{dataset} is withdrawn")
OWN_DATASET = Rejection(3004, "own_dataset", "{dataset} is the requester's own")
UNKNOWN_VERSION = Rejection(3005, "unknown_version", "{dataset} has no version {version}")
TERMS_OR_PROPOSAL = Rejection(3006, "terms_or_proposal", "give either the hash of the offered terms or a proposal")
TERMS_NOT_CURRENT = Rejection(3007, "terms_not_current", "{dataset} is offered on other terms now: {current}")
BAD_TERMS = Rejection(3008, "bad_terms", "the proposed terms are not of the profile: {reason}")
RECIPIENT_NOT_ALLOWED = Rejection(3009, "recipient_not_allowed", "these terms are not open to {organisation}")
BAD_EXPIRY = Rejection(3010, "bad_expiry", "a request stays open for more than 0 and at most {limit_ms} ms")
UNKNOWN_REQUEST = Rejection(3011, "unknown_request", "there is no request {request}")
NOT_A_PARTY = Rejection(3012, "not_a_party", "{organisation} is not a party to this")
NOT_YOUR_TURN = Rejection(3013, "not_your_turn", "{request} waits for {turn}")
REQUEST_ALREADY_DECIDED = Rejection(
    3014, "request_already_decided", "{request} was already {decision} by {by} and is {state}"
)
REQUEST_EXPIRED = Rejection(3015, "request_expired", "{request} has expired")
TERMS_CHANGED = Rejection(3016, "terms_changed", "the terms of {request} on the table are others: {current}")
SAME_TERMS = Rejection(3017, "same_terms", "these terms of {request} are on the table already; approve them instead")
TOO_MANY_ROUNDS = Rejection(3018, "too_many_rounds", "{request} has had {limit} rounds; approve, reject or cancel it")
TERMS_OVER = Rejection(3019, "terms_over", "the time that these terms allow is over")
UNKNOWN_AGREEMENT = Rejection(3020, "unknown_agreement", "there is no agreement {agreement}")
AGREEMENT_NOT_IN_FORCE = Rejection(3021, "agreement_not_in_force", "{agreement} is {state}")

REJECTIONS: tuple[Rejection, ...] = (
    BAD_HASH,
    UNKNOWN_DATASET,
    DATASET_WITHDRAWN,
    OWN_DATASET,
    UNKNOWN_VERSION,
    TERMS_OR_PROPOSAL,
    TERMS_NOT_CURRENT,
    BAD_TERMS,
    RECIPIENT_NOT_ALLOWED,
    BAD_EXPIRY,
    UNKNOWN_REQUEST,
    NOT_A_PARTY,
    NOT_YOUR_TURN,
    REQUEST_ALREADY_DECIDED,
    REQUEST_EXPIRED,
    TERMS_CHANGED,
    SAME_TERMS,
    TOO_MANY_ROUNDS,
    TERMS_OVER,
    UNKNOWN_AGREEMENT,
    AGREEMENT_NOT_IN_FORCE,
)
