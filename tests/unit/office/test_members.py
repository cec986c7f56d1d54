"""Members: applications by card, admission by a fingerprint that was heard elsewhere, votes, suspension."""

import pytest
from nacl.signing import SigningKey

from tallystick.codec import encode_json
from tallystick.codec.cards import card_fingerprint
from tallystick.dataplane.refusals import PeerBusyError
from tallystick.errors import RejectedError, UsageError
from tallystick.modules.organisations.possession import consensus_possession_message
from tallystick.node.homes import make_card
from tallystick.office import members as members_module
from tallystick.office.refusals import CardMismatchError, NotFoundError
from tests.support.offices import make_blueprint, make_store_of_keys, open_zone
from tests.support.zones import BANK, HOSPITAL, UNIVERSITY
from tests.support.zones import make_card as make_simulated_card

CITY = "city-agency"


@pytest.fixture(scope="session")
def three_votes(tmp_path_factory):
    """A zone in which all three members vote."""
    members = (HOSPITAL, UNIVERSITY, BANK)
    return make_blueprint(tmp_path_factory.mktemp("voters"), members, members)


@pytest.fixture
async def voters(three_votes, tmp_path):
    """That zone, running."""
    async with open_zone(three_votes, tmp_path / "voters") as made:
        yield made


@pytest.fixture
def card(tmp_path):
    """The card of a city agency that wants to join."""
    keys = make_store_of_keys(tmp_path / "city" / "keys")
    return make_card(keys, organisation=CITY, name="City Agency", address="city.example:7071")


async def test_applicant_becomes_a_member(zone, card):
    """A card comes in, its fingerprint is compared, and every copy has the new member with its keys."""
    office = zone[HOSPITAL]
    fingerprint = office.members.receive_application(encode_json(card))
    assert card_fingerprint(card.card) == fingerprint
    (application,) = office.members.applications()
    assert (CITY, "waiting", "city.example:7071") == (application.organisation, application.status, application.address)
    spelled = " ".join(fingerprint[at : at + 4].upper() for at in range(0, 64, 4))
    vote = await office.members.admit(CITY, spelled)
    assert (True, 1, 1) == (vote.carried, vote.votes, vote.validators)
    await zone.settle()
    for name in (HOSPITAL, UNIVERSITY):
        shown = zone[name].members.show(CITY)
        assert ("active", False, 5) == (shown.status, shown.mine, len(shown.keys))
    assert "admitted" == office.members.application_status(fingerprint)
    assert () == office.members.applications()
    assert 1 == len(office.members.applications(decided=True))


async def test_wrong_fingerprint_admits_nobody(zone, card):
    """A card that somebody else slipped in is refused, with what to compare, and nothing is signed."""
    office = zone[HOSPITAL]
    fingerprint = office.members.receive_application(card)
    size = zone.engine.state.frontier.size
    for typed in ("0" * 64, fingerprint[:-1], fingerprint[:-1] + "g", "", "\u00e9", fingerprint[::-1]):
        with pytest.raises(CardMismatchError) as raised:
            await office.members.admit(CITY, typed)
        assert "Do not admit" in raised.value.remedy
    with pytest.raises(NotFoundError):
        await office.members.admit("nobody", fingerprint)
    assert size == zone.engine.state.frontier.size


async def test_two_cards_for_one_id(zone, card):
    """Of two applicants with the same id the one whose fingerprint was heard is admitted, the other is refused."""
    office = zone[HOSPITAL]
    false = office.members.receive_application(make_simulated_card(CITY))
    true = office.members.receive_application(card)
    await office.members.admit(CITY, true)
    assert ("admitted", "refused") == (
        office.members.application_status(true),
        office.members.application_status(false),
    )
    with pytest.raises(RejectedError) as raised:
        await office.members.admit(CITY, false)
    assert "organisation_exists" == raised.value.name


async def test_card_that_was_handed_over(zone, card):
    """A card need not come over the network: it is compared all the same."""
    with pytest.raises(CardMismatchError):
        await zone[HOSPITAL].members.admit(CITY, "0" * 64, card=card)
    assert (await zone[HOSPITAL].members.admit(CITY, card_fingerprint(card.card), card=card)).carried


