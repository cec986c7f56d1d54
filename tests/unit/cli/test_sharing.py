"""Offering, asking, deciding and fetching, as the commands show it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tallystick.cli.dataset import FIELDS
from tallystick.modules.catalogue.presets import PRESETS
from tallystick.modules.catalogue.records import FIELDS as KNOWN_FIELDS
from tests.unit.cli.conftest import Ran, Tally
from tests.unit.cli.simulated_zone import HASH, HOSPITAL, UNIVERSITY, SimulatedZone


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table to offer."""
    path = tmp_path / "d.csv"
    path.write_text("id,name\n1,Ana\n")
    return path


@pytest.fixture
def offered(zone: SimulatedZone, tally: Tally, table: Path) -> str:
    """A dataset that is offered."""
    ran = tally("dataset", "offer", "d.csv", "--name", "d", "--title", "Discharges", "--field", "health", "--json")
    assert ran.code == 0
    return str(ran.json["name"])


def test_the_fields_of_work_are_those_of_the_ledger() -> None:
    """Help names every field of work that can be offered under, and no other."""
    assert tuple(FIELDS.split(", ")) == KNOWN_FIELDS


def test_the_presets_are_those_of_the_ledger(tally: Tally) -> None:
    """Help names every preset of terms."""
    shown = " ".join(tally("dataset", "offer", "--help").out.split())

    assert [name for name in PRESETS if name != "default" and name not in shown] == []


def test_an_offer_says_what_was_offered(zone: SimulatedZone, tally: Tally, table: Path) -> None:
    """A relative path is made whole, and the answer shows size, terms, place on the ledger, and what to type next."""
    ran = tally("dataset", "offer", "d.csv", "--name", "d", "--title", "T", "--terms", "research-90d")

    assert zone.asked == [("offer", {"path": table, "terms": "research-90d", "field": "other"})]
    assert "city-hospital/d is offered: 14 bytes, 1 file, 2 rows, 2 columns." in ran.out
    assert "Recorded in block 1, entry 0" in ran.out
    assert ran.next == "tally dataset show city-hospital/d"


def test_terms_may_come_from_a_file(zone: SimulatedZone, tally: Tally, table: Path) -> None:
    """A file with an ODRL policy is read here, and its content goes to the node."""
    Path("terms.json").write_text(json.dumps({"permission": []}))

    tally("dataset", "offer", "d.csv", "--name", "d", "--title", "T", "--terms", "terms.json")

    assert zone.asked[0][1]["terms"] == {"permission": []}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "terms.json is not JSON"),
        (b"[]", "not an ODRL policy"),
        (b"\xff\xfe", "not JSON"),
        (None, "cannot be read"),
    ],
)
def test_bad_terms_are_bad_usage(
    content: bytes | None, said: str, zone: SimulatedZone, tally: Tally, table: Path
) -> None:
    """A file that is no policy is named, and nothing is asked of the node."""
    if content is not None:
        Path("terms.json").write_bytes(content)

    ran = tally("dataset", "offer", "d.csv", "--name", "d", "--title", "T", "--terms", "terms.json")

    assert (ran.code, zone.asked) == (2, [])
    assert said in ran.err


def test_what_is_not_there_is_not_offered(zone: SimulatedZone, tally: Tally) -> None:
    """A path that leads nowhere is bad usage."""
    ran = tally("dataset", "offer", "gone.csv", "--name", "d", "--title", "T")

    assert (ran.code, zone.asked) == (2, [])
    assert "there is no gone.csv" in ran.err


def test_one_s_own_datasets_need_no_organisation(offered: str, tally: Tally) -> None:
    """A name without an organisation is one's own."""
    assert tally("dataset", "show", "d").out == tally("dataset", "show", offered).out


def test_a_dataset_is_shown_whole(offered: str, tally: Tally) -> None:
    """Fingerprints are shown whole, with terms and columns; JSON has all of the view."""
    ran = tally("dataset", "show", offered)

    assert f"fingerprint: {HASH}" in ran.out
    assert "The owner decides each request." in ran.out
    assert "name  string" in ran.out
    assert tally("dataset", "show", offered, "--json").json["latest"]["fingerprint"] == HASH


def test_found_datasets_are_listed(offered: str, tally: Tally) -> None:
    """A search shows what is offered and how to go on; one without a result says so."""
    found = tally("dataset", "find", "Discharges")

    assert offered in found.out
    assert found.next == f"tally dataset show {offered}"
    assert tally("dataset", "find", "nothing").out.startswith("Nothing of that kind is offered.")
    assert tally("dataset", "find", "--json").json["total"] == 1


def test_a_withdrawn_dataset_is_still_listed(offered: str, tally: Tally) -> None:
    """Withdrawing ends the offer, not the entry."""
    assert tally("dataset", "withdraw", "d").code == 0

    assert tally("dataset", "find").out.startswith("Nothing")
    assert "withdrawn" in tally("dataset", "list").out


