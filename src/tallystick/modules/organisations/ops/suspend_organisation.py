"""suspend_organisation: a validator votes for suspending a member; more than two thirds of the others carry it.

Contract: the organisation is an active member and does not order the zone; nobody votes on itself. A round is open for
30 days. Once carried, all transactions of the organisation are refused, but for those of its recovery key.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.queries import get_zone, ordering
from tallystick.modules.organisations.records import ORGANISATIONS, OrganisationId
from tallystick.modules.organisations.rejections import ALREADY_SUSPENDED, ORDERER_STAYS
from tallystick.modules.organisations.voting import (
    MotionCarried,
    MotionVoted,
    check_subject,
    get_round,
    get_subject,
    put_round,
    tell,
)


class SuspendOrganisation(Message, kw_only=True, tag="suspend_organisation"):
    """Vote for suspending a member.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class SuspensionVoted(MotionVoted, kw_only=True, tag="suspension_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""


class OrganisationSuspended(MotionCarried, kw_only=True, tag="organisation_suspended"):
    """An organisation is suspended."""


def validate(msg: SuspendOrganisation) -> None:
    """Check the form of the id."""
    check_subject(msg.organisation)


def apply(state: State, ctx: Context, msg: SuspendOrganisation) -> list[Event]:
    """Count the vote; where it carries, suspend the organisation."""
    # READ
    organisation = get_subject(state, msg.organisation)
    # CHECK
    if organisation.status == "suspended":
        raise ALREADY_SUSPENDED(organisation=msg.organisation)
    if msg.organisation in ordering(get_zone(state)):
        raise ORDERER_STAYS(organisation=msg.organisation)
    voted = get_round(state, ctx, organisation, "suspend")
    # WRITE
    motion = put_round(state, ctx, voted)
    changed = msgspec.structs.replace(organisation, motion=None if voted.carried else motion)
    if voted.carried:
        changed = msgspec.structs.replace(changed, status="suspended", suspended_at=ctx.time)
    state.put(ORGANISATIONS, msg.organisation, changed)
    # EVENTS
    return tell(ctx, voted, motion, SuspensionVoted, OrganisationSuspended)


OPERATION = Operation(SuspendOrganisation, "registration", validate, apply, "vote for suspending a member")
