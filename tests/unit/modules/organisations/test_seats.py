"""Engines, seats and the handover: what the operations do together; each outcome alone is a golden vector."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.machine import State
from tallystick.modules.organisations import queries
from tallystick.modules.organisations.engines import seating_key
from tallystick.modules.organisations.ops import (
    AdmitOrganisation,
    FinishRecovery,
    HandOver,
    ReinstateOrganisation,
    SuspendOrganisation,
)
from tallystick.modules.organisations.records import (
    CONSENSUS_KEYS,
    ENGINES,
    HANDOVERS,
    MOTIONS,
    ORGANISATIONS,
    SEATINGS,
    ZONE,
)
from tests.support.zones import (
    BANK,
    CITY,
    DAY,
    HOSPITAL,
    UNIVERSITY,
    SignedSimulator,
    Simulator,
    make_card,
    plain,
    public_hex,
    signing_key,
)
from tests.vectors.organisations.cases import start_recovery, started
from tests.vectors.organisations.seats import demote, promote

ALL = (HOSPITAL, UNIVERSITY, BANK, CITY)
THREE = (HOSPITAL, BANK, UNIVERSITY)
KINDS = pytest.mark.parametrize("kind", [Simulator, SignedSimulator])


def consensus(organisation: str, purpose: str = "consensus") -> str:
    """Return an organisation's consensus key, hex."""
    return public_hex(signing_key(organisation, purpose))


def seats(zone: Simulator, height: int | None = None) -> dict[str, str]:
    """Return who orders together after a block, by default the last that changed it, with which keys."""
    listed = queries.seatings(zone.state)
    seating = listed[-1][1] if height is None else queries.find_seating(zone.state, height)
    return {} if seating is None else {seat.organisation: seat.consensus for seat in seating.seats}


def hand_over(zone: Simulator, *organisations: str) -> None:
    """Let all validators announce their engines and agree."""
    for organisation in organisations:
        zone.run(organisation, zone.engine(organisation))
    for organisation in organisations:
        zone.run(organisation, HandOver())


@KINDS
def test_handover_gives_every_validator_a_seat_at_once(kind):
    """The block of the last agreement is the last of the one that ordered; from it on the validators have seats."""
    zone = kind(ALL, validators=ALL[:3])
    assert [] == queries.seatings(zone.state)

    hand_over(zone, *ALL[:3])

    assert "" == queries.get_zone(zone.state).orderer
    assert [zone.height] == [height for height, _ in queries.seatings(zone.state)]
    assert {name: consensus(name) for name in THREE} == seats(zone, zone.height)
    handover = queries.find_handover(zone.state)
    assert ("done", zone.height, zone.time) == (handover.status, handover.height, handover.done_at)
    assert THREE == queries.ordering(queries.get_zone(zone.state))
    assert "order_together" == zone.reject(HOSPITAL, HandOver()).name
    assert [] == zone.broken()


def test_whoever_orders_after_a_handover_is_bound_like_those_of_a_genesis():
    """Those who were handed the order are not suspended; who is promoted then needs an engine."""
    zone = Simulator(ALL, validators=ALL[:3])
    hand_over(zone, *ALL[:3])

    assert "orderer_stays" == zone.reject(HOSPITAL, SuspendOrganisation(organisation=BANK)).name
    assert "no_engine" == zone.reject(HOSPITAL, promote(CITY)).name
    zone.run(CITY, zone.engine(CITY))
    for voter in ALL[:3]:
        zone.run(voter, promote(CITY))
    assert sorted(ALL) == list(seats(zone))
    assert [] == zone.broken()


@pytest.mark.parametrize("change", ["engine", "promotion", "demotion"])
def test_agreement_is_to_exactly_these_seats(change):
    """Another key, one more validator or one fewer: what was agreed to before counts no more."""
    zone = Simulator(ALL, validators=ALL[:3])
    for organisation in ALL:
        zone.run(organisation, zone.engine(organisation))
    for organisation in (HOSPITAL, UNIVERSITY):
        zone.run(organisation, HandOver())
    match change:
        case "engine":
            zone.run(UNIVERSITY, zone.engine(UNIVERSITY, "consensus-2"))
        case "promotion":
            for voter in ALL[:3]:
                zone.run(voter, promote(CITY))
        case "demotion":
            for voter in (HOSPITAL, UNIVERSITY):
                zone.run(voter, demote(BANK))
    last = UNIVERSITY if change == "demotion" else BANK

    zone.run(last, HandOver())

    assert (last,) == queries.find_handover(zone.state).votes
    assert HOSPITAL == queries.get_zone(zone.state).orderer
    assert [] == zone.broken()


