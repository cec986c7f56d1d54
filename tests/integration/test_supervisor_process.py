"""`tally node run` as it is typed: it becomes a light supervisor, and stays the same process to whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick.node.homes import Home, create_zone
from tests.support.nodes import free_port, wait_for

pytestmark = pytest.mark.timeout(240)
PASSPHRASE = "nine swans over the estuary"
MODULE = b"tallystick.node.supervisor_main"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A zone of one."""
    folder = tmp_path_factory.mktemp("supervised")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    (folder / "passphrase").chmod(0o600)
    return create_zone(
        folder / "home",
        name="Estuary",
        organisation="harbour",
        organisation_name="Harbour",
        passphrase=PASSPHRASE,
        created_ms=time.time_ns() // 1_000_000,
        api_listen=f"127.0.0.1:{free_port()}",
    )


def type_run(home: Home) -> subprocess.Popen[str]:
    """Type the command."""
    command = [sys.executable, "-m", "tallystick.cli", "node", "run", "--home", str(home.path)]
    command += ["--passphrase-file", str(home.path.parent / "passphrase")]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run_node(home: Home) -> subprocess.Popen[str]:
    """Type the command, and wait until both processes of the node are there."""
    home.operator_path.unlink(missing_ok=True)
    process = type_run(home)
    wait_for(lambda: home.operator_path.exists() or process.poll() is not None, "the node")
    assert process.poll() is None, process.communicate()
    return process


def proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def is_supervisor(pid: int) -> bool:
    return MODULE in proc(pid, "cmdline").split(b"\0")


def children(pid: int) -> list[int]:
    return [int(each) for each in proc(pid, f"task/{pid}/children").split()]


@pytest.fixture
def node(home: Home) -> Iterator[subprocess.Popen[str]]:
    """A node that runs."""
    process = run_node(home)
    yield process
    process.terminate()
    process.communicate(timeout=30)


def test_command_stays_the_same_process_and_keeps_the_home(home: Home, node: subprocess.Popen[str]) -> None:
    """Its id is that of the lock; a second one is refused as ever, and nothing that opens the keys can be seen."""
    assert is_supervisor(node.pid)
    assert str(node.pid) == (home.path / "node.lock").read_text()
    second = type_run(home)
    out, refused = second.communicate(timeout=60)
    assert (2, "") == (second.returncode, out)
    assert "is running already" in refused
    for pid in (node.pid, *children(node.pid)):
        shown = proc(pid, "cmdline") + proc(pid, "environ")
        assert PASSPHRASE.encode() not in shown
    # What was inherited is the lock alone: no child holds it on.
    locks = [os.readlink(path) for pid in children(node.pid) for path in Path(f"/proc/{pid}/fd").iterdir()]
    assert not any(target.endswith("node.lock") for target in locks)


def test_killed_child_comes_back_with_what_was_handed_over(home: Home, node: subprocess.Popen[str]) -> None:
    """Keys that were opened once, by the command, open for every process that is started later."""
    office = children(node.pid)[-1]
    home.operator_path.unlink()
    os.kill(office, signal.SIGKILL)
    wait_for(home.operator_path.exists, "the office to be back")
    assert office not in children(node.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_node_that_is_told_to_stop_says_so_and_leaves_nobody(home: Home, number: signal.Signals) -> None:
    """Exit code 0, the words that the command always ended with, no process and no lock left."""
    process = run_node(home)
    left = children(process.pid)
    process.send_signal(number)
    out, log = process.communicate(timeout=60)
    assert 0 == process.returncode, log
    assert out.splitlines()[0].startswith("Starting the node of harbour")
    assert "next: tally node status" in out.splitlines()[1]
    assert ["The node has stopped.", f"next: tally node run --home {home.path}"] == out.splitlines()[2:]
    assert not any(Path(f"/proc/{pid}").exists() for pid in left)
    assert "child_started" in log


def test_signal_while_it_becomes_the_supervisor_is_not_lost(home: Home) -> None:
    """Sent before anybody can hear it, it is heard then: the node stops in order."""
    process = type_run(home)
    wait_for(lambda: process.poll() is not None or is_supervisor(process.pid), "the supervisor")
    process.send_signal(signal.SIGINT)
    out, log = process.communicate(timeout=60)
    assert (0, "Traceback" in log) == (process.returncode, False), log
    assert "The node has stopped." in out


def test_supervisor_started_by_hand_names_the_command(home: Home) -> None:
    """Without what the command hands over there is nothing to run with."""
    for arguments in ([], [str(home.path)], [str(home.path), "77"], [str(home.path), "x"]):
        done = subprocess.run(
            [sys.executable, "-m", MODULE.decode(), *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert 2 == done.returncode
        assert ["error: this runs behind `tally node run` — type that"] == done.stderr.splitlines()
