"""`tally demo` as a user types it; and what it leaves behind, checked by the commands that scripts rely on."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

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

pytestmark = pytest.mark.timeout(300)

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
    "two-histories",
]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return play(tmp_path_factory.mktemp("demo") / "played")


def test_every_scene_holds_and_no_process_is_left(demo):
    """The demo exits 0 with all of its scenes, and has stopped every node that it started."""
    assert SCENES == [scene["name"] for scene in demo.document["scenes"]]
    assert all(scene["held"] for scene in demo.document["scenes"])
    assert demo.document["ok"] and demo.document["problem"] is None
    assert [] == pids_of(demo.directory)
    assert set(ORGANISATIONS) == set(demo.facts("join")["members"])


def test_documented_loop_verifies_every_receipt(demo):
    """The loop that the documentation gives to scripts ends with 0 at each receipt."""
    verify_in_the_documented_loop(demo.directory)


def test_there_is_a_receipt_of_every_operation(demo):
    """The receipts are of all operations of the history, each of another one."""
    assert receipts_without_gap(demo.directory)


@pytest.mark.parametrize("part", range(5))
def test_altered_receipt_is_refused_with_its_reason(demo, tmp_path, capsys, part):
    """Wherever one byte of a receipt is changed, `receipt verify` exits 1 and says why in one line."""
    receipts = sorted(demo.directory.glob("receipts/*.receipt.json"))
    good = receipts[part * (len(receipts) - 1) // 4].read_bytes()
    path = tmp_path / "altered.receipt.json"
    for position in range(part, len(good), 61):
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        code, complaint = says(capsys, "receipt", "verify", path, "--zone", demo.directory / "zone.json")
        assert 1 == code, f"byte {position}"
        assert re.fullmatch(r"error: .+ — .+\n", complaint), complaint


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_every_home_passes_the_checker(demo, capsys, organisation):
    """`tally ledger check` exits 0 on the home of each node."""
    assert (0, "") == says(capsys, "ledger", "check", "--home", demo.directory / organisation)


@pytest.mark.parametrize("organisation", ORGANISATIONS)
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("blocks", "header"),
        ("blocks", "signatures"),
        ("transactions", "id"),
        ("bundles", "bytes"),
        ("operations", "type"),
        ("events", "body"),
        ("records", "value"),
        ("checkpoints", "note"),
        ("cosignatures", "signature"),
    ],
)
def test_one_changed_byte_of_recorded_data_is_found(demo, tmp_path, capsys, organisation, table, column):
    """After one byte in a table is changed, `tally ledger check` exits 1 and names that table."""
    home = tmp_path / "home"
    shutil.copytree(demo.directory / organisation, home)
    change_one_byte(home / "ledger.db", table, column)
    code, complaint = says(capsys, "ledger", "check", "--home", home)
    assert 1 == code
    assert "first damaged place: " in complaint
    assert re.search(rf"\b({table}|block \d+)", complaint), complaint


def test_the_altered_ledger_of_the_demo_is_refused_by_name(demo, capsys):
    """The copy in which the demo moved the end of an agreement is refused, and the record is named."""
    code, complaint = says(capsys, "ledger", "check", "--home", demo.facts("altered-ledger")["file"])
    assert 1 == code
    assert "agreements" in complaint


def test_the_altered_receipt_of_the_demo_is_refused(demo, capsys):
    """The receipt in which the demo put another request is refused."""
    altered = demo.facts("altered-receipt")["file"]
    assert 1 == says(capsys, "receipt", "verify", altered, "--zone", demo.directory / "zone.json")[0]


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_the_fork_proof_convicts_the_orderer_at_every_member(demo, tmp_path, capsys, organisation):
    """`ledger compare` accepts the proof by any home's trust file and names the hospital; altered, it proves nothing."""
    home = demo.directory / organisation
    code, complaint = says(capsys, "ledger", "compare", demo.directory / "fork-proof.json", "--home", home)
    assert (1, True) == (code, "city-hospital signed two" in complaint)
    good = (demo.directory / "fork-proof.json").read_bytes()
    altered = tmp_path / "altered.json"
    for position in range(0, len(good), 97):
        altered.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        code, complaint = says(capsys, "ledger", "compare", altered, "--home", home)
        assert 1 == code
        assert "city-hospital signed two" not in complaint


def test_the_homes_keep_no_mark_of_the_fraud(demo):
    """The third fraud happened between copies: the four homes keep no fork proof."""
    for organisation in ORGANISATIONS:
        with closing(sqlite3.connect(demo.directory / organisation / "ledger.db")) as ledger:
            assert (0,) == ledger.execute("SELECT count(*) FROM forks").fetchone()


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_an_outside_checker_accepts_each_log_and_refuses_a_damaged_tile(demo, tmp_path, organisation):
    """A checker of C2SP tlog-tiles logs that others wrote accepts `log/` of each home, and not with a byte changed."""
    check_log_from_outside(demo.directory / organisation, "city-hospital", tmp_path)