def test_a_revision_changes_what_was_given_alone(offered: str, zone: SimulatedZone, tally: Tally) -> None:
    """Options that are not given change nothing; none at all is bad usage."""
    assert tally("dataset", "revise", "d", "--title", "New", "--file", "d.csv").code == 0

    assert zone.asked[-1] == ("revise", {"source": Path("d.csv").absolute(), "title": "New"})
    assert tally("dataset", "revise", "d").code == 2


def test_the_data_of_others_cannot_take_over_a_preview(offered: str, tally: Tally) -> None:
    """Cells are shown without control signs, under the names of their columns as they are."""
    ran = tally("dataset", "preview", "d")

    assert ran.out.splitlines()[:3] == ["id  name", "1   \u674e\u96f7", "2   Ana[2J"]
    assert "\x1b" not in tally("dataset", "preview", "d", "--json").out


def asked_by_the_university(zone: SimulatedZone, tally: Tally, offered: str) -> str:
    """Let the university ask for a dataset, and go back to the hospital."""
    university = SimulatedZone(UNIVERSITY)
    university.asks = zone.asks
    request = university.request(offered, "A study")
    return request.id


def test_a_request_is_sent_and_waits(offered: str, tally: Tally, zone: SimulatedZone) -> None:
    """Sending says whom it waits for."""
    ran = tally("request", "send", offered, "--purpose", "A study", "--version", "1", "--comment", "Thanks")

    assert zone.asked[-1] == ("request", {"version": 1, "proposal": None, "comment": "Thanks"})
    assert "req-0000: city-hospital is asked for city-hospital/d" in ran.out
    assert ran.next.startswith("tally request show req-0000")


def test_requests_that_wait_for_you_are_named(offered: str, tally: Tally, zone: SimulatedZone) -> None:
    """The list says `you`, and --waiting leaves out all others."""
    request = asked_by_the_university(zone, tally, offered)

    assert "you" in tally("request", "list").out
    assert [each["id"] for each in tally("request", "list", "--waiting", "--json").json] == [request]
    assert tally("request", "show", request).next.startswith(f"tally request approve {request}")
    assert tally("request", "list", "--direction", "sideways").code == 2


def test_an_approved_request_leads_to_its_agreement(offered: str, tally: Tally, zone: SimulatedZone) -> None:
    """Approving names the agreement; doing it twice is refused by the ledger, by number."""
    request = asked_by_the_university(zone, tally, offered)

    approved, again = tally("request", "approve", request), tally("request", "approve", request)

    assert f"{request} is approved; the agreement is agr-0000." in approved.out
    assert approved.next == "tally agreement show agr-0000"
    assert (again.code, again.out) == (1, "")
    assert "(request_already_decided, 3014)" in again.err
    assert "approved" in tally("request", "list").out


@pytest.mark.parametrize("verb", [("reject", "--why", "Too wide"), ("cancel",)])
def test_a_request_can_end_otherwise(verb: tuple[str, ...], offered: str, tally: Tally, zone: SimulatedZone) -> None:
    """Rejected or taken back, the next step is the receipt of it."""
    request = asked_by_the_university(zone, tally, offered)

    ran = tally("request", verb[0], request, *verb[1:])

    assert ran.code == 0
    assert ran.next == f"tally receipt export {request}"


def test_a_counter_offer_carries_its_terms(offered: str, tally: Tally, zone: SimulatedZone) -> None:
    """Terms of a counter-offer are a preset or a file, as in an offer."""
    request = asked_by_the_university(zone, tally, offered)

    assert tally("request", "counter", request, "--terms", "internal-use-1y", "--comment", "A year").code == 0
    assert zone.asked[-1] == ("counter", {"policy": "internal-use-1y", "comment": "A year"})


@pytest.fixture
def agreement(offered: str, tally: Tally, zone: SimulatedZone) -> str:
    """An agreement between the two."""
    return str(tally("request", "approve", asked_by_the_university(zone, tally, offered), "--json").json["agreement"])


def test_an_agreement_is_shown_and_ended(agreement: str, tally: Tally) -> None:
    """It is in force until one side ends it, and says so."""
    assert "in force" in tally("agreement", "list", "--state", "in_force").out
    assert "state:     in force" in tally("agreement", "show", agreement).out

    ended = tally("agreement", "terminate", agreement, "--why", "Over")

    assert f"{agreement} is terminated" in ended.out
    assert tally("agreement", "show", agreement, "--json").json["state"] == "terminated"
    assert tally("agreement", "list", "--state", "in_force").out.startswith("No agreements yet")


