"""Members, applications and keys, as the commands show them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tallystick.cli.key import ROLES
from tallystick.codec.cards import ROLES as KNOWN_ROLES
from tallystick.views import ApplicationView
from tests.unit.cli.conftest import Tally
from tests.unit.cli.simulated_zone import HOSPITAL, NOW, UNIVERSITY, SimulatedZone

FINGERPRINT = "0123456789abcdef" * 4


@pytest.fixture
def applied(zone: SimulatedZone) -> SimulatedZone:
    """A zone that a bank has applied to."""
    zone.waiting.append(
        ApplicationView(
            fingerprint=FINGERPRINT,
            organisation="harbour-bank",
            name="Harbour\x1b[2J Bank",
            address="",
            received_at=NOW,
            status="waiting",
        )
    )
    return zone


def test_members_are_listed(zone: SimulatedZone, tally: Tally) -> None:
    """The list shows who is a member, and which one is one's own."""
    ran = tally("organisation", "list")

    assert f"{HOSPITAL} (you)" in ran.out
    assert ran.next == "tally zone invite ORGANISATION"
    assert [each["id"] for each in tally("organisation", "list", "--json").json["organisations"]] == [
        HOSPITAL,
        UNIVERSITY,
    ]


@pytest.mark.usefixtures("applied")
def test_applications_are_shown_for_people_to_compare(tally: Tally) -> None:
    """The fingerprint is grouped for reading out, and the next command does not hand it over ready to paste."""
    ran = tally("organisation", "list")

    assert "0123 4567 89ab cdef" in ran.out
    assert "by telephone or in person" in ran.out
    assert FINGERPRINT not in ran.next
    assert "\x1b" not in ran.out


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize("typed", [FINGERPRINT, FINGERPRINT.upper(), "0123 4567 89AB CDEF " * 4])
def test_an_applicant_is_admitted_by_the_fingerprint_that_was_heard(typed: str, tally: Tally) -> None:
    """Spaces and case do not matter."""
    ran = tally("organisation", "admit", "harbour-bank", "--fingerprint", typed)

    assert "harbour-bank is a member: 1 vote of 1." in ran.out
    assert ran.next == "tally organisation show harbour-bank"


@pytest.mark.usefixtures("applied")
def test_another_fingerprint_is_refused(tally: Tally) -> None:
    """A card that is not the one read out is not admitted, with exit code 1."""
    assert tally("organisation", "admit", "harbour-bank", "--fingerprint", "ff" * 32).code == 1
    assert tally("organisation", "admit", "harbour-bank").code == 2


@pytest.mark.parametrize("verb", ["suspend", "reinstate"])
def test_members_vote_on_each_other(verb: str, zone: SimulatedZone, tally: Tally) -> None:
    """A vote is recorded and counted."""
    assert tally("organisation", verb, UNIVERSITY).code == 0
    assert zone.history[-1].type == f"{verb}_organisation"


def test_a_member_is_shown_with_its_keys(zone: SimulatedZone, tally: Tally) -> None:
    """Keys are shown whole; where a private key is, is only for its owner to know."""
    assert "a1" * 32 in tally("organisation", "show", UNIVERSITY).out
    assert "HELD HERE" not in tally("organisation", "show", UNIVERSITY).out
    assert "HELD HERE" in tally("organisation", "show", HOSPITAL).out
    assert tally("organisation", "show", "nobody").code == 2


def test_address_and_name_are_registered(zone: SimulatedZone, tally: Tally) -> None:
    """Both are entries on the ledger."""
    assert tally("organisation", "address", "node.example:7071").code == 0
    assert tally("organisation", "rename", "City Hospital").code == 0
    assert [each.type for each in zone.history] == ["set_address", "rename_organisation"]


def test_the_roles_are_those_of_the_ledger() -> None:
    """Help names every role, and no other."""
    assert tuple(ROLES.split(", ")) == KNOWN_ROLES


