"""The supervisor: children that come back, that end with it, and a passphrase that nobody else sees."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tallystick.node.supervised import Child
from tests.support.nodes import wait_for

SECRET = "seven herons crossed the river"
CHILD = """
import asyncio, os, sys
from pathlib import Path
from tallystick.node.lifeline import wait_for_end
from tallystick.node.child import read_secret
home = Path(sys.argv[1])
if read_secret() == os.environ["EXPECTED"]:
    (home / "pids").open("a").write(f"{os.getpid()}\\n")
asyncio.run(wait_for_end())
(home / "ended").open("a").write(f"{os.getpid()}\\n")
"""
STUCK = """
import asyncio, sys, threading, time
from tallystick.node.lifeline import end_in_time, wait_for_end
print("up", flush=True)
async def run():
    await wait_for_end()
    end_in_time(0.5)
    def for_ever_held():
        time.sleep(60)
    threading.Thread(target=for_ever_held).start()
    await asyncio.to_thread(for_ever_held)
asyncio.run(run())
"""
# Gives signs of life for as long as `alive` is there, then does nothing more.
LIVELY = """
import asyncio, faulthandler, sys, time
from pathlib import Path
from tallystick.node import lifeline
from tallystick.node.child import read_secret
faulthandler.enable()
lifeline.PULSE_SECONDS = 0.05
home = Path(sys.argv[1])
read_secret()
(home / "pids").open("a").write("1\\n")
def stand_still():
    time.sleep(60)
async def run():
    asyncio.create_task(lifeline.give_pulse())
    while (home / "alive").exists():
        await asyncio.sleep(0.02)
    stand_still()
asyncio.run(run())
"""
FAILING = "import sys; sys.stdin.readline(); sys.exit(3)"
PARENT = """
import sys
from pathlib import Path
from tallystick.node.supervisor import Supervisor
from tallystick.node.config import EngineSection
class Place:
    path = Path(sys.argv[1])
    class settings:
        engine = EngineSection()
Supervisor(Place, sys.argv[2], modules=(("one", "supervised_child"),)).run()
"""
HANDED_OVER = PARENT.replace("sys.argv[2],", "sys.argv[2], handed_over=True,")


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "supervised_child.py").write_text(CHILD)
    (tmp_path / "failing_child.py").write_text(FAILING)
    (tmp_path / "lively_child.py").write_text(LIVELY)
    source = str(Path(__file__).parents[3] / "src")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{source}")
    monkeypatch.setenv("EXPECTED", SECRET)
    return tmp_path


def pids(folder, name="pids"):
    path = folder / name
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def is_gone(pid):
    """Tell whether a process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def parent(modules):
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(modules), SECRET], stderr=subprocess.DEVNULL)
    wait_for(lambda: pids(modules), "the child")
    yield process
    process.terminate()
    process.wait(20)


def test_killed_child_is_started_again_with_its_passphrase(modules, parent):
    """Whatever kills it, the next one has all that it needs."""
    for count in (1, 2):
        os.kill(pids(modules)[-1], signal.SIGKILL)
        wait_for(lambda count=count: len(pids(modules)) > count, "the child to come back")
    assert 3 == len(set(pids(modules)))


def test_child_ends_with_a_supervisor_that_was_killed(modules, parent):
    """Kill -9 of the supervisor leaves nobody behind, and the home is free for the next."""
    (child,) = pids(modules)
    parent.kill()
    parent.wait()
    wait_for(lambda: pids(modules, "ended") == [child], "the child to end in order")
    wait_for(lambda: is_gone(child), "the child to be gone")
    again = subprocess.Popen([sys.executable, "-c", PARENT, str(modules), SECRET], stderr=subprocess.DEVNULL)
    wait_for(lambda: len(pids(modules)) == 2, "the next supervisor's child")
    again.terminate()
    assert 0 == again.wait(20)