def test_another_address_leaves_agreements_and_seats():
    """Where an engine listens is no part of what is agreed to, nor of a seat."""
    zone = Simulator(ALL, validators=ALL[:2])
    for organisation in ALL[:2]:
        zone.run(organisation, zone.engine(organisation))
    zone.run(HOSPITAL, HandOver())
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY, address="moved.example:26656"))
    zone.run(UNIVERSITY, HandOver())
    assert "" == queries.get_zone(zone.state).orderer

    zone.run(HOSPITAL, zone.engine(HOSPITAL, address="moved.example:26657"))

    assert 1 == len(queries.seatings(zone.state))
    assert "moved.example:26657" == queries.find_engine(zone.state, HOSPITAL).address
    assert [] == zone.broken()


def test_handover_waits_for_a_suspended_validator():
    """One that is suspended orders nothing: it is reinstated, or demoted, and then the rest may agree."""
    zone = Simulator(ALL, validators=ALL[:3])
    for organisation in ALL[:3]:
        zone.run(organisation, zone.engine(organisation))
    zone.run(HOSPITAL, HandOver())
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, SuspendOrganisation(organisation=BANK))
    assert "is_suspended" == zone.reject(UNIVERSITY, HandOver()).name
    assert "organisation_suspended" == zone.reject(BANK, HandOver()).name

    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, demote(BANK))
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, HandOver())

    assert [HOSPITAL, UNIVERSITY] == sorted(seats(zone))
    assert "suspended" == zone.get(ORGANISATIONS, BANK).status
    assert [] == zone.broken()


@KINDS
def test_seats_follow_keys_promotions_and_demotions(kind):
    """Each block that changes who votes or with which key writes the seats after it; the ones before stay on record."""
    zone = kind(ALL, orderer="", validators=ALL[:3])
    zone.run(BANK, zone.engine(BANK, "consensus-2"))
    rotated = zone.height
    zone.run(CITY, zone.engine(CITY))
    for voter in ALL[:3]:
        zone.run(voter, promote(CITY))
    promoted = zone.height
    for voter in (HOSPITAL, UNIVERSITY, CITY):
        zone.run(voter, demote(BANK))
    demoted = zone.height

    assert [0, rotated, promoted, demoted] == [height for height, _ in queries.seatings(zone.state)]
    assert consensus(BANK) == seats(zone, 0)[BANK]
    assert consensus(BANK, "consensus-2") == seats(zone, rotated)[BANK]
    assert sorted(ALL) == list(seats(zone, promoted))
    assert sorted({HOSPITAL, UNIVERSITY, CITY}) == list(seats(zone, demoted))
    assert zone.time == queries.find_seating(zone.state, demoted).since
    retired = zone.get(CONSENSUS_KEYS, consensus(BANK)).retired_at
    assert queries.find_seating(zone.state, rotated).since == retired
    assert [] == zone.broken()


def test_one_block_with_two_changes_has_the_seats_after_both():
    """The seats of a block are those after its last transaction, whatever was between."""
    zone = SignedSimulator(ALL, orderer="", validators=ALL[:3])
    changes = [
        zone.transaction(name, [zone.engine(name, "consensus-2")], zone.key(name, "system"))
        for name in (BANK, HOSPITAL)
    ]
    zone.execute(changes)

    assert [0, zone.height] == [height for height, _ in queries.seatings(zone.state)]
    expected = {BANK: consensus(BANK, "consensus-2"), HOSPITAL: consensus(HOSPITAL, "consensus-2")}
    assert expected | {UNIVERSITY: consensus(UNIVERSITY)} == seats(zone)
    assert [] == zone.broken()


