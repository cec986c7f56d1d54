"""suspend_organisation: a validator votes for suspending a member; more than two thirds of the others carry it.

Contract: the organisation is an active member and does not order the zone; nobody votes on itself. A round is open for
30 days. Once carried, all transactions of the organisation are refused, but for those of its recovery key.
"""

from __future__ import annotations

import msgspec

from tallystick.codec import MalformedError, check_organisation_id
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.queries import get_zone, ordering
from tallystick.modules.organisations.records import ORGANISATIONS, OrganisationId
from tallystick.modules.organisations.rejections import ALREADY_SUSPENDED, ORDERER_STAYS, UNKNOWN_ORGANISATION
from tallystick.modules.organisations.voting import get_round, put_round


class SuspendOrganisation(Message, kw_only=True, tag="suspend_organisation"):
    """Vote for suspending a member.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class SuspensionVoted(Event, kw_only=True, tag="suspension_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""

    organisation: str
    motion: str
    voter: str
    votes: int
    validators: int


class OrganisationSuspended(Event, kw_only=True, tag="organisation_suspended"):
    """An organisation is suspended."""

    organisation: str
    motion: str


def validate(msg: SuspendOrganisation) -> None:
    """Check the form of the id."""
    try:
        check_organisation_id(msg.organisation)
    except MalformedError:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation) from None


def apply(state: State, ctx: Context, msg: SuspendOrganisation) -> list[Event]:
    """Count the vote; where it carries, suspend the organisation."""
    # READ
    organisation = state.find(ORGANISATIONS, msg.organisation)
    # CHECK
    if organisation is None:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation)
    if organisation.status == "suspended":
        raise ALREADY_SUSPENDED(organisation=msg.organisation)
    if msg.organisation in ordering(get_zone(state)):
        raise ORDERER_STAYS(organisation=msg.organisation)
    voted = get_round(state, ctx, organisation, "suspend")
    carried = voted.motion.status == "carried"
    # WRITE
    motion = put_round(state, ctx, voted)
    changed = msgspec.structs.replace(organisation, motion=None if carried else motion)
    if carried:
        changed = msgspec.structs.replace(changed, status="suspended", suspended_at=ctx.time)
    state.put(ORGANISATIONS, msg.organisation, changed)
    # EVENTS
    events: list[Event] = [
        SuspensionVoted(
            organisation=msg.organisation,
            motion=motion,
            voter=ctx.organisation,
            votes=voted.votes,
            validators=voted.voters,
        )
    ]
    if carried:
        events.append(OrganisationSuspended(organisation=msg.organisation, motion=motion))
    return events


OPERATION = Operation(SuspendOrganisation, "registration", validate, apply, "vote for suspending a member")
