"""reinstate_organisation: a validator votes for reinstating a member; more than two thirds of the others carry it.

Contract: the organisation is suspended; nobody votes on itself (a suspended one could not anyway). A round is open for
30 days. Once carried, the keys that the organisation holds are good again.
"""

from __future__ import annotations

import msgspec

from tallystick.codec import MalformedError, check_organisation_id
from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.records import ORGANISATIONS, OrganisationId
from tallystick.modules.organisations.rejections import NOT_SUSPENDED, UNKNOWN_ORGANISATION
from tallystick.modules.organisations.voting import get_round, put_round


class ReinstateOrganisation(Message, kw_only=True, tag="reinstate_organisation"):
    """Vote for reinstating a member.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class ReinstatementVoted(Event, kw_only=True, tag="reinstatement_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""

    organisation: str
    motion: str
    voter: str
    votes: int
    validators: int


class OrganisationReinstated(Event, kw_only=True, tag="organisation_reinstated"):
    """An organisation is active again."""

    organisation: str
    motion: str


def validate(msg: ReinstateOrganisation) -> None:
    """Check the form of the id."""
    try:
        check_organisation_id(msg.organisation)
    except MalformedError:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation) from None


def apply(state: State, ctx: Context, msg: ReinstateOrganisation) -> list[Event]:
    """Count the vote; where it carries, reinstate the organisation."""
    # READ
    organisation = state.find(ORGANISATIONS, msg.organisation)
    # CHECK
    if organisation is None:
        raise UNKNOWN_ORGANISATION(organisation=msg.organisation)
    if organisation.status != "suspended":
        raise NOT_SUSPENDED(organisation=msg.organisation)
    voted = get_round(state, ctx, organisation, "reinstate")
    carried = voted.motion.status == "carried"
    # WRITE
    motion = put_round(state, ctx, voted)
    changed = msgspec.structs.replace(organisation, motion=None if carried else motion)
    if carried:
        changed = msgspec.structs.replace(changed, status="active", suspended_at=None)
    state.put(ORGANISATIONS, msg.organisation, changed)
    # EVENTS
    events: list[Event] = [
        ReinstatementVoted(
            organisation=msg.organisation,
            motion=motion,
            voter=ctx.organisation,
            votes=voted.votes,
            validators=voted.voters,
        )
    ]
    if carried:
        events.append(OrganisationReinstated(organisation=msg.organisation, motion=motion))
    return events


OPERATION = Operation(ReinstateOrganisation, "registration", validate, apply, "vote for reinstating a suspended member")