@KINDS
def test_demoted_validator_is_a_member_without_a_vote_and_may_come_back(kind):
    """It keeps its keys and its engine, votes on nothing, and is promoted again with the engine that it has then."""
    zone = kind(ALL, orderer="", validators=ALL[:3])
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, demote(BANK))

    assert "not_validator" == zone.reject(BANK, demote(UNIVERSITY)).name
    assert queries.is_active(zone.state, BANK)
    zone.run(BANK, zone.engine(BANK, "consensus-2"))
    assert sorted((HOSPITAL, UNIVERSITY)) == sorted(seats(zone))
    zone.run(HOSPITAL, SuspendOrganisation(organisation=BANK))
    zone.run(UNIVERSITY, SuspendOrganisation(organisation=BANK))
    assert "is_suspended" == zone.reject(HOSPITAL, promote(BANK)).name
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, ReinstateOrganisation(organisation=BANK))
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, promote(BANK))
    assert consensus(BANK, "consensus-2") == seats(zone)[BANK]
    assert [] == zone.broken()


def test_question_of_a_place_and_of_suspension_are_open_at_the_same_time():
    """A member may be voted on for both; each motion is carried by its own votes."""
    zone = Simulator(ALL, validators=ALL[:3])
    zone.run(HOSPITAL, SuspendOrganisation(organisation=CITY))
    zone.run(HOSPITAL, promote(CITY))
    member = zone.get(ORGANISATIONS, CITY)
    questions = [zone.get(MOTIONS, identifier).question for identifier in (member.motion, member.seat_motion)]
    assert ["suspend", "promote"] == questions

    zone.run(UNIVERSITY, promote(CITY))
    zone.run(BANK, promote(CITY))

    member = zone.get(ORGANISATIONS, CITY)
    assert (None, "open") == (member.seat_motion, zone.get(MOTIONS, member.motion).status)
    assert CITY in queries.get_zone(zone.state).validators
    assert [] == zone.broken()


def test_admission_goes_on_when_the_validators_become_fewer():
    """Votes of those who are no validators any more do not count, and no round is stuck for want of another voter."""
    zone = Simulator(ALL, validators=ALL)
    message = AdmitOrganisation(card=make_card("harbour-school"))
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, message)
    assert "already_voted" == zone.reject(UNIVERSITY, message).name
    for voter in (HOSPITAL, UNIVERSITY, BANK):
        zone.run(voter, demote(CITY))
    assert "already_voted" == zone.reject(UNIVERSITY, message).name
    for voter in (HOSPITAL, UNIVERSITY):
        zone.run(voter, demote(BANK))

    events = zone.run(UNIVERSITY, message)

    assert [("admission_voted", 2, 2)] == [
        (told["type"], told["votes"], told["validators"]) for told in map(plain, events[:1])
    ]
    assert queries.is_active(zone.state, "harbour-school")
    assert [] == zone.broken()


def test_keys_of_an_organisation_and_of_its_engine_are_apart():
    """Recovery replaces an organisation's keys and leaves its engine; the system key that comes is the one to change it."""
    zone = Simulator(ALL, orderer="", validators=ALL[:3])
    recovery = started(zone, UNIVERSITY)
    zone.run(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.time + 4 * DAY)

    assert consensus(UNIVERSITY) == queries.find_engine(zone.state, UNIVERSITY).consensus
    message = zone.engine(UNIVERSITY, "consensus-2")
    assert "unknown_key" == zone.reject(UNIVERSITY, message).name
    zone.run(UNIVERSITY, message, key=signing_key(UNIVERSITY, "system-2"))
    assert consensus(UNIVERSITY, "consensus-2") == seats(zone)[UNIVERSITY]
    assert "key_taken" == zone.reject(UNIVERSITY, start_recovery(zone, UNIVERSITY)).name
    assert [] == zone.broken()


def test_queries_tell_nothing_of_engines_that_are_not_there():
    """In a zone that one orders nobody has a seat, and nobody an engine before it is announced."""
    zone = Simulator(ALL)

    assert [] == queries.engines(zone.state)
    assert queries.find_engine(zone.state, BANK) is None
    assert queries.find_handover(zone.state) is None
    assert queries.find_seating(zone.state, 0) is None
    zone.run(BANK, zone.engine(BANK))
    assert [BANK] == [engine.organisation for engine in queries.engines(zone.state)]
    assert [] == queries.seatings(zone.state)


