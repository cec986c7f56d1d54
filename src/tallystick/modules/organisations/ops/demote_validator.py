"""demote_validator: a validator votes for taking a member out of them; more than two thirds of the others carry it.

Contract: the organisation is a validator and does not order alone; one validator at least is left. Nobody votes on itself.
Where the validators order together, its engine votes until the block after the next. A round is open for 30 days.
"""

from __future__ import annotations

import msgspec

from tallystick.codec import MalformedError, check_organisation_id
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.engines import put_seating
from tallystick.modules.organisations.queries import get_zone
from tallystick.modules.organisations.records import ORGANISATIONS, ZONE, ZONE_KEY, OrganisationId
from tallystick.modules.organisations.rejections import (
    LAST_VALIDATOR,
    NO_VALIDATOR,
    ORDERER_STAYS,
    UNKNOWN_ORGANISATION,
)
from tallystick.modules.organisations.voting import get_round, put_round


class DemoteValidator(Message, kw_only=True, tag="demote_validator"):
    """Vote for taking a member out of the validators.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class DemotionVoted(Event, kw_only=True, tag="demotion_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""

    organisation: str
    motion: str
    voter: str
    votes: int
    validators: int


class ValidatorDemoted(Event, kw_only=True, tag="validator_demoted"):
    """An organisation is a validator no more; it stays a member."""

    organisation: str
    motion: str


def validate(msg: DemoteValidator) -> None:
    """Check the form of the id."""
    try:
        check_organisation_id(msg.organisation)
    except MalformedError:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation) from None


def apply(state: State, ctx: Context, msg: DemoteValidator) -> list[Event]:
    """Count the vote; where it carries, take the organisation out of the validators."""
    # READ
    organisation = state.find(ORGANISATIONS, msg.organisation)
    zone = get_zone(state)
    # CHECK
    if organisation is None:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation)
    if msg.organisation not in zone.validators:
        raise NO_VALIDATOR(organisation=msg.organisation)
    if msg.organisation == zone.orderer:
        raise ORDERER_STAYS(organisation=msg.organisation)
    if len(zone.validators) == 1:
        raise LAST_VALIDATOR()
    voted = get_round(state, ctx, organisation, "demote")
    carried = voted.motion.status == "carried"
    # WRITE
    motion = put_round(state, ctx, voted)
    state.put(
        ORGANISATIONS,
        msg.organisation,
        msgspec.structs.replace(organisation, seat_motion=None if carried else motion),
    )
    if carried:
        validators = tuple(name for name in zone.validators if name != msg.organisation)
        state.put(ZONE, ZONE_KEY, msgspec.structs.replace(zone, validators=validators))
        put_seating(state, ctx.height, ctx.time)
    # EVENTS
    events: list[Event] = [
        DemotionVoted(
            organisation=msg.organisation,
            motion=motion,
            voter=ctx.organisation,
            votes=voted.votes,
            validators=voted.voters,
        )
    ]
    if carried:
        events.append(ValidatorDemoted(organisation=msg.organisation, motion=motion))
    return events


OPERATION = Operation(
    DemoteValidator, "registration", validate, apply, "vote for taking a member out of the validators"
)
