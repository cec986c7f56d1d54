"""reinstate_organisation: a validator votes for reinstating a member; more than two thirds of the others carry it.

Contract: the organisation is suspended; nobody votes on itself (a suspended one could not anyway). A round is open for
30 days. Once carried, the keys that the organisation holds are good again.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.records import ORGANISATIONS, OrganisationId
from tallystick.modules.organisations.rejections import NOT_SUSPENDED
from tallystick.modules.organisations.voting import (
    MotionCarried,
    MotionVoted,
    check_subject,
    get_round,
    get_subject,
    put_round,
    tell,
)


class ReinstateOrganisation(Message, kw_only=True, tag="reinstate_organisation"):
    """Vote for reinstating a member.

    Attributes:
        organisation: its id.
    """

    organisation: OrganisationId


class ReinstatementVoted(MotionVoted, kw_only=True, tag="reinstatement_voted"):
    """A validator voted in a motion; `votes` of `validators` so far."""


class OrganisationReinstated(MotionCarried, kw_only=True, tag="organisation_reinstated"):
    """An organisation is active again."""


def validate(msg: ReinstateOrganisation) -> None:
    """Check the form of the id."""
    check_subject(msg.organisation)


def apply(state: State, ctx: Context, msg: ReinstateOrganisation) -> list[Event]:
    """Count the vote; where it carries, reinstate the organisation."""
    # READ
    organisation = get_subject(state, msg.organisation)
    # CHECK
    if organisation.status != "suspended":
        raise NOT_SUSPENDED(organisation=msg.organisation)
    voted = get_round(state, ctx, organisation, "reinstate")
    # WRITE
    motion = put_round(state, ctx, voted)
    changed = msgspec.structs.replace(organisation, motion=None if voted.carried else motion)
    if voted.carried:
        changed = msgspec.structs.replace(changed, status="active", suspended_at=None)
    state.put(ORGANISATIONS, msg.organisation, changed)
    # EVENTS
    return tell(ctx, voted, motion, ReinstatementVoted, OrganisationReinstated)


OPERATION = Operation(ReinstateOrganisation, "registration", validate, apply, "vote for reinstating a suspended member")
