"""What the operations on members and keys do together; each outcome alone is a golden vector."""

from __future__ import annotations

import msgspec
import pytest

from tallystick.codec import decode_json
from tallystick.codec.cards import card_fingerprint
from tallystick.errors import RejectedError
from tallystick.machine import Parameters
from tallystick.modules.evidence.ops import RecordEvidence
from tallystick.modules.organisations import AUTHORITY, queries
from tallystick.modules.organisations.ops import (
    AddKey,
    AdmitOrganisation,
    CancelRecovery,
    FinishRecovery,
    ReinstateOrganisation,
    RenameOrganisation,
    RevokeKey,
    SetAddress,
    SetTlsPins,
    SuspendOrganisation,
)
from tallystick.modules.organisations.records import CANDIDATES, KEYS, MOTIONS, ORGANISATIONS, RECOVERIES
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
from tests.vectors.organisations.cases import add_key, key_of, rotate_key, start_recovery, started

EVIDENCE = RecordEvidence(root="5a" * 32, count=1)
ALL = (HOSPITAL, UNIVERSITY, BANK, CITY)


@pytest.fixture(params=[Simulator, SignedSimulator])
def zone(request):
    """Return a zone of four, of which the hospital orders and votes alone; once simulated, once with signatures."""
    return request.param(ALL)


def admit(organisation: str) -> AdmitOrganisation:
    """Return a vote for an organisation's card."""
    return AdmitOrganisation(card=make_card(organisation))


def test_admitted_organisation_acts_at_once(zone):
    """Once admitted, a member's keys are good in the roles of its card."""
    assert "unknown_key" == zone.reject("harbour-school", EVIDENCE).name

    events = zone.run(HOSPITAL, admit("harbour-school"))

    assert ["admission_voted", "organisation_admitted"] == [plain(event)["type"] for event in events]
    member = zone.get(ORGANISATIONS, "harbour-school")
    assert (zone.time, zone.height, "active") == (member.admitted_at, member.admitted_height, member.status)
    assert ("evidence_recorded",) == tuple(plain(e)["type"] for e in zone.run("harbour-school", EVIDENCE))
    assert [] == zone.broken()


