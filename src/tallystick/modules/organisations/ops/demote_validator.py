"""demote_validator: a validator votes for taking a member out of them; more than two thirds of the others carry it.

Contract: the organisation is a validator and does not order alone; one validator at least is left. Nobody votes on itself.
Where the validators order together, its engine votes until the block after the next. A round is open for 30 days.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.queries import get_zone
from tallystick.modules.organisations.records import OrganisationId
from tallystick.modules.organisations.rejections import (
    LAST_VALIDATOR,
    NO_VALIDATOR,
    ORDERER_STAYS,
)
from tallystick.modules.organisations.voting import (
    MotionCarried,
    MotionVoted,
    check_subject,
    get_round,
    get_subject,
    put_seat_round,
    tell,
)


class DemoteValidator(Message, kw_only=True, tag="demote_validator"):
    """Vote for taking a member out of the validators.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class DemotionVoted(MotionVoted, kw_only=True, tag="demotion_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""


class ValidatorDemoted(MotionCarried, kw_only=True, tag="validator_demoted"):
    """An organisation is a validator no more; it stays a member."""


def validate(msg: DemoteValidator) -> None:
    """Check the form of the id."""
    check_subject(msg.organisation)


def apply(state: State, ctx: Context, msg: DemoteValidator) -> list[Event]:
    """Count the vote; where it carries, take the organisation out of the validators."""
    # READ
    organisation = get_subject(state, msg.organisation)
    zone = get_zone(state)
    # CHECK
    if msg.organisation not in zone.validators:
        raise NO_VALIDATOR(organisation=msg.organisation)
    if msg.organisation == zone.orderer:
        raise ORDERER_STAYS(organisation=msg.organisation)
    if len(zone.validators) == 1:
        raise LAST_VALIDATOR()
    voted = get_round(state, ctx, organisation, "demote")
    # WRITE
    motion = put_seat_round(state, ctx, organisation, voted)
    # EVENTS
    return tell(ctx, voted, motion, DemotionVoted, ValidatorDemoted)


OPERATION = Operation(
    DemoteValidator, "registration", validate, apply, "vote for taking a member out of the validators"
)
