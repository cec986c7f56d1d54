"""What the system is told about the engine holds for the program that the process becomes."""

import os
import subprocess
import sys

import pytest

from tallystick.node.scheduling import PROCESSORS_VARIABLE, SLICE_NS, TIMER_SLACK_NS

BECOME = """
import os, sys
from tallystick.node.scheduling import run_in_short_turns, run_on_one_processor
run_on_one_processor()
run_in_short_turns()
os.execv("/bin/cat", ["cat", *sys.argv[1:]])
"""


def become(*files):
    """Return what a process reads in files of its own, once it was told and has become another program."""
    done = subprocess.run([sys.executable, "-c", BECOME, *files], capture_output=True, text=True, timeout=30)
    assert 0 == done.returncode
    return done.stdout


def test_timers_may_be_late():
    """The slack of timers outlives `exec`."""
    assert TIMER_SLACK_NS == int(become("/proc/self/timerslack_ns"))


def test_turns_are_short():
    """So does the length of turns, where the kernel knows and tells it; who was made to wait behind others still does."""
    found = become("/proc/self/stat")
    assert os.getpriority(os.PRIO_PROCESS, 0) == int(found.rpartition(")")[2].split()[16])
    if os.path.exists("/proc/self/sched"):
        told = dict(
            line.replace(" ", "").split(":", 1) for line in become("/proc/self/sched").splitlines() if " : " in line
        )
        assert SLICE_NS == int(told.get("se.slice", SLICE_NS))


@pytest.mark.parametrize(("said", "found"), [(None, "1"), ("3", "3")])
def test_engine_uses_one_processor_unless_its_user_says_otherwise(monkeypatch, said, found):
    """The program that the process becomes finds in its environment how many it may use."""
    if said is None:
        monkeypatch.delenv(PROCESSORS_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(PROCESSORS_VARIABLE, said)

    assert f"{PROCESSORS_VARIABLE}={found}" in become("/proc/self/environ").split("\0")