async def test_applications_that_are_refused(zone, card):
    """Bad cards, taken ids, and a node that is full say so; the same card twice is one application."""
    office = zone[HOSPITAL]
    good = encode_json(card)
    for bad in (b"", b"{}", good[:-1], good.replace(b"City Agency", b"City Agenci"), good + b" ", b"\xff" * 100):
        with pytest.raises(UsageError, match="not a good card"):
            office.members.receive_application(bad)
    with pytest.raises(UsageError, match="member already"):
        office.members.receive_application(make_simulated_card(BANK))
    assert office.members.receive_application(good) == office.members.receive_application(card)
    assert 1 == len(office.members.applications())
    with pytest.raises(NotFoundError):
        office.members.application_status("0" * 64)


async def test_full_house_of_applications(zone, card, monkeypatch):
    """Strangers cannot fill this node: beyond a number they are told to wait, and refusing some makes room."""
    monkeypatch.setattr(members_module, "MAX_WAITING", 2)
    office = zone[HOSPITAL]
    first = office.members.receive_application(make_simulated_card("one-agency"))
    office.members.receive_application(make_simulated_card("two-agency"))
    with pytest.raises(PeerBusyError):
        office.members.receive_application(card)
    assert "refused" == office.members.refuse_application(first).status
    office.members.receive_application(card)
    with pytest.raises(NotFoundError):
        office.members.refuse_application("0" * 64)


async def test_more_than_two_thirds_admit(voters, card):
    """Three validators: two votes are not enough, three are; each votes once."""
    fingerprint = card_fingerprint(card.card)
    for name in (HOSPITAL, UNIVERSITY, BANK):
        voters[name].members.receive_application(card)
    first = await voters[HOSPITAL].members.admit(CITY, fingerprint)
    assert (False, 1, 3) == (first.carried, first.votes, first.validators)
    with pytest.raises(RejectedError) as raised:
        await voters[HOSPITAL].members.admit(CITY, fingerprint)
    assert "already_voted" == raised.value.name
    second = await voters[UNIVERSITY].members.admit(CITY, fingerprint)
    assert (False, 2) == (second.carried, second.votes)
    await voters.settle()
    assert (HOSPITAL, UNIVERSITY) == tuple(sorted(voters[BANK].members.applications()[0].votes))
    assert (await voters[BANK].members.admit(CITY, fingerprint)).carried


async def test_other_validators_find_the_card_in_the_first_vote(voters, card):
    """The applicant asked one member; the others vote on the card that its vote carries, by the same fingerprint."""
    fingerprint = voters[HOSPITAL].members.receive_application(card)
    assert () == voters[BANK].members.applications()
    await voters[HOSPITAL].members.admit(CITY, fingerprint)
    await voters.settle()
    (found,) = voters[BANK].members.applications()
    assert (fingerprint, CITY, (HOSPITAL,)) == (found.fingerprint, found.organisation, found.votes)
    with pytest.raises(CardMismatchError):
        await voters[UNIVERSITY].members.admit(CITY, "0" * 64)
    for name in (UNIVERSITY, BANK):
        vote = await voters[name].members.admit(CITY, fingerprint)
    assert vote.carried
    assert () == voters[BANK].members.applications()


async def test_who_does_not_validate_has_no_vote(zone, card):
    """A member that is no validator is refused by number."""
    zone[UNIVERSITY].members.receive_application(card)
    with pytest.raises(RejectedError) as raised:
        await zone[UNIVERSITY].members.admit(CITY, card_fingerprint(card.card))
    assert "not_validator" == raised.value.name


async def test_suspension_and_reinstatement(voters, table):
    """A suspended member records nothing until it is reinstated."""
    members = [voters[name].members for name in (HOSPITAL, UNIVERSITY)]
    assert not (await members[0].suspend(BANK)).carried
    assert (await members[1].suspend(BANK)).carried
    await voters.settle()
    assert "suspended" == voters[UNIVERSITY].members.show(BANK).status
    with pytest.raises(RejectedError) as raised:
        await voters[BANK].datasets.offer(table, name="loans", title="Loans", field="finance")
    assert "organisation_suspended" == raised.value.name
    await members[0].reinstate(BANK)
    assert (await members[1].reinstate(BANK)).carried
    await voters.settle()
    await voters[BANK].datasets.offer(table, name="loans", title="Loans", field="finance")


