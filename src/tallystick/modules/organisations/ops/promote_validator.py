"""promote_validator: a validator votes for making a member one of them; more than two thirds of the validators carry it.

Contract: the organisation is an active member and no validator. Where the validators order together it has announced an
engine, which votes on blocks from the block after the next on; its headers are asked for from the next block on. A round
is open for 30 days.
"""

from __future__ import annotations

import msgspec

from tallystick.codec import MalformedError, check_organisation_id
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.engines import put_seating
from tallystick.modules.organisations.queries import get_zone
from tallystick.modules.organisations.records import ENGINES, ORGANISATIONS, ZONE, ZONE_KEY, OrganisationId
from tallystick.modules.organisations.rejections import ALREADY_VALIDATOR, IS_SUSPENDED, NO_ENGINE, UNKNOWN_ORGANISATION
from tallystick.modules.organisations.voting import get_round, put_round


class PromoteValidator(Message, kw_only=True, tag="promote_validator"):
    """Vote for making a member a validator.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class PromotionVoted(Event, kw_only=True, tag="promotion_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""

    organisation: str
    motion: str
    voter: str
    votes: int
    validators: int


class ValidatorPromoted(Event, kw_only=True, tag="validator_promoted"):
    """An organisation is a validator."""

    organisation: str
    motion: str


def validate(msg: PromoteValidator) -> None:
    """Check the form of the id."""
    try:
        check_organisation_id(msg.organisation)
    except MalformedError:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation) from None


def apply(state: State, ctx: Context, msg: PromoteValidator) -> list[Event]:
    """Count the vote; where it carries, add the organisation to the validators."""
    # READ
    organisation = state.find(ORGANISATIONS, msg.organisation)
    zone = get_zone(state)
    # CHECK
    if organisation is None:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation)
    if msg.organisation in zone.validators:
        raise ALREADY_VALIDATOR(organisation=msg.organisation)
    if organisation.status != "active":
        raise IS_SUSPENDED(organisation=msg.organisation)
    if not zone.orderer and not state.has(ENGINES, msg.organisation):
        raise NO_ENGINE(organisation=msg.organisation)
    voted = get_round(state, ctx, organisation, "promote")
    carried = voted.motion.status == "carried"
    # WRITE
    motion = put_round(state, ctx, voted)
    state.put(
        ORGANISATIONS,
        msg.organisation,
        msgspec.structs.replace(organisation, seat_motion=None if carried else motion),
    )
    if carried:
        validators = tuple(sorted((*zone.validators, msg.organisation)))
        state.put(ZONE, ZONE_KEY, msgspec.structs.replace(zone, validators=validators))
        put_seating(state, ctx.height, ctx.time)
    # EVENTS
    events: list[Event] = [
        PromotionVoted(
            organisation=msg.organisation,
            motion=motion,
            voter=ctx.organisation,
            votes=voted.votes,
            validators=voted.voters,
        )
    ]
    if carried:
        events.append(ValidatorPromoted(organisation=msg.organisation, motion=motion))
    return events


OPERATION = Operation(PromoteValidator, "registration", validate, apply, "vote for making a member a validator")
