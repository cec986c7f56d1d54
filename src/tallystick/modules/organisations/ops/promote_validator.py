"""promote_validator: a validator votes for making a member one of them; more than two thirds of the validators carry it.

Contract: the organisation is an active member and no validator. Where the validators order together it has announced an
engine, which votes on blocks from the block after the next on; its headers are asked for from the next block on. A round
is open for 30 days.
"""

from __future__ import annotations

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.queries import get_zone
from tallystick.modules.organisations.records import ENGINES, OrganisationId
from tallystick.modules.organisations.rejections import ALREADY_VALIDATOR, IS_SUSPENDED, NO_ENGINE
from tallystick.modules.organisations.voting import (
    MotionCarried,
    MotionVoted,
    check_subject,
    get_round,
    get_subject,
    put_seat_round,
    tell,
)


class PromoteValidator(Message, kw_only=True, tag="promote_validator"):
    """Vote for making a member a validator.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class PromotionVoted(MotionVoted, kw_only=True, tag="promotion_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""


class ValidatorPromoted(MotionCarried, kw_only=True, tag="validator_promoted"):
    """An organisation is a validator."""


def validate(msg: PromoteValidator) -> None:
    """Check the form of the id."""
    check_subject(msg.organisation)


def apply(state: State, ctx: Context, msg: PromoteValidator) -> list[Event]:
    """Count the vote; where it carries, add the organisation to the validators."""
    # READ
    organisation = get_subject(state, msg.organisation)
    zone = get_zone(state)
    # CHECK
    if msg.organisation in zone.validators:
        raise ALREADY_VALIDATOR(organisation=msg.organisation)
    if organisation.status != "active":
        raise IS_SUSPENDED(organisation=msg.organisation)
    if not zone.orderer and not state.has(ENGINES, msg.organisation):
        raise NO_ENGINE(organisation=msg.organisation)
    voted = get_round(state, ctx, organisation, "promote")
    # WRITE
    motion = put_seat_round(state, ctx, organisation, voted)
    # EVENTS
    return tell(ctx, voted, motion, PromotionVoted, ValidatorPromoted)


OPERATION = Operation(PromoteValidator, "registration", validate, apply, "vote for making a member a validator")
