"""Receipts, evidence and the history, as the commands show them; verifying is done on real proofs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Tally
from tests.unit.cli.simulated_zone import UNIVERSITY, SimulatedZone

VECTORS = Path(__file__).parents[2] / "vectors" / "proofs"
EXPECTED = json.loads((VECTORS / "expected.json").read_text())
GOOD = sorted(name for name in EXPECTED if name.endswith(".receipt.json") and "summary" in EXPECTED[name])
REFUSED = sorted(name for name in EXPECTED if name.endswith(".receipt.json") and "reason" in EXPECTED[name])


@pytest.mark.parametrize("name", GOOD)
def test_a_good_receipt_holds(name: str, tally: Tally) -> None:
    """It exits 0 and says by how many the operation was ordered and witnessed."""
    zone = str(VECTORS / EXPECTED[name]["zone"])

    ran = tally("receipt", "verify", str(VECTORS / name), "--zone", zone)

    assert (ran.code, ran.err) == (0, "")
    assert f"The receipt holds: {EXPECTED[name]['summary']}." in ran.out
    shown = tally("receipt", "verify", str(VECTORS / name), "--zone", zone, "--json").json
    assert (shown["ok"], shown["outcome"]) == (True, EXPECTED[name]["outcome"])


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_receipt_is_refused(name: str, tally: Tally) -> None:
    """It exits 1 with the reason and a remedy in one line, and prints nothing that could be taken for a result."""
    zone = str(VECTORS / EXPECTED[name]["zone"])

    ran = tally("receipt", "verify", str(VECTORS / name), "--zone", zone, "--json")

    assert (ran.code, ran.out, len(ran.err.splitlines())) == (1, "", 1)
    assert " — " in ran.err


def test_the_trust_file_of_the_home_is_taken(tmp_path: Path, tally: Tally) -> None:
    """Without --zone the home's own zone.json is what is trusted; without either it is bad usage."""
    receipt = str(VECTORS / "accepted-0.receipt.json")
    (tmp_path / "zone.json").write_bytes((VECTORS / "zone.json").read_bytes())

    assert tally("receipt", "verify", receipt, "--home", str(tmp_path)).code == 0
    ran = tally("receipt", "verify", receipt, "--home", str(tmp_path / "none"))
    assert ran.code == 2
    assert "--zone zone.json" in ran.err


@pytest.mark.parametrize("missing", ["receipt", "zone"])
def test_a_file_that_is_missing_is_bad_usage(missing: str, tally: Tally) -> None:
    """It is named, and is not taken for a receipt that fails."""
    files = {"receipt": str(VECTORS / "accepted-0.receipt.json"), "zone": str(VECTORS / "zone.json")}
    files[missing] = "gone.json"

    ran = tally("receipt", "verify", files["receipt"], "--zone", files["zone"])

    assert ran.code == 2
    assert "gone.json" in ran.err


def test_a_receipt_can_be_read_unverified(tally: Tally) -> None:
    """What a file says is shown as just that, with how to verify it."""
    ran = tally("receipt", "show", str(VECTORS / "accepted-0.receipt.json"))

    assert ran.code == 0
    assert "verified: no" in ran.out
    assert "ordered by: city " in " ".join(ran.out.split())
    assert ran.next.startswith("tally receipt verify ")


def test_all_who_ordered_together_are_named(tally: Tally) -> None:
    """Shown or verified, a receipt of several that order together says which of them signed, and how many must."""
    receipt = str(VECTORS / "together-3.receipt.json")

    shown = tally("receipt", "show", receipt)
    verified = tally("receipt", "verify", receipt, "--zone", str(VECTORS / "together.zone.json"))

    signers = [each["organisation"] for each in json.loads(Path(receipt).read_bytes())["header_signatures"]]
    assert 3 == len(signers)
    assert f"ordered by: {', '.join(signers)} cosigned by:" in " ".join(shown.out.split())
    assert f"Ordered by {', '.join(signers)} (3 of 4 that order, 3 needed)" in verified.out
    assert "The receipt holds: ordered by 3 of 4" in verified.out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"operation":1,"header_signatures":[],"cosignatures":[]}',
        b'{"operation":{},"header_signatures":[],"cosignatures":[1]}',
        b'{"operation":{},"header_signatures":[1],"cosignatures":[]}',
        b'{"operation":{},"cosignatures":[]}',
    ],
)
def test_what_is_no_receipt_is_not_shown_as_one(content: bytes, tmp_path: Path, tally: Tally) -> None:
    """Anything else is bad usage."""
    (tmp_path / "x.json").write_bytes(content)

    assert tally("receipt", "show", str(tmp_path / "x.json")).code == 2


def test_hostile_receipts_are_shown_without_acting(tmp_path: Path, tally: Tally) -> None:
    """Signs that act are not passed on from a file that nobody has checked."""
    hostile = {
        "chain": "\x1b[2J",
        "outcome": "\n",
        "time": -5,
        "height": "\u202e",
        "header_signatures": [{"organisation": "\x1b[2J\u202e"}],
        "cosignatures": [{}],
        "operation": {"a": "\u202e"},
    }
    (tmp_path / "x.json").write_text(json.dumps(hostile))

    ran = tally("receipt", "show", str(tmp_path / "x.json"))

    assert ran.code == 0
    assert not set(ran.out) & set("\x1b\u202e")