def test_a_ledger_key_is_made_of_one_role(zone: SimulatedZone, tally: Tally) -> None:
    """One role, and none of what only API keys have."""
    assert "The service key " + "cd" * 32 in tally("key", "create", "--role", "service").out

    for wrong in ((), ("--role", "service", "--role", "system"), ("--role", "service", "--days", "3")):
        assert tally("key", "create", *wrong).code == 2
    assert [each.type for each in zone.history] == ["add_key"]


def test_the_secret_of_an_api_key_is_shown_once(zone: SimulatedZone, tally: Tally) -> None:
    """It is in the answer that made the key, and in no list."""
    made = tally("key", "create", "--api", "notebook", "--role", "service", "--scope", "city-hospital/*")

    assert "secret:   tally_key00000_secret" in made.out
    assert "good for: city-hospital/*" in made.out
    assert "secret" not in tally("key", "list").out
    assert tally("key", "create", "--api", "notebook").code == 2


def test_the_secret_of_an_api_key_may_go_to_a_private_file(zone: SimulatedZone, tally: Tally) -> None:
    """With --out it is on no screen, and only its owner can read the file."""
    before = os.umask(0)
    try:
        made = tally("key", "create", "--api", "n", "--role", "service", "--days", "3", "--out", "k.txt", "--json")
    finally:
        os.umask(before)

    assert "tally_" not in made.out
    assert made.json["file"] == "k.txt"
    assert Path("k.txt").read_text() == "tally_key00000_secret\n"
    assert stat.S_IMODE(Path("k.txt").stat().st_mode) == 0o600


def test_no_key_is_made_where_its_secret_has_no_place(zone: SimulatedZone, tally: Tally) -> None:
    """A file that is there is not overwritten, and a refused key leaves no empty file."""
    Path("k.txt").write_text("precious")

    assert tally("key", "create", "--api", "n", "--role", "service", "--out", "k.txt").code == 2
    assert (Path("k.txt").read_text(), zone.users) == ("precious", [])
    assert tally("key", "create", "--api", "n", "--role", "king", "--out", "new.txt").code == 2
    assert not Path("new.txt").exists()


def test_both_kinds_of_keys_are_listed(zone: SimulatedZone, tally: Tally) -> None:
    """Ledger keys are shortened in the list, and whole when one is shown."""
    zone.create_api_key("notebook", ["service"])
    listed = tally("key", "list")

    assert "a1" * 6 in listed.out
    assert "a1" * 32 not in listed.out
    assert "notebook" in listed.out
    assert "a1" * 32 in tally("key", "show", "a1" * 6).out
    assert "notebook" in tally("key", "show", "key00000").out
    assert len(tally("key", "list", "--json").json["ledger_keys"]) == 3


def test_a_key_is_rotated_and_revoked_by_its_beginning(zone: SimulatedZone, tally: Tally) -> None:
    """Eight digits of a ledger key will do; an API key goes by its id."""
    zone.create_api_key("notebook", ["service"])

    assert "It replaces " + "a2" * 32 in tally("key", "rotate", "service", "--key", "a2a2a2a2").out
    assert "The service key " + "a2" * 32 + " is revoked." in tally("key", "revoke", "A2A2A2A2A2").out
    assert "The API key key00000 (notebook) is revoked." in tally("key", "revoke", "key00000").out
    assert zone.users[0].status == "revoked"


@pytest.mark.parametrize("text", ["a2a2", "ffffffffff", ""])
def test_a_key_that_could_be_any_is_not_touched(text: str, zone: SimulatedZone, tally: Tally) -> None:
    """Too short a beginning, or one of no key, is bad usage."""
    assert tally("key", "revoke", text).code == 2
    assert tally("key", "rotate", "service", "--key", text).code == 2
    assert zone.history == []


def test_a_ledger_key_is_not_rotated_by_an_api_key(zone: SimulatedZone, tally: Tally) -> None:
    """The two kinds are not mixed up."""
    zone.create_api_key("notebook", ["service"])

    assert tally("key", "rotate", "service", "--key", "key00000").code == 2
