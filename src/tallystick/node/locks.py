"""Locks on a home: one supervisor, one core and one office at a time.

A lock belongs to a process and goes with it, so that no stale one can remain. Where a supervisor was killed, its children
are still ending while the next `tally node run` starts: the new core and the new office wait for them here. Two cores on
one ledger could sign two different blocks of one height.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from tallystick.errors import UsageError

SUPERVISOR, CORE, OFFICE = "node.lock", "core.lock", "office.lock"
FILES = frozenset((SUPERVISOR, CORE, OFFICE))
_LOOK_SECONDS = 0.02


def try_lock(home: Path, name: str) -> IO[bytes] | None:
    """Take a lock, or return None where another process holds it; it is held until the file is closed.

    Args:
        home: the node's home.
        name: of the lock's file, which gets this process's id for people who look.
    """
    lock = open(home / name, "ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    lock.truncate(0)
    lock.write(str(os.getpid()).encode())
    lock.flush()
    return lock


def lock_home(home: Path) -> IO[bytes]:
    """Hold a home for its one supervisor.

    Raises:
        UsageError: another holds it.
    """
    lock = try_lock(home, SUPERVISOR)
    if lock is None:
        raise UsageError(
            f"the node of {home} is running already",
            remedy="See it with `tally node status`; stop it before you start another.",
        )
    return lock


async def wait_for_lock(home: Path, name: str, seconds: float = 30.0) -> IO[bytes]:
    """Take a lock as soon as whoever holds it has ended.

    Raises:
        UsageError: it is held for longer than a process needs to end.
    """
    # A supervisor, which only tries, does without.
    import asyncio

    deadline = time.monotonic() + seconds
    while True:
        lock = try_lock(home, name)
        if lock is not None:
            return lock
        if time.monotonic() > deadline:
            raise UsageError(
                f"another process still works on {home} (its id is in {name})",
                remedy="Stop it, then start the node again.",
            )
        await asyncio.sleep(_LOOK_SECONDS)