@pytest.mark.parametrize(("to", "path"), [((), "/inbox/d.csv"), (("--to", "here"), "here/d.csv")])
def test_fetched_data_says_where_it_is(to: tuple[str, ...], path: str, agreement: str, tally: Tally) -> None:
    """Without --to it is in the node's inbox; the path is printed either way."""
    ran = tally("delivery", "fetch", agreement, *to)

    assert f"path:        {path}" in ran.out
    assert f"fingerprint: {HASH}, as on the ledger" in ran.out
    assert ran.next.startswith("tally receipt export dlv-0000")
    assert tally("delivery", "fetch", agreement, *to, "--json").json["path"] == path


def test_nothing_is_fetched_without_an_agreement(agreement: str, tally: Tally) -> None:
    """After its end a fetch is refused with exit code 1."""
    tally("agreement", "terminate", agreement, "--why", "Over")

    ran = tally("delivery", "fetch", agreement)

    assert (ran.code, ran.out) == (1, "")
    assert "there is no agreement in force" in ran.err


def test_a_delivery_can_be_disputed_and_answered(agreement: str, tally: Tally) -> None:
    """The list shows a dispute, and whose turn it is."""
    tally("delivery", "fetch", agreement)

    assert tally("delivery", "dispute", "dlv-0000", "--why", "Columns").code == 0
    assert "received, disputed" in tally("delivery", "list").out
    assert tally("delivery", "show", "dlv-0000").next.startswith("tally delivery answer dlv-0000")
    assert tally("delivery", "answer", "dlv-0000", "--what", "Version 2").code == 0
    assert "dispute answered" in tally("delivery", "show", "dlv-0000").out
    assert tally("delivery", "list", "--direction", "x").code == 2


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("waiting", "has not arrived here yet"),
        ("other", "only the parties can read it"),
        ("lost", "ask the other party"),
        ("refused", "refused: not what was committed to"),
        ("verified", "  purpose: two\n           lines"),
    ],
)
def test_what_parties_said_is_shown_as_far_as_it_is_known(
    status: Any, shown: str, offered: str, tally: Tally, zone: SimulatedZone
) -> None:
    """A value is shown where it is what was committed to, otherwise why it is not."""
    from msgspec.structs import replace

    from tallystick.views import PrivateValues

    request = asked_by_the_university(zone, tally, offered)
    said = PrivateValues(
        about="sent",
        author=UNIVERSITY,
        commitment=HASH,
        status=status,
        fields={"purpose": "two\nlines\x1b[2J"} if status == "verified" else {},
        reason="not what was committed to" if status == "refused" else "",
    )
    zone.asks[request] = replace(zone.asks[request], private=(said,))

    ran = tally("request", "show", request)

    assert shown in ran.out
    assert "\x1b" not in ran.out


def hostile_dataset(zone: SimulatedZone, name: str) -> None:
    """Put signs that act into every text of a dataset."""
    from msgspec.structs import replace

    text = "x\x1b]0;owned\x07\u202ey\nnext: tally node run\r\x9b2J"
    zone.datasets[name] = replace(
        zone.datasets[name], title=text, description=text, licence=text, source=text, keywords=(text,)
    )


@pytest.mark.parametrize(
    "arguments", [("dataset", "list"), ("dataset", "find"), ("dataset", "show", "d"), ("dataset", "list", "--json")]
)
def test_texts_of_others_never_reach_the_terminal_raw(
    arguments: tuple[str, ...], offered: str, zone: SimulatedZone, tally: Tally
) -> None:
    """Neither text nor JSON lets a title move the cursor, turn text around or forge a line."""
    hostile_dataset(zone, offered)

    ran: Ran = tally(*arguments)

    assert not set(ran.out) & set("\x1b\x07\u202e\r\x9b")
    assert not any(line.startswith("next: tally node run") for line in ran.out.splitlines())


def test_errors_of_others_never_reach_the_terminal_raw(
    zone: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a node answers is one line on stderr, whatever is in it."""
    from tallystick.errors import PeerError, RejectedError

    for error in (PeerError("a\x1b[2J\nb", remedy="c\u202ed"), RejectedError(1, "n\x1b", "m\n\x9b")):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(zone, "find", fail)
        ran = tally("dataset", "list")
        assert len(ran.err.splitlines()) == 1
        assert not set(ran.err) & set("\x1b\x9b\u202e")


def test_commands_name_the_home_that_they_were_given(
    offered: str, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What to type next works as it stands: with --home where that is needed, without where it is understood."""
    assert tally("dataset", "show", "d", "--home", "a b").next.endswith("--home 'a b'")
    assert "--home" not in tally("dataset", "show", "d").next
    monkeypatch.setenv("TALLY_HOME", "elsewhere")
    assert "--home" not in tally("dataset", "show", "d").next
    assert HOSPITAL in tally("dataset", "show", "d").out
