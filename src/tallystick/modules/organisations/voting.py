"""Counting votes: more than two thirds of the validators that may vote.

The validators may change while a round is open. A vote counts as long as its author is one of them, and where the votes
that are there come to suffice by such a change, whoever votes next carries it, though it is for the second time.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tallystick.codec import MalformedError, check_organisation_id
from tallystick.machine import Context, Event, State
from tallystick.modules.organisations.engines import put_seating
from tallystick.modules.organisations.queries import get_zone
from tallystick.modules.organisations.records import (
    MOTIONS,
    ORGANISATIONS,
    VOTE_PERIOD_MS,
    ZONE,
    ZONE_KEY,
    Motion,
    Organisation,
    Question,
)
from tallystick.modules.organisations.rejections import ALREADY_VOTED, NOT_VALIDATOR, OWN_CASE, UNKNOWN_ORGANISATION

_SEAT = ("promote", "demote")


class MotionVoted(Event, kw_only=True):
    """A validator voted in a motion; `votes` of `validators` so far."""

    organisation: str
    motion: str
    voter: str
    votes: int
    validators: int


class MotionCarried(Event, kw_only=True):
    """A motion on an organisation was carried."""

    organisation: str
    motion: str


def check_subject(organisation: str) -> None:
    """Check the form of the id that a vote is about.

    Raises:
        RejectedError: `unknown_organisation`.
    """
    try:
        check_organisation_id(organisation)
    except MalformedError:
        raise UNKNOWN_ORGANISATION(organisation=organisation) from None


def get_subject(state: State, organisation: str) -> Organisation:
    """Return the member that a vote is about.

    Raises:
        RejectedError: `unknown_organisation`.
    """
    found = state.find(ORGANISATIONS, organisation)
    if found is None:
        raise UNKNOWN_ORGANISATION(organisation=organisation)
    return found


def get_validators(state: State, ctx: Context) -> tuple[str, ...]:
    """Return the validators, for an operation that only they may ask for.

    Raises:
        RejectedError: `not_validator`: the signer is not among them.
    """
    validators = get_zone(state).validators
    if ctx.organisation not in validators:
        raise NOT_VALIDATOR(organisation=ctx.organisation)
    return validators


def counted(votes: tuple[str, ...], voters: tuple[str, ...]) -> int:
    """Return how many of `voters` are among `votes`."""
    return sum(1 for voter in voters if voter in votes)


def is_carried(votes: tuple[str, ...], voters: tuple[str, ...]) -> bool:
    """Tell whether more than two thirds of `voters` are among `votes`."""
    return 3 * counted(votes, voters) > 2 * len(voters)


def add_vote(votes: tuple[str, ...], voter: str, voters: tuple[str, ...]) -> tuple[str, ...]:
    """Return the votes of a round with one more; the same ones where they suffice already.

    Raises:
        RejectedError: `already_voted`.
    """
    if voter not in votes:
        return (*votes, voter)
    if not is_carried(votes, voters):
        raise ALREADY_VOTED(organisation=voter)
    return votes


class Round(NamedTuple):
    """A motion with the signer's vote counted.

    Attributes:
        identifier: its id; "" where this vote opens a new one.
        motion: with the vote.
        votes: how many of those who may vote did.
        voters: how many may vote.
    """

    identifier: str
    motion: Motion
    votes: int
    voters: int

    @property
    def carried(self) -> bool:
        """Whether this vote carries it."""
        return self.motion.status == "carried"


def get_round(state: State, ctx: Context, organisation: Organisation, question: Question) -> Round:
    """Count the signer's vote on a member, in the open round or a new one; nothing is written.

    Args:
        state: what to read.
        ctx: who votes, and when.
        organisation: whom it is about; it has no vote.
        question: what is asked; the open motion of this kind, if there is one, asks the same.

    Raises:
        RejectedError: the signer is not a validator, votes on itself, or has voted.
    """
    validators = get_validators(state, ctx)
    if ctx.organisation == organisation.organisation:
        raise OWN_CASE(organisation=ctx.organisation)
    voters = tuple(validator for validator in validators if validator != organisation.organisation)
    identifier = (organisation.seat_motion if question in _SEAT else organisation.motion) or ""
    motion = state.get(MOTIONS, identifier) if identifier else None
    if motion is None or ctx.time > motion.closes_at:
        identifier = ""
        motion = Motion(
            organisation=organisation.organisation,
            question=question,
            votes=(),
            opened_at=ctx.time,
            closes_at=ctx.time + VOTE_PERIOD_MS,
            status="open",
        )
    votes = add_vote(motion.votes, ctx.organisation, voters)
    motion = msgspec.structs.replace(motion, votes=votes)
    if is_carried(votes, voters):
        motion = msgspec.structs.replace(motion, status="carried", carried_at=ctx.time)
    return Round(identifier, motion, counted(votes, voters), len(voters))


def put_round(state: State, ctx: Context, voted: Round) -> str:
    """Write a motion, under a new id where the vote opened it; return the id."""
    identifier = voted.identifier or ctx.new_id(state, MOTIONS, "mot")
    state.put(MOTIONS, identifier, voted.motion)
    return identifier


def put_seat_round(state: State, ctx: Context, organisation: Organisation, voted: Round) -> str:
    """Write a motion on a place among the validators and, where it is carried, who they are now; return its id."""
    motion = put_round(state, ctx, voted)
    pointing = msgspec.structs.replace(organisation, seat_motion=None if voted.carried else motion)
    state.put(ORGANISATIONS, organisation.organisation, pointing)
    if voted.carried:
        zone = get_zone(state)
        others = {name for name in zone.validators if name != organisation.organisation}
        promoted = {organisation.organisation} if voted.motion.question == "promote" else set()
        state.put(ZONE, ZONE_KEY, msgspec.structs.replace(zone, validators=tuple(sorted(others | promoted))))
        put_seating(state, ctx.height, ctx.time)
    return motion


def tell(
    ctx: Context, voted: Round, motion: str, of_vote: type[MotionVoted], of_success: type[MotionCarried]
) -> list[Event]:
    """Return the events of a vote.

    Args:
        ctx: who voted.
        voted: the round with the vote.
        motion: its id.
        of_vote: event of every vote.
        of_success: event of the one that carries the motion.
    """
    organisation = voted.motion.organisation
    events: list[Event] = [
        of_vote(
            organisation=organisation, motion=motion, voter=ctx.organisation, votes=voted.votes, validators=voted.voters
        )
    ]
    return [*events, of_success(organisation=organisation, motion=motion)] if voted.carried else events
