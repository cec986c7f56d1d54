"""What the operating system is told about the engine before it runs.

The engine is a hundred short tasks that wait for each other, beside processes that compute for milliseconds. Three things
that no setting of its own changes:

- Its tasks are spread over all processors, and each that wakes sends for another thread, which looks about for work and
  finds none. On one they take a quarter less, and a third less where the zone is idle; of what an engine of a zone does,
  nothing needs two. Who has set `GOMAXPROCS` for the node keeps it.
- It looks every 25 ms whether there is something to gossip, three times for each of its peers. Timers that may be late by
  3 ms fall together: then an idle one takes a third less.
- A message passes through several of its threads, and each waits for a processor. With short turns they get one at once,
  and give it back soon: on a machine where all processors are busy, blocks take up to a third less time.

The last two are wishes: where the system does not know them, the engine runs as it would have.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

import structlog

TIMER_SLACK_NS = 3_000_000
SLICE_NS = 100_000
# include/uapi/linux/prctl.h; arch/*/ system call tables; include/uapi/linux/sched/types.h, first version of the struct.
_PR_SET_TIMERSLACK = 29
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}
_SCHED_ATTR = struct.Struct("=IIQiIQQQ")
# Read by Go's runtime: how many of a program's threads may run Go code at a time.
PROCESSORS_VARIABLE = "GOMAXPROCS"
log = structlog.get_logger("engine")


def run_on_one_processor() -> None:
    """Let the program that this process becomes use one processor at a time, unless its user has said how many."""
    os.environ.setdefault(PROCESSORS_VARIABLE, "1")


def run_in_short_turns() -> None:
    """Ask for late timers and short turns, for this process, its threads and the program that it becomes (Linux)."""
    system = ctypes.CDLL(None, use_errno=True)
    if not hasattr(system, "prctl"):
        return
    _tell("timer slack", system.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(TIMER_SLACK_NS), 0, 0, 0))
    number = _SCHED_SETATTR.get(platform.machine())
    if number is not None:
        niceness = os.getpriority(os.PRIO_PROCESS, 0)
        # Policy 0 is the one of every process. For it the run time means the length of a turn since Linux 6.12, and
        # nothing before.
        wish = _SCHED_ATTR.pack(_SCHED_ATTR.size, 0, 0, niceness, 0, SLICE_NS, 0, 0)
        _tell("length of turns", system.syscall(number, 0, ctypes.create_string_buffer(wish), 0))


def _tell(what: str, answer: int) -> None:
    if answer:
        log.info("not_set", what=what, reason=os.strerror(ctypes.get_errno()))