@pytest.fixture
def remote(zone: SimulatedZone, monkeypatch: pytest.MonkeyPatch) -> SimulatedZone:
    """A node elsewhere, on whose ledger a request was sent and approved."""
    monkeypatch.setenv("TALLY_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("TALLY_FINGERPRINT", "ab" * 32)
    request = zone.request("river-university/d", "A study")
    zone.approve(request.id)
    return zone


def test_the_newest_receipt_of_a_thing_is_exported(remote: SimulatedZone, tally: Tally) -> None:
    """An id means the newest operation about it; the others are named."""
    ran = tally("receipt", "export", "req-0000")

    assert Path("req-0000.approve_request.receipt.json").read_bytes() == b'{"of":"approve_request"}'
    assert "witnessed by 3 of 4" in ran.out
    assert "send_request" in ran.out
    assert ran.next == "tally receipt verify req-0000.approve_request.receipt.json --zone zone.json"


def test_an_earlier_receipt_can_be_named(remote: SimulatedZone, tally: Tally) -> None:
    """--operation names which; one that is not there is bad usage, and says what there is."""
    ran = tally("receipt", "export", "req-0000", "--operation", "send_request", "--out", "r.json", "--json")

    assert ran.json["file"] == "r.json"
    assert [each["type"] for each in ran.json["others"]] == ["approve_request"]
    wrong = tally("receipt", "export", "req-0000", "--operation", "no_such")
    assert wrong.code == 2
    assert "approve_request, send_request" in wrong.err


@pytest.mark.parametrize("id", [f"{1:064x}", f"{1:064x}/0", "0"])
def test_an_operation_can_be_named_by_its_place(id: str, remote: SimulatedZone, tally: Tally) -> None:
    """A transaction, with or without an index, or the number of an entry."""
    assert tally("receipt", "export", id, "--out", "-").out == '{"of":"send_request"}'
    assert "operation:   send_request" in tally("ledger", "show", id).out


@pytest.mark.parametrize("id", ["99", "req-9999", "city-hospital/none", "nobody", f"{1:064x}/7", f"{1:064x}/x", ""])
def test_an_id_of_nothing_is_bad_usage(id: str, remote: SimulatedZone, tally: Tally) -> None:
    """Nothing is exported of what is not on the ledger."""
    assert tally("receipt", "export", id).code == 2
    assert tally("ledger", "show", id).code == 2


def test_a_node_elsewhere_needs_something_to_trust(
    zone: SimulatedZone, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TALLY_URL alone is not enough: nothing is trusted because it answers first."""
    monkeypatch.setenv("TALLY_URL", "http://127.0.0.1:9")

    ran = tally("ledger", "log")

    assert ran.code == 2
    assert "TALLY_ZONE" in ran.err


def test_the_history_is_listed(remote: SimulatedZone, tally: Tally) -> None:
    """Newest first, rejected operations with their number; what is older can be asked for."""
    with pytest.raises(Exception, match="decided already"):
        remote.reject("req-0000", "no")

    ran = tally("ledger", "log", "--limit", "2")

    assert [line.split()[0] for line in ran.out.splitlines()[1:3]] == ["2", "1"]
    assert "rejected, 3014" in ran.out
    assert "Older ones: --before 1" in ran.out
    assert [each["leaf"] for each in tally("ledger", "log", "--type", "send_request", "--json").json] == [0]
    assert tally("ledger", "log", "--organisation", UNIVERSITY).out.startswith("No such operations yet.")


def test_events_are_listed_and_followed(remote: SimulatedZone, tally: Tally) -> None:
    """With --json one object a line; Ctrl-C ends following, and where to go on is said."""
    assert [json.loads(line)["sequence"] for line in tally("ledger", "events", "--json").out.splitlines()] == [1, 2]
    assert len(tally("ledger", "events", "--limit", "1", "--json").out.splitlines()) == 1

    ran = tally("ledger", "events", "--after", "1", "--follow")

    assert ran.code == 0
    assert "request_approved" in ran.out
    assert ran.next == "tally ledger events --after 2"


def test_evidence_is_recorded_and_listed(zone: SimulatedZone, tally: Tally, tmp_path: Path) -> None:
    """Paths are made whole; the list and the entry show where the proofs are."""
    (tmp_path / "a.txt").write_text("a")

    ran = tally("evidence", "record", "a.txt", "--out", "proofs")

    assert zone.asked[-1] == ("record_evidence", {"paths": (tmp_path / "a.txt",), "out": tmp_path / "proofs"})
    assert ran.next == f"tally evidence verify a.txt {tmp_path}/proofs/a.txt.proof.json"
    assert "ev-00000000" in tally("evidence", "list").out
    assert "a.txt.proof.json" in tally("evidence", "show", "ev-00000000").out
    assert tally("evidence", "show", "ev-none").code == 2
    assert tally("evidence", "record", "gone.txt").code == 2
