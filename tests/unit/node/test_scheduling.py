"""What the system is told about the engine holds for the program that the process becomes."""

import os
import subprocess
import sys

from tallystick.node.scheduling import SLICE_NS, TIMER_SLACK_NS

BECOME = """
import os, sys
from tallystick.node.scheduling import run_in_short_turns
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