def test_delivered_tables_are_the_real_ones(demo):
    """What the university fetched is, byte for byte, the public data that the package carries with its licence."""
    data = Path(sys.modules["tallystick"].__file__).parent / "cli" / "demo" / "data"
    originals = {hashlib.sha256(path.read_bytes()).digest() for path in data.glob("*/*.csv")}
    fetched = demo.directory / "files" / "river-university"
    assert originals == {hashlib.sha256(path.read_bytes()).digest() for path in fetched.glob("*.csv")}
    for folder in data.iterdir():
        assert {"LICENCE.txt", "SOURCE.md"} <= {path.name for path in folder.iterdir()}


def test_evidence_verifies_by_its_proof(demo, capsys):
    """Each document verifies with its proof, and no other document with that proof."""
    folder = demo.directory / "files" / "river-university"
    documents = sorted((folder / "documents").iterdir())
    proofs = [folder / "proofs" / f"{document.name}.proof.json" for document in documents]
    zone = ("--zone", demo.directory / "zone.json")
    assert all(0 == says(capsys, "evidence", "verify", *pair, *zone)[0] for pair in zip(documents, proofs, strict=True))
    assert 1 == says(capsys, "evidence", "verify", documents[0], proofs[1], *zone)[0]


def test_secrets_are_readable_by_their_owner_alone(demo):
    """Passphrase files have mode 0600, and no passphrase is in a log."""
    logs = b"".join(path.read_bytes() for path in demo.directory.glob("logs/*"))
    for organisation in ORGANISATIONS:
        path = demo.directory / f"{organisation}.passphrase"
        assert 0o600 == path.stat().st_mode & 0o777
        assert path.read_bytes().strip() not in logs


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    """The demo takes only an empty or absent folder, and says so with exit code 2."""
    (tmp_path / "mine.txt").write_text("mine")
    done = subprocess.run([*TALLY, "demo", "--dir", tmp_path], capture_output=True, text=True, timeout=60)
    assert 2 == done.returncode
    assert "is not empty" in done.stderr
    assert ["mine.txt"] == [path.name for path in tmp_path.iterdir()]


def test_serve_tells_the_story_and_leaves_a_healthy_zone_until_ctrl_c(tmp_path):
    """`--serve`: text of at most 100 columns, four nodes that answer without an alarm, all stopped by Ctrl-C with 0."""
    directory = tmp_path / "d"
    output = tmp_path / "output"
    with output.open("wb") as out:
        process = subprocess.Popen([*TALLY, "demo", "--dir", "d", "--serve"], cwd=tmp_path, stdout=out, stderr=out)
    try:
        wait_for(lambda: b"What to try next" in output.read_bytes() or process.poll() is not None, "the end", 200)
        assert process.poll() is None, output.read_text()
        for organisation in ORGANISATIONS:
            command = [*TALLY, "node", "status", "--json", "--home", directory / organisation]
            status = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
            assert status["alarm"] is None
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    story = output.read_text()
    assert 0 == code, story
    assert [] == [line for line in story.splitlines() if len(line) > 100]
    assert "Three frauds were tried, and three were caught." in story
    assert [] == pids_of(directory)


def test_demo_told_to_stop_stops_its_nodes(tmp_path):
    """SIGTERM in the middle ends the demo with a line, and leaves no node behind."""
    directory = tmp_path / "d"
    process = subprocess.Popen([*TALLY, "demo", "--dir", directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: list(directory.glob("city-hospital/operator.json")), "the first node")
    process.terminate()
    _, complaint = process.communicate(timeout=60)
    # A shell sees 130 in both cases: Python ends by the signal itself where that came in the middle of an import.
    assert process.returncode in (128 + signal.SIGINT, -signal.SIGINT)
    assert complaint.startswith(b"error: stopped")
    assert [] == pids_of(directory)


def test_demo_whose_node_dies_ends_with_a_line_and_3(tmp_path):
    """When a node is killed under the demo, it ends with one line that names the scene, exit code 3, and no node left."""
    directory = tmp_path / "d"
    process = subprocess.Popen([*TALLY, "demo", "--dir", directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lock = directory / "city-hospital" / "node.lock"
    wait_for(lambda: list(directory.glob("invitations/*.json")), "the second scene")
    os.kill(int(lock.read_text()), signal.SIGKILL)
    _, complaint = process.communicate(timeout=60)
    assert 3 == process.returncode, complaint
    first, second = complaint.decode().splitlines()
    assert first.startswith("error: in scene 2 (join): ")
    assert second == f"The nodes are stopped; what they wrote is in {directory / 'logs'}."
    wait_for(lambda: not pids_of(directory), "the killed node's children to end by themselves", 30)
