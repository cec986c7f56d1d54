"""admit_organisation: a validator votes for a card; more than two thirds of the validators make it a member.

Contract: the card is good and signed by its own keys, its id and keys are free. The first vote opens a round of 30
days; a vote after its end opens the next. The vote that carries it registers the organisation and its keys at once.
"""

from __future__ import annotations

import msgspec

from tallystick.codec import MalformedError
from tallystick.codec.cards import SignedCard, card_fingerprint, check_signed_card
from tallystick.machine import Context, Event, Message, Operation, State, verify_signature
from tallystick.modules.organisations.membership import check_free, put_member, roles_by_key
from tallystick.modules.organisations.records import CANDIDATES, ORGANISATIONS, VOTE_PERIOD_MS, Candidate
from tallystick.modules.organisations.rejections import BAD_CARD, ORGANISATION_EXISTS
from tallystick.modules.organisations.voting import add_vote, counted, get_validators, is_carried


class AdmitOrganisation(Message, kw_only=True, tag="admit_organisation"):
    """Vote for a card.

    Attributes:
        card: with its two signatures.
    """

    card: SignedCard


class AdmissionVoted(Event, kw_only=True, tag="admission_voted"):
    """A validator voted for the card with this fingerprint; `votes` of `validators` so far."""

    organisation: str
    fingerprint: str
    voter: str
    votes: int
    validators: int


class OrganisationAdmitted(Event, kw_only=True, tag="organisation_admitted"):
    """An organisation became a member with this card."""

    organisation: str
    fingerprint: str


def validate(msg: AdmitOrganisation) -> None:
    """Check the card's form and its two signatures."""
    try:
        check_signed_card(msg.card, verify_signature)
    except MalformedError as error:
        raise BAD_CARD(reason=error.reason) from None


def apply(state: State, ctx: Context, msg: AdmitOrganisation) -> list[Event]:
    """Count the vote; where it carries, register the organisation and its keys."""
    # READ
    validators = get_validators(state, ctx)
    card = msg.card.card
    fingerprint = card_fingerprint(card)
    found = state.find(CANDIDATES, fingerprint)
    # CHECK
    if state.has(ORGANISATIONS, card.organisation):
        raise ORGANISATION_EXISTS(organisation=card.organisation)
    check_free(state, (*roles_by_key(card), card.recovery))
    fresh = Candidate(
        organisation=card.organisation,
        name=card.name,
        votes=(),
        opened_at=ctx.time,
        closes_at=ctx.time + VOTE_PERIOD_MS,
        status="open",
    )
    candidate = found if found is not None and ctx.time <= found.closes_at else fresh
    votes = add_vote(candidate.votes, ctx.organisation, validators)
    # WRITE
    carried = is_carried(votes, validators)
    candidate = msgspec.structs.replace(
        candidate,
        votes=votes,
        status="admitted" if carried else "open",
        admitted_at=ctx.time if carried else None,
    )
    state.put(CANDIDATES, fingerprint, candidate)
    if carried:
        put_member(state, card, ctx.time, ctx.height)
    # EVENTS
    events: list[Event] = [
        AdmissionVoted(
            organisation=card.organisation,
            fingerprint=fingerprint,
            voter=ctx.organisation,
            votes=counted(votes, validators),
            validators=len(validators),
        )
    ]
    if carried:
        events.append(OrganisationAdmitted(organisation=card.organisation, fingerprint=fingerprint))
    return events


OPERATION = Operation(
    AdmitOrganisation, "registration", validate, apply, "vote for a card; two thirds of the validators admit it"
)
