"""Core and engine under one supervisor: neither outlives the other, and what the engine says is in the log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick.node.processes import ENGINE_STALLED, Processes, read_processes
from tests.support.nodes import wait_for

# A core that ends with the code in `end`, once that is there.
CORE = """
import sys, time
from pathlib import Path
home = Path(sys.argv[1])
sys.stdin.readline()
(home / "cores").open("a").write("x")
while not (home / "end").exists():
    time.sleep(0.02)
code = int((home / "end").read_text())
(home / "end").unlink()
sys.exit(code)
"""
# An engine that says what is in `say` and ends with code 0, once that is there; it hears no request to stop.
ENGINE = """
import os, signal, sys, time
from pathlib import Path
home = Path(sys.argv[1])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
(home / "engines").open("a").write(f"{os.getpid()}\\n")
while not (home / "say").exists():
    time.sleep(0.02)
os.write(1, (home / "say").read_bytes())
(home / "say").unlink()
"""
PARENT = """
import sys
from pathlib import Path
import tallystick.node.supervised as supervised
import tallystick.node.supervisor as supervisor
from tallystick.node.config import EngineSection
supervised.STOP_SECONDS = 0.3
supervisor._ENGINE_SECONDS = 0.3
class Place:
    path = Path(sys.argv[1])
    class settings:
        engine = EngineSection(stall_seconds=1)
supervisor.Supervisor(Place, "secret", modules=(("core", "simulated_core"), ("engine", "simulated_engine"))).run()
"""


class Node:
    """A node whose two processes do as the files in its home tell them."""

    def __init__(self, home):
        self.home = home
        self._log = home / "log"
        source = str(Path(__file__).parents[3] / "src")
        environment = {**os.environ, "PYTHONPATH": f"{home}{os.pathsep}{source}"}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PARENT, str(home)], stderr=log, env=environment, stdin=subprocess.DEVNULL
            )
        wait_for(lambda: self.cores == 1 and len(self.engines) == 1, "core and engine")

    @property
    def cores(self):
        """How many cores have run."""
        path = self.home / "cores"
        return len(path.read_text()) if path.exists() else 0

    @property
    def engines(self):
        """Pids of the engines that have run."""
        path = self.home / "engines"
        return path.read_text().split() if path.exists() else []

    def tell(self, name, text):
        """Put a file into the home, whole at once."""
        (self.home / "unfinished").write_text(text)
        (self.home / "unfinished").rename(self.home / name)

    def told(self):
        return read_processes(self.home)

    def events(self):
        return [json.loads(line) for line in self._log.read_text().splitlines()]


@pytest.fixture
def node(tmp_path):
    (tmp_path / "simulated_core.py").write_text(CORE)
    (tmp_path / "simulated_engine.py").write_text(ENGINE)
    made = Node(tmp_path)
    yield made
    made.process.terminate()
    made.process.wait(20)


def test_engine_that_stands_still_is_killed_and_both_come_back(node):
    """The core says so by its code; the engine, which hears nothing, is not asked but killed, and each time is counted."""
    for times in (1, 2):
        node.tell("end", str(ENGINE_STALLED))
        wait_for(lambda times=times: node.cores == len(node.engines) == times + 1, "both to come back")
        wait_for(lambda times=times: node.told().children["core"].restarts == times, "the file")
        told = node.told()
        assert (times, ENGINE_STALLED, -signal.SIGKILL) == (
            told.stalls,
            told.children["core"].last_exit,
            told.children["engine"].last_exit,
        )
    (reason, _) = [event for event in node.events() if event["event"] == "engine_started_again"]
    assert "it stood still" == reason["reason"]


def test_no_engine_outlives_its_core_by_much(node):
    """Whatever the core died of: an engine that does not end by itself is killed, and that is no stall."""
    node.tell("end", "3")
    wait_for(lambda: node.cores == len(node.engines) == 2, "both to come back")
    assert 0 == node.told().stalls
    assert any(event["event"] == "child_killed" and event["child"] == "engine" for event in node.events())


def test_engine_that_ends_with_code_0_is_started_again_after_its_last_words(node):
    """Code 0 of an engine is a fault too; all that it said comes before the news of its end."""
    said = {"_msg": "stopping", "level": "info", "module": "main", "ts": "2026-01-02T03:04:05Z"}
    node.tell("say", json.dumps(said) + "\npanic: out of luck\n\ngoroutine 1")
    wait_for(lambda: len(node.engines) == 2, "the engine to come back")
    assert 1 == node.cores
    wait_for(lambda: node.told().children["engine"].restarts == 1, "the file")
    assert 0 == node.told().children["engine"].last_exit
    events = [event for event in node.events() if event.get("source") == "engine" or event["event"] == "child_died"]
    assert ["stopping", "engine_said", "child_died"] == [event["event"] for event in events]
    assert "panic: out of luck\n\ngoroutine 1" == events[1]["words"]
    assert "2026-01-02T03:04:05Z" == events[0]["timestamp"]


def test_what_is_told_of_processes_is_nothing_where_it_cannot_be_read(tmp_path):
    """Whoever asks before a node was ever started, or of a damaged file, is told of no process."""
    assert Processes() == read_processes(tmp_path)
    (tmp_path / "processes.json").write_text("{")
    assert Processes() == read_processes(tmp_path)