def damaged(zone: Simulator, collection, key: str, **changes: object) -> list[str]:
    """Return what is broken with a record changed; the record is put back."""
    where = (collection.name, key)
    intact = zone.reader.records[where]
    zone.reader.records[where] = collection.encode(msgspec.structs.replace(zone.get(collection, key), **changes))
    broken = zone.broken()
    zone.reader.records[where] = intact
    return broken


def test_damaged_seats_break_invariants():
    """Each invariant on engines, seats and the handover notices what it is about."""
    zone = Simulator(ALL, validators=ALL[:3])
    hand_over(zone, *ALL[:3])
    zone.run(UNIVERSITY, zone.engine(UNIVERSITY, "consensus-2"))
    zone.run(HOSPITAL, demote(BANK))
    assert [] == zone.broken()
    last = seating_key(zone.height - 1)
    motion = zone.get(ORGANISATIONS, BANK).seat_motion
    seated = zone.get(SEATINGS, last).seats
    cases = [
        (ENGINES, BANK, {"consensus": consensus(CITY)}, "consensus key is not on record"),
        (ENGINES, BANK, {"organisation": CITY}, "consensus key is not on record"),
        (ENGINES, BANK, {"node": queries.find_engine(zone.state, HOSPITAL).node}, "same node id"),
        (CONSENSUS_KEYS, consensus(UNIVERSITY), {"retired_at": None}, "no engine has it"),
        (CONSENSUS_KEYS, consensus(BANK), {"retired_at": 1}, "consensus key is not on record"),
        (CONSENSUS_KEYS, consensus(BANK), {"organisation": CITY}, "consensus key is not on record"),
        (HANDOVERS, "zone", {"votes": (HOSPITAL, BANK)}, "not agreed to by all"),
        (HANDOVERS, "zone", {"votes": (HOSPITAL, BANK, UNIVERSITY, BANK)}, "each once"),
        (HANDOVERS, "zone", {"status": "open"}, "disagree"),
        (HANDOVERS, "zone", {"height": None}, "disagree"),
        (SEATINGS, last, {"seats": seated[1:]}, "the last is not of those who order"),
        (SEATINGS, last, {"seats": (*seated[:-1], seated[0])}, "the last is not of those who order"),
        (ZONE, "zone", {"validators": (*THREE[:2], CITY)}, "there is none, though it orders"),
        (ZONE, "zone", {"validators": (HOSPITAL, UNIVERSITY)}, "the last is not of those who order"),
        (ZONE, "zone", {"orderer": HOSPITAL}, "one orders alone"),
        (ORGANISATIONS, BANK, {"seat_motion": "mot-0000"}, "open motion on its place"),
        (MOTIONS, motion, {"question": "promote"}, "open motion on its place"),
        (MOTIONS, motion, {"votes": (BANK,)}, "not of others"),
        (MOTIONS, motion, {"votes": ("nobody",)}, "not of members"),
        (MOTIONS, motion, {"status": "carried", "carried_at": 1}, "open motion on its place"),
    ]
    for collection, key, changes, sentence in cases:
        broken = damaged(zone, collection, key, **changes)
        assert any(sentence in fault for fault in broken), (collection.name, changes, broken)
    assert [] == zone.broken()


def test_lost_seatings_break_an_invariant():
    """Where the validators order together, who they are is on record for every block."""
    zone = Simulator(ALL, orderer="", validators=ALL[:3])
    del zone.reader.records[(SEATINGS.name, seating_key(0))]
    assert ["seatings: the last is not of those who order"] == zone.broken()


def test_heights_of_seatings_are_in_order_of_their_keys():
    """Keys of seatings sort as their heights do, so the last by key is the last by height."""
    heights = (0, 9, 10, 99, 100, 999_999_999_999)
    keys = [seating_key(height) for height in heights]
    assert sorted(keys) == keys
    assert list(heights) == [int(key) for key in keys]
    assert queries.find_seating(State(Simulator(ALL).reader), 7) is None
