"""hand_over: a validator agrees that all of them order together from now on; the last of them makes it so.

Contract: one organisation orders the zone alone. Every validator is active and has announced an engine. Each agrees to
exactly these engines: where one changes, or the 30 days of a round are over, agreeing begins anew. The block in which
the last one agrees is the last of the organisation that ordered alone; the validators' engines go on from there.
"""

from __future__ import annotations

import msgspec

from tallystick.machine import Context, Event, Message, Operation, State
from tallystick.modules.organisations.engines import put_seating
from tallystick.modules.organisations.queries import get_zone, is_active
from tallystick.modules.organisations.records import (
    ENGINES,
    HANDOVERS,
    VOTE_PERIOD_MS,
    ZONE,
    ZONE_KEY,
    Handover,
    Seat,
    Zone,
)
from tallystick.modules.organisations.rejections import ALREADY_VOTED, IS_SUSPENDED, NO_ENGINE, ORDER_TOGETHER
from tallystick.modules.organisations.voting import get_validators


class HandOver(Message, kw_only=True, tag="hand_over"):
    """Agree to order together."""


class HandoverAgreed(Event, kw_only=True, tag="handover_agreed"):
    """A validator agreed; `votes` of `validators` so far."""

    voter: str
    votes: int
    validators: int


class HandedOver(Event, kw_only=True, tag="handed_over"):
    """From the next block on all validators order; until this one `orderer` did."""

    orderer: str
    height: int


def validate(msg: HandOver) -> None:
    """Find nothing to check: the operation has no fields."""
    del msg


def apply(state: State, ctx: Context, msg: HandOver) -> list[Event]:
    """Count the agreement; with the last of them, hand over."""
    del msg
    # READ
    validators = get_validators(state, ctx)
    zone = get_zone(state)
    found = state.find(HANDOVERS, ZONE_KEY)
    # CHECK
    if not zone.orderer:
        raise ORDER_TOGETHER()
    seats = _get_seats(state, zone)
    if found is None or found.seats != seats or ctx.time > found.closes_at:
        found = Handover(seats=seats, votes=(), opened_at=ctx.time, closes_at=ctx.time + VOTE_PERIOD_MS, status="open")
    if ctx.organisation in found.votes:
        raise ALREADY_VOTED(organisation=ctx.organisation)
    # WRITE
    agreed = msgspec.structs.replace(found, votes=(*found.votes, ctx.organisation))
    done = len(agreed.votes) == len(validators)
    if done:
        agreed = msgspec.structs.replace(agreed, status="done", height=ctx.height, done_at=ctx.time)
        state.put(ZONE, ZONE_KEY, msgspec.structs.replace(zone, orderer=""))
        put_seating(state, ctx.height, ctx.time)
    state.put(HANDOVERS, ZONE_KEY, agreed)
    # EVENTS
    events: list[Event] = [HandoverAgreed(voter=ctx.organisation, votes=len(agreed.votes), validators=len(validators))]
    if done:
        events.append(HandedOver(orderer=zone.orderer, height=ctx.height))
    return events


def _get_seats(state: State, zone: Zone) -> tuple[Seat, ...]:
    """Return who would order with which keys.

    Raises:
        RejectedError: a validator is suspended, or has no engine.
    """
    seats = []
    for organisation in zone.validators:
        if not is_active(state, organisation):
            raise IS_SUSPENDED(organisation=organisation)
        engine = state.find(ENGINES, organisation)
        if engine is None:
            raise NO_ENGINE(organisation=organisation)
        seats.append(Seat(organisation=organisation, consensus=engine.consensus))
    return tuple(seats)


OPERATION = Operation(HandOver, "registration", validate, apply, "agree that all validators order together")