@pytest.mark.parametrize(("validators", "needed"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_more_than_two_thirds_admit(validators, needed):
    """Of n validators, the first number above two thirds admits, and not one fewer."""
    zone = Simulator(ALL, validators=ALL[:validators])
    for voter in ALL[: needed - 1]:
        zone.run(voter, admit("harbour-school"))
        assert not queries.is_active(zone.state, "harbour-school")

    zone.run(ALL[needed - 1], admit("harbour-school"))

    assert queries.is_active(zone.state, "harbour-school")
    assert [] == queries.open_candidates(zone.state, zone.time)
    assert [] == zone.broken()


def test_votes_for_different_cards_do_not_add_up():
    """A vote counts for the one card that it names; another card for the same id is another candidate."""
    zone = Simulator(ALL, validators=ALL[:2])
    other = AdmitOrganisation(card=make_card("harbour-school", name="Another School"))

    zone.run(HOSPITAL, admit("harbour-school"))
    zone.run(UNIVERSITY, other)

    assert not queries.is_active(zone.state, "harbour-school")
    assert 2 == len(queries.open_candidates(zone.state, zone.time))
    zone.run(HOSPITAL, other)
    assert "Another School" == zone.get(ORGANISATIONS, "harbour-school").name
    assert "organisation_exists" == zone.reject(UNIVERSITY, admit("harbour-school")).name


def test_round_closes_after_thirty_days():
    """Votes of a closed round count no more, and the candidate is no longer shown as open."""
    zone = Simulator(ALL, validators=ALL[:2])
    zone.run(HOSPITAL, admit("harbour-school"))
    fingerprint = card_fingerprint(make_card("harbour-school").card)
    closes = zone.get(CANDIDATES, fingerprint).closes_at

    assert [] == queries.open_candidates(zone.state, closes + 1)
    zone.run(UNIVERSITY, admit("harbour-school"), at_ms=closes + 1)

    assert (UNIVERSITY,) == zone.get(CANDIDATES, fingerprint).votes
    assert [] == zone.broken()


def test_vote_on_the_last_millisecond_counts():
    """A round is open up to and including its last millisecond."""
    zone = Simulator(ALL, validators=ALL[:2])
    zone.run(HOSPITAL, admit("harbour-school"))

    zone.run(UNIVERSITY, admit("harbour-school"), at_ms=zone.time + 30 * DAY)

    assert queries.is_active(zone.state, "harbour-school")


def test_revoked_key_is_refused_and_never_comes_back(zone):
    """A revoked key signs nothing, and nobody can register it again."""
    zone.run(UNIVERSITY, RevokeKey(key=key_of(UNIVERSITY, "service")))

    assert "unknown_key" == zone.reject(UNIVERSITY, EVIDENCE).name
    key = signing_key(UNIVERSITY, "service")
    again = AddKey(key=public_hex(key), roles=("service",), proof=zone.proof(UNIVERSITY, key))
    assert "key_taken" == zone.reject(UNIVERSITY, again).name
    stolen = AddKey(key=public_hex(key), roles=("service",), proof=zone.proof(BANK, key))
    assert "key_taken" == zone.reject(BANK, stolen).name


def test_rotated_key_takes_over(zone):
    """After a rotation the new key holds the roles of the old one, which holds none."""
    zone.run(UNIVERSITY, rotate_key(zone, UNIVERSITY, "system", "system-2"))

    assert "unknown_key" == zone.reject(UNIVERSITY, SetAddress(address="a.example:1")).name
    zone.run(UNIVERSITY, SetAddress(address="a.example:1"), key=signing_key(UNIVERSITY, "system-2"))
    assert key_of(UNIVERSITY, "system-2") == queries.system_key(zone.state, UNIVERSITY)
    assert (UNIVERSITY, key_of(UNIVERSITY, "system-2")) in queries.members(zone.state)


def test_key_speaks_for_its_organisation_only(zone):
    """A good signature by another organisation's key is refused."""
    assert "unknown_key" == zone.reject(BANK, EVIDENCE, key=signing_key(UNIVERSITY, "service")).name


def test_suspended_organisation_is_refused_until_reinstated(zone):
    """All that a suspended organisation signs is refused; reinstated, its keys are good again."""
    zone.run(HOSPITAL, SuspendOrganisation(organisation=BANK))

    assert "organisation_suspended" == zone.reject(BANK, EVIDENCE).name
    assert BANK not in [member.organisation for member in queries.members(zone.state)]
    zone.run(HOSPITAL, ReinstateOrganisation(organisation=BANK))
    zone.run(BANK, EVIDENCE)
    assert zone.get(ORGANISATIONS, BANK).suspended_at is None
    assert [] == zone.broken()


def test_suspended_validator_has_no_vote():
    """A suspended validator's own votes are refused, and it stays counted among the validators."""
    zone = Simulator(ALL, validators=ALL)
    for voter in (HOSPITAL, UNIVERSITY, CITY):
        zone.run(voter, SuspendOrganisation(organisation=BANK))

    assert "organisation_suspended" == zone.reject(BANK, admit("harbour-school")).name
    zone.run(HOSPITAL, admit("harbour-school"))
    zone.run(UNIVERSITY, admit("harbour-school"))
    assert not queries.is_active(zone.state, "harbour-school")


def test_new_motion_after_a_closed_round():
    """A vote after a motion's round has closed opens another motion; the old one stays on record."""
    zone = Simulator(ALL, validators=ALL)
    zone.run(HOSPITAL, SuspendOrganisation(organisation=BANK))
    first = zone.get(ORGANISATIONS, BANK).motion

    zone.run(HOSPITAL, SuspendOrganisation(organisation=BANK), at_ms=zone.time + 31 * DAY)

    second = zone.get(ORGANISATIONS, BANK).motion
    assert first != second
    assert ("open", "open") == (zone.get(MOTIONS, first).status, zone.get(MOTIONS, second).status)
    assert [] == zone.broken()


def test_recovery_replaces_all_keys(zone):
    """A finished recovery leaves the announced keys and no other, and a new recovery key where one was announced."""
    recovery = started(zone, recovery="recovery-2")
    assert "recovery_not_ready" == zone.reject(UNIVERSITY, FinishRecovery(recovery=recovery)).name

    zone.run(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.get(RECOVERIES, recovery).ready_at)

    for role in ("security", "registration", "service", "system", "recovery"):
        assert AUTHORITY.find_rights(zone.state, key_of(UNIVERSITY, role)) is None
    zone.run(UNIVERSITY, EVIDENCE, key=signing_key(UNIVERSITY, "system-2"))
    zone.run(UNIVERSITY, RenameOrganisation(name="State"), key=signing_key(UNIVERSITY, "security-2"))
    again = start_recovery(zone, UNIVERSITY, suffix="-3")
    zone.run(UNIVERSITY, again, key=signing_key(UNIVERSITY, "recovery-2"))
    assert "finished" == zone.get(RECOVERIES, recovery).status
    assert [] == zone.broken()


def test_cancelled_recovery_changes_no_key(zone):
    """A security key stops a recovery; the keys stay, and another may be announced."""
    recovery = started(zone)
    zone.run(UNIVERSITY, CancelRecovery(recovery=recovery))

    assert "no_recovery" == zone.reject(UNIVERSITY, FinishRecovery(recovery=recovery), role="recovery").name
    zone.run(UNIVERSITY, EVIDENCE)
    assert recovery != started(zone)
    assert [] == zone.broken()


def test_recovery_under_suspension_beats_a_thief(zone):
    """Who stole the security keys cannot cancel while the organisation is suspended, and has nothing afterwards."""
    zone.run(HOSPITAL, SuspendOrganisation(organisation=UNIVERSITY))
    recovery = started(zone)

    assert "organisation_suspended" == zone.reject(UNIVERSITY, CancelRecovery(recovery=recovery)).name
    zone.run(UNIVERSITY, FinishRecovery(recovery=recovery), at_ms=zone.time + 4 * DAY)
    assert "suspended" == zone.get(ORGANISATIONS, UNIVERSITY).status
    zone.run(HOSPITAL, ReinstateOrganisation(organisation=UNIVERSITY))
    assert "unknown_key" == zone.reject(UNIVERSITY, EVIDENCE).name
    zone.run(UNIVERSITY, EVIDENCE, key=signing_key(UNIVERSITY, "system-2"))


def test_recovery_key_is_good_for_nothing_else(zone):
    """The recovery key records no evidence and changes no key directly."""
    assert "role_missing" == zone.reject(UNIVERSITY, EVIDENCE, role="recovery").name
    message = add_key(zone, UNIVERSITY, "further", "security")
    assert "role_missing" == zone.reject(UNIVERSITY, message, role="recovery").name


def test_waiting_period_is_a_parameter():
    """A zone sets how long a recovery waits."""
    zone = Simulator(ALL, parameters=Parameters(recovery_wait_ms=5_000))
    recovery = started(zone)

    assert zone.time + 5_000 == zone.get(RECOVERIES, recovery).ready_at


def test_effects_begin_with_the_next_operation_of_the_state(zone):
    """In one atomic transaction a key is added and its organisation renamed; a refused one undoes both."""
    zone.run_atomic(
        UNIVERSITY,
        [add_key(zone, UNIVERSITY, "further", "service"), RevokeKey(key=key_of(UNIVERSITY, "service"))],
        role="security",
    )
    assert 4 == len(zone.get(ORGANISATIONS, UNIVERSITY).keys)

    with pytest.raises(RejectedError) as refused:
        zone.run_atomic(
            UNIVERSITY,
            [RevokeKey(key=key_of(UNIVERSITY, "registration")), RevokeKey(key=key_of(UNIVERSITY, "system"))],
            role="security",
        )
    assert "one_system_key" == refused.value.name
    assert zone.get(KEYS, key_of(UNIVERSITY, "registration")).revoked_at is None


def test_queries_tell_nothing_of_strangers():
    """Asked for what is not there, queries say so."""
    state = Simulator(ALL).state

    assert queries.find_organisation(state, "nobody") is None
    assert queries.find_key(state, "00" * 32) is None
    assert queries.find_recovery(state, "nobody") is None
    assert queries.find_recovery(state, BANK) is None
    assert [] == queries.keys_of(state, "nobody")
    assert not queries.is_active(state, "nobody")
    with pytest.raises(KeyError):
        queries.system_key(state, "nobody")
    assert [(HOSPITAL, key_of(HOSPITAL, "system"))] == queries.validators(state)


def test_waiting_recovery_is_found():
    """The recovery that waits is found by its organisation."""
    zone = Simulator(ALL)
    recovery = started(zone)

    found = queries.find_recovery(zone.state, UNIVERSITY)

    assert found is not None
    assert (recovery, UNIVERSITY) == (found[0], found[1].organisation)


@pytest.fixture(params=[Simulator, SignedSimulator])
def together(request):
    """Return a zone of four of which three order together and vote."""
    return request.param(ALL, orderer="", validators=ALL[:3])


def test_nobody_of_those_who_order_together_is_suspended(together):
    """Each of them stays, by the votes of whomever; a member that does not order can be suspended by their votes."""
    for voter, organisation in ((HOSPITAL, UNIVERSITY), (UNIVERSITY, BANK), (BANK, HOSPITAL)):
        assert "orderer_stays" == together.reject(voter, SuspendOrganisation(organisation=organisation)).name
    for voter in ALL[:3]:
        together.run(voter, SuspendOrganisation(organisation=CITY))
    assert not queries.is_active(together.state, CITY)
    assert [] == together.broken()


def test_invariants_hold_for_all_that_order_together(together):
    """Every one of them must be an active member, and among the validators."""
    assert [] == together.broken()
    where = (ORGANISATIONS.name, UNIVERSITY)
    intact = together.reader.records[where]
    suspended = msgspec.structs.replace(together.get(ORGANISATIONS, UNIVERSITY), status="suspended", suspended_at=1)
    together.reader.records[where] = ORGANISATIONS.encode(suspended)
    assert any(f"{UNIVERSITY}, which orders, is not an active member" in sentence for sentence in together.broken())
    together.reader.records[where] = intact
    zone = together.get(together.rulebook.collections["zone"], "zone")
    changed = msgspec.structs.replace(zone, validators=(*zone.validators, "nobody"))
    together.reader.records[("zone", "zone")] = together.rulebook.collections["zone"].encode(changed)
    assert any("nobody, which orders" in sentence for sentence in together.broken())


def test_system_key_of_one_that_orders_is_the_new_one_after_it_was_rotated(together):
    """Who orders with which key is read from the members' records, so a new key is good from the next block on."""
    together.run(UNIVERSITY, rotate_key(together, UNIVERSITY, "system", "system-2"))
    assert (UNIVERSITY, public_hex(signing_key(UNIVERSITY, "system-2"))) in queries.validators(together.state)
    assert [] == together.broken()


def test_fields_change_one_at_a_time(zone):
    """Pins and address are as the organisation last said."""
    zone.run(BANK, SetTlsPins(pins=()))
    zone.run(BANK, SetAddress(address=""))

    value = decode_json(zone.reader.read("organisations", BANK))
    assert "tls_pins" not in value
    assert "address" not in value


def test_damaged_records_break_invariants():
    """Each invariant notices what it is about."""
    zone = Simulator(ALL, validators=ALL[:3])
    started(zone)
    zone.run(HOSPITAL, SuspendOrganisation(organisation=BANK))
    zone.run(HOSPITAL, admit("harbour-school"))
    assert [] == zone.broken()
    motion = zone.get(ORGANISATIONS, BANK).motion
    fingerprint = card_fingerprint(make_card("harbour-school").card)
    damages = [
        (ORGANISATIONS, BANK, {"keys": ()}),
        (ORGANISATIONS, BANK, {"recovery": "00" * 32}),
        (ORGANISATIONS, BANK, {"status": "suspended"}),
        (ORGANISATIONS, BANK, {"motion": "mot-0000"}),
        (ORGANISATIONS, BANK, {"organisation": CITY}),
        (ORGANISATIONS, UNIVERSITY, {"recovering": None}),
        (KEYS, key_of(BANK, "security"), {"roles": ("service",)}),
        (KEYS, key_of(BANK, "service"), {"roles": ("system",)}),
        (KEYS, key_of(BANK, "service"), {"roles": ("root",)}),
        (KEYS, key_of(BANK, "service"), {"revoked_at": 0}),
        (KEYS, key_of(BANK, "service"), {"organisation": "nobody"}),
        (MOTIONS, motion, {"votes": (BANK,)}),
        (MOTIONS, motion, {"status": "carried"}),
        (MOTIONS, motion, {"question": "reinstate"}),
        (CANDIDATES, fingerprint, {"votes": (HOSPITAL, HOSPITAL)}),
        (CANDIDATES, fingerprint, {"status": "admitted"}),
        (ORGANISATIONS, HOSPITAL, {"status": "suspended", "suspended_at": 1}),
    ]
    for collection, key, changes in damages:
        where = (collection.name, key)
        intact = zone.reader.records[where]
        damaged = msgspec.structs.replace(zone.get(collection, key), **changes)
        zone.reader.records[where] = collection.encode(damaged)
        assert zone.broken(), (where, changes)
        zone.reader.records[where] = intact
    assert [] == zone.broken()


def test_missing_zone_breaks_an_invariant():
    """Validators that are no members, and a second zone record, are noticed."""
    zone = Simulator(ALL)
    record = zone.get(zone.rulebook.collections["zone"], "zone")
    for changed in (
        msgspec.structs.replace(record, validators=(HOSPITAL, "nobody")),
        msgspec.structs.replace(record, orderer=UNIVERSITY),
    ):
        zone.reader.records[("zone", "zone")] = zone.rulebook.collections["zone"].encode(changed)
        assert zone.broken()
    zone.reader.records[("zone", "zone")] = zone.rulebook.collections["zone"].encode(record)
    zone.reader.records[("zone", "other")] = zone.rulebook.collections["zone"].encode(record)
    assert zone.broken()
