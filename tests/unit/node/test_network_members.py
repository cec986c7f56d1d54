"""Which nodes of a local network run: told by their processes, whatever those are becoming."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.node.network import members

# Becomes itself again and again, then waits to be ended.
BECOMING = """
import os, sys
home, times = sys.argv[1], int(sys.argv[2])
if times:
    os.execv(sys.executable, [sys.executable, "-S", "-c", os.environ["BECOMING"], home, str(times - 1)])
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A network of one."""
    home = tmp_path / "harbour"
    home.mkdir()
    (home / "tally.toml").write_text('[node]\norganisation = "harbour"\nrole = "replica"\n')
    (tmp_path / "passphrase").write_text("nobody needs it\n")
    (tmp_path / "run").mkdir()
    return tmp_path


def test_node_that_becomes_its_supervisor_runs_all_the_while(directory: Path) -> None:
    """Between one program and the next a process shows no command; that is no sign of its end."""
    command = [sys.executable, "-S", "-c", BECOMING, str(directory / "harbour"), "40"]
    process = subprocess.Popen(
        command, env={"BECOMING": BECOMING}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    (directory / "run" / "harbour.pid").write_text(f"{process.pid}\n")
    assert process.stdout is not None
    ended: list[str] = []
    try:
        seen = set()
        for _ in range(2_000):
            seen |= {member.pid for member in members(directory)}
        ended.append(process.stdout.readline())
        seen |= {member.pid for member in members(directory)}
    finally:
        process.kill()
    assert ["done\n"] == ended
    assert {process.pid} == seen
    # It has ended, and is a zombie until somebody waits for it.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert [None] == [member.pid for member in members(directory)]
    process.communicate()
    assert [None] == [member.pid for member in members(directory)]


def test_process_of_another_program_under_the_same_id_is_no_node(directory: Path) -> None:
    """Ids are given out again: what the pid file names must have to do with the home."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (directory / "run" / "harbour.pid").write_text(f"{other.pid}\n")
        assert [None] == [member.pid for member in members(directory)]
    finally:
        other.communicate()
