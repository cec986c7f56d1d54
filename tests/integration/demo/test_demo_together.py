"""`tally demo --validators 4`: four order together, one of them is killed, one signs another history; and what is left."""

from __future__ import annotations

import json
import re
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing

import pytest

from tallystick.errors import UsageError
from tallystick.node.homes import Home
from tallystick.node.rehearsal import sign_other_history
from tests.integration.demo.played import (
    ORGANISATIONS,
    TALLY,
    change_one_byte,
    check_log_from_outside,
    pids_of,
    play,
    receipts_without_gap,
    says,
    verify_in_the_documented_loop,
)
from tests.support.nodes import wait_for

pytestmark = pytest.mark.timeout(400)

SCENES = [
    "zone",
    "join",
    "offer",
    "request",
    "decide",
    "deliver",
    "evidence",
    "terminate",
    "receipts",
    "check",
    "altered-ledger",
    "altered-receipt",
    "lost-validator",
    "two-histories",
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return play(tmp_path_factory.mktemp("demo") / "played", "--validators", "4")


def tally(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command as a user types it."""
    return subprocess.run([*TALLY, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def states_of(directory) -> dict[str, object]:
    """Return what `network status` says of each node."""
    members = json.loads(tally("network", "status", directory, "--json").stdout)["members"]
    return {each["organisation"]: each["state"] for each in members}


def test_every_scene_holds_and_no_process_is_left(demo):
    """The demo exits 0 with all of its scenes, all four order, and it has stopped every node that it started."""
    assert SCENES == [scene["name"] for scene in demo.document["scenes"]]
    assert all(scene["held"] for scene in demo.document["scenes"])
    assert demo.document["ok"] and demo.document["problem"] is None
    assert [] == pids_of(demo.directory)
    assert set(ORGANISATIONS) == set(demo.facts("zone")["validators"])
    assert set(ORGANISATIONS) == set(demo.facts("join")["members"])
    assert 3 == demo.facts("join")["enough"]


def test_every_operation_has_a_receipt_that_verifies(demo):
    """There is a receipt of every operation, those of the last two scenes included, and each verifies in a script."""
    verify_in_the_documented_loop(demo.directory)
    assert receipts_without_gap(demo.directory)
    assert re.fullmatch("ordered by [34] of 4", demo.facts("receipts")["summary"])


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_every_home_passes_the_checker(demo, capsys, organisation):
    """`tally ledger check` exits 0 on each home: of who was killed, of who lied, and of those who keep the proof."""
    assert (0, "") == says(capsys, "ledger", "check", "--home", demo.directory / organisation)


@pytest.mark.parametrize(
    ("table", "column"), [("blocks", "header"), ("blocks", "signatures"), ("checkpoints", "note"), ("forks", "proof")]
)
def test_one_changed_byte_of_what_several_signed_is_found(demo, tmp_path, capsys, table, column):
    """After one byte in a table is changed, `tally ledger check` exits 1 and names that table."""
    home = tmp_path / "home"
    shutil.copytree(demo.directory / "city-agency", home)
    change_one_byte(home / "ledger.db", table, column)
    code, complaint = says(capsys, "ledger", "check", "--home", home)
    assert 1 == code
    assert re.search(rf"first damaged place: .*\b({table}|block \d+)", complaint), complaint


def test_three_of_four_record_while_one_is_gone(demo):
    """What was recorded while the agency's node was killed is signed by the three others, and in the agency's copy."""
    lost = demo.facts("lost-validator")
    assert "city-agency" == lost["killed"]
    assert sorted(set(ORGANISATIONS) - {"city-agency"}) == lost["orderers"]
    with closing(sqlite3.connect(demo.directory / "city-agency" / "ledger.db")) as ledger:
        assert 1 == ledger.execute("SELECT count(*) FROM agreements WHERE key = ?", (lost["agreement"],)).fetchone()[0]


def test_receipt_that_one_alone_has_signed_is_refused(demo, capsys):
    """The receipt from the other history is refused, for it lacks the signatures of the others that order."""
    forged = demo.directory / "frauds" / "another-history.receipt.json"
    code, complaint = says(capsys, "receipt", "verify", forged, "--zone", demo.directory / "zone.json")
    assert (1, True) == (code, "signed by 1 of 4 that order; 3 are needed" in complaint), complaint
    assert "too_few_header_signatures" == demo.facts("two-histories")["receipt_refused"]


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_the_fork_proof_convicts_who_signed_both(demo, tmp_path, capsys, organisation):
    """`ledger compare` accepts the proof by any home's trust file and names the bank; altered, it proves nothing."""
    home = demo.directory / organisation
    code, complaint = says(capsys, "ledger", "compare", demo.directory / "fork-proof.json", "--home", home)
    assert (1, True) == (code, "harbour-bank signed two" in complaint), complaint
    good = (demo.directory / "fork-proof.json").read_bytes()
    altered = tmp_path / "altered.json"
    for position in range(0, len(good), 97):
        altered.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        code, complaint = says(capsys, "ledger", "compare", altered, "--home", home)
        assert 1 == code
        assert "harbour-bank signed two" not in complaint


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_every_home_keeps_the_proof_of_the_fraud(demo, organisation):
    """The nodes have told each other: every home keeps a proof, the bank's own too."""
    with closing(sqlite3.connect(demo.directory / organisation / "ledger.db")) as ledger:
        kept = [proof for (proof,) in ledger.execute("SELECT proof FROM forks")]
    assert (demo.directory / "fork-proof.json").read_text() in kept


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_an_outside_checker_accepts_each_log_and_refuses_a_damaged_tile(demo, tmp_path, organisation):
    """A checker that others wrote accepts `log/` of each home under that organisation's own checkpoint key."""
    check_log_from_outside(demo.directory / organisation, organisation, tmp_path)


def test_only_the_last_operation_of_a_block_is_put_aside_in_a_rehearsal(demo):
    """Asked for an entry that there is not, the rehearsal of the fraud refuses, with a remedy."""
    passphrase = (demo.directory / "passphrase").read_text().strip()
    with pytest.raises(UsageError, match="entry 9999 is not the last of a block"):
        sign_other_history(Home(demo.directory / "harbour-bank"), passphrase, 9_999)


def test_what_is_left_is_a_network(demo):
    """The folder is one of `tally network`: it starts again as it was, goes on trusting, and stops."""
    assert {"stopped"} == set(states_of(demo.directory).values())
    try:
        done = tally("network", "up", demo.directory)
        assert 0 == done.returncode, done.stderr
        # The engines find each other within seconds; until then each says whom it waits for.
        wait_for(lambda: dict.fromkeys(ORGANISATIONS, "runs") == states_of(demo.directory), "all to run")
    finally:
        down = tally("network", "down", demo.directory)
    assert 0 == down.returncode, down.stderr
    assert [] == pids_of(demo.directory)


def test_serve_tells_the_story_and_leaves_a_network_until_ctrl_c(tmp_path):
    """`--serve`: text of at most 100 columns, four nodes that `tally network` knows, all stopped by Ctrl-C with 0."""
    directory = tmp_path / "d"
    output = tmp_path / "output"
    command = [*TALLY, "demo", "--validators", "4", "--dir", "d", "--serve"]
    with output.open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out)
    try:
        wait_for(lambda: b"What to try next" in output.read_bytes() or process.poll() is not None, "the end", 250)
        assert process.poll() is None, output.read_text()
        assert dict.fromkeys(ORGANISATIONS, "runs") == states_of(directory)
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    story = output.read_text()
    assert 0 == code, story
    assert [] == [line for line in story.splitlines() if len(line) > 100]
    assert "Three frauds were tried, and three were caught." in story
    assert [] == pids_of(directory)
    assert {"stopped"} == set(states_of(directory).values())


def test_fewer_than_four_are_refused(tmp_path):
    """Three that order bear the loss of none: that is refused with exit code 2, and nothing is made."""
    done = tally("demo", "--validators", 3, "--dir", tmp_path / "d")
    assert 2 == done.returncode
    assert not (tmp_path / "d").exists()