def engine_of(zone, organisation):
    """Return what an organisation announces of an engine of its own."""
    key = SigningKey.generate()
    consensus = bytes(key.verify_key).hex()
    message = consensus_possession_message(zone.nodes[organisation].store.chain, organisation, consensus)
    return {
        "consensus": consensus,
        "node": consensus[:40],
        "address": f"{organisation}.example:26656",
        "proof": key.sign(message).signature.hex(),
    }


async def test_promotion_and_demotion(zone):
    """A member gets a vote by the one vote of the orderer, loses it again, and stays a member."""
    votes = zone[HOSPITAL].members
    vote = await votes.promote(UNIVERSITY)
    assert (True, 1, 1) == (vote.carried, vote.votes, vote.validators)
    await zone.settle()
    assert (True, False) == _place(zone[BANK].members.show(UNIVERSITY))
    assert not (await votes.promote(BANK)).carried
    assert (await zone[UNIVERSITY].members.promote(BANK)).carried
    assert not (await votes.demote(UNIVERSITY)).carried
    await zone.settle()
    assert (await zone[BANK].members.demote(UNIVERSITY)).carried
    await zone.settle()
    assert ("active", False) == (
        zone[BANK].members.show(UNIVERSITY).status,
        zone[BANK].members.show(UNIVERSITY).validates,
    )


def _place(member):
    return member.validates, member.orders


async def test_engine_is_announced_and_shown(zone):
    """What an organisation says of its engine is on its entry in every copy; a proof of another one is refused."""
    said = engine_of(zone, UNIVERSITY)
    assert zone[BANK].members.show(UNIVERSITY).engine is None
    recorded = await zone[UNIVERSITY].own.set_engine(**said)
    await zone.settle()
    shown = zone[BANK].members.show(UNIVERSITY).engine
    assert (said["consensus"], said["node"], said["address"]) == (shown.consensus, shown.node, shown.address)
    assert recorded.height > 0
    with pytest.raises(RejectedError) as raised:
        await zone[BANK].own.set_engine(**engine_of(zone, UNIVERSITY))
    assert "bad_proof" == raised.value.name


async def test_order_is_handed_over_by_all(voters):
    """Every validator agrees, once each has an engine; with the last one nobody orders alone any more."""
    with pytest.raises(RejectedError) as raised:
        await voters[HOSPITAL].members.hand_over()
    assert "no_engine" == raised.value.name
    for name in (HOSPITAL, UNIVERSITY, BANK):
        await voters[name].own.set_engine(**engine_of(voters, name))
    votes = [await voters[name].members.hand_over() for name in (HOSPITAL, UNIVERSITY, BANK)]
    assert [(1, False), (2, False), (3, True)] == [(vote.votes, vote.carried) for vote in votes]
    assert all(member.orders for member in voters[HOSPITAL].members.list())


async def test_votes_that_make_no_sense(voters):
    """On oneself, on nobody, on the orderer, or against what is: refused by name."""
    for vote, name in (
        (voters[HOSPITAL].members.suspend(HOSPITAL), {"own_case", "orderer_stays"}),
        (voters[UNIVERSITY].members.suspend(HOSPITAL), {"orderer_stays"}),
        (voters[HOSPITAL].members.suspend("nobody"), {"unknown_organisation"}),
        (voters[HOSPITAL].members.reinstate(BANK), {"not_suspended"}),
        (voters[HOSPITAL].members.promote(BANK), {"already_validator"}),
        (voters[HOSPITAL].members.demote("nobody"), {"unknown_organisation"}),
        (voters[UNIVERSITY].members.demote(HOSPITAL), {"orderer_stays"}),
    ):
        with pytest.raises(RejectedError) as raised:
            await vote
        assert raised.value.name in name


async def test_members_are_listed_with_what_is_one_s_own(zone):
    """Every member is listed; which keys are held here is said of one's own alone."""
    listed = {member.id: member for member in zone[UNIVERSITY].members.list()}
    assert {HOSPITAL, UNIVERSITY, BANK} == set(listed)
    assert (True, True) == (listed[HOSPITAL].orders, listed[HOSPITAL].validates)
    assert [True] * 5 == [key.held_here for key in listed[UNIVERSITY].keys]
    assert [False] * 5 == [key.held_here for key in listed[BANK].keys]
    with pytest.raises(NotFoundError):
        zone[UNIVERSITY].members.show("nobody")