def test_child_that_cannot_end_is_gone_all_the_same():
    """No supervisor is there to kill it, and its threads never return: it says where they stand, and frees the home."""
    child = subprocess.Popen(
        [sys.executable, "-c", STUCK], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert "up\n" == child.stdout.readline()
    # Standard input closes, as where a supervisor was killed.
    _, said = child.communicate(timeout=50)
    assert 1 == child.returncode
    assert "for_ever_held" in said


def test_second_supervisor_of_a_home_is_refused(modules, parent):
    """Two nodes on one home would be two orderers."""
    second = subprocess.run(
        [sys.executable, "-c", PARENT, str(modules), SECRET], capture_output=True, text=True, check=False, timeout=60
    )
    assert 0 != second.returncode
    assert "is running already" in second.stderr
    assert 1 == len(pids(modules))


def test_passphrase_is_in_no_argument_and_no_environment(modules):
    """A child's passphrase travels over its standard input alone."""
    child = Child("one", "supervised_child", modules, SECRET)
    del os.environ["EXPECTED"]
    child.start()
    try:
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{child.pid}/{name}").read_bytes()
    finally:
        child.stop()


def test_children_are_told_that_what_they_get_is_no_passphrase(modules):
    """The passphrase was tried once; each process, a restarted one too, is handed what that opened."""
    process = subprocess.Popen([sys.executable, "-c", HANDED_OVER, str(modules), SECRET], stderr=subprocess.DEVNULL)
    try:
        for count in (1, 2):
            wait_for(lambda count=count: len(pids(modules)) == count, "the child")
            child = pids(modules)[-1]
            assert Path(f"/proc/{child}/cmdline").read_bytes().endswith(b"--handed-over\0")
            os.kill(child, signal.SIGKILL)
    finally:
        process.terminate()
        assert 0 == process.wait(20)


def test_child_that_fails_by_itself_is_tried_less_and_less_often(modules):
    """A node that cannot start does not use up the machine; one that was killed comes back soon."""
    pauses = []
    child = Child("one", "failing_child", modules, SECRET, log=_Notebook(pauses))
    deadline = time.monotonic() + 60
    while len(pauses) < 4 and time.monotonic() < deadline:
        child.watch()
        time.sleep(0.01)
    child.stop()
    assert [0.1, 0.2, 0.4, 0.8] == pauses[:4]


def test_child_that_is_killed_again_and_again_comes_back_soon(modules):
    """What a signal ended did not fail by itself: its pause stays short."""
    pauses = []
    child = Child("one", "supervised_child", modules, SECRET, log=_Notebook(pauses))
    deadline = time.monotonic() + 60
    while len(pauses) < 5 and time.monotonic() < deadline:
        child.watch()
        if child.pid is not None:
            os.kill(child.pid, signal.SIGKILL)
        time.sleep(0.01)
    child.stop()
    assert [0.1, 0.2, 0.4, 0.5, 0.5] == pauses[:5]


def watch_until(child, condition, what):
    """Watch a child as a supervisor does, but more often."""

    def look():
        child.watch()
        return condition()

    wait_for(look, what)


def watch_for(child, seconds):
    """Watch a child for a while, which ends by itself."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        child.watch()
        time.sleep(0.01)


def test_child_that_stands_still_is_aborted_and_started_again(modules, capfd):
    """It has given signs of life and gives none any more: it says where it stands, and another takes its place."""
    (modules / "alive").touch()
    errors = []
    child = Child("one", "lively_child", modules, SECRET, log=_Notebook([], errors), patience_seconds=1.0)
    try:
        watch_until(child, lambda: pids(modules), "the child")
        watch_for(child, 2.0)
        assert [] == errors
        (modules / "alive").unlink()
        watch_until(child, lambda: child.deaths, "the child to be aborted")
        (modules / "alive").touch()
        watch_until(child, lambda: len(pids(modules)) == 2, "another child")
    finally:
        child.stop()
    assert ["child_stands_still", "child_died"] == errors
    assert -signal.SIGABRT == child.last_exit
    assert "in stand_still" in capfd.readouterr().err


def test_child_that_is_stopped_by_somebody_is_killed(modules):
    """It does not hear that it is to say where it stands."""
    (modules / "alive").touch()
    child = Child("one", "lively_child", modules, SECRET, log=_Notebook([]), patience_seconds=0.5)
    try:
        watch_until(child, lambda: pids(modules), "the child")
        os.kill(child.pid, signal.SIGSTOP)
        watch_until(child, lambda: child.deaths, "the child to be killed")
        assert -signal.SIGKILL == child.last_exit
    finally:
        child.stop()


def test_child_that_never_gave_a_sign_of_life_is_let_be(modules):
    """What is starting, and an engine, say nothing that could be missed."""
    errors = []
    child = Child("one", "supervised_child", modules, SECRET, log=_Notebook([], errors), patience_seconds=0.0)
    try:
        watch_until(child, lambda: pids(modules), "the child")
        watch_for(child, 0.5)
        assert ([], 0) == (errors, child.deaths)
    finally:
        child.stop()


def test_supervisor_that_was_asleep_blames_nobody(modules, monkeypatch):
    """Nobody heard the signs of life of a machine that stood still as a whole."""
    (modules / "alive").touch()
    errors = []
    child = Child("one", "lively_child", modules, SECRET, log=_Notebook([], errors), patience_seconds=5.0)
    clock = [time.monotonic()]
    monkeypatch.setattr("tallystick.node.supervised.time.monotonic", lambda: clock[0])
    try:
        child.start()
        while not pids(modules):
            time.sleep(0.02)
        time.sleep(0.3)
        child.watch()
        os.kill(child.pid, signal.SIGSTOP)
        time.sleep(0.2)
        child.watch()
        clock[0] += 60
        child.watch()
        assert [] == errors
        for _ in range(6):
            clock[0] += 1
            child.watch()
        assert ["child_stands_still"] == errors
        os.kill(child.pid, signal.SIGCONT)
    finally:
        monkeypatch.undo()
        child.stop()


class _Notebook:
    """Stands for the log, and keeps the pauses that it is told, and what went wrong."""

    def __init__(self, pauses, errors=None):
        self._pauses = pauses
        self._errors = [] if errors is None else errors

    def info(self, event, **_):
        pass

    def error(self, event, *, again_in_seconds=None, **_):
        self._errors.append(event)
        if again_in_seconds is not None:
            self._pauses.append(again_in_seconds)
