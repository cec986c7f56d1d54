"""A child process of a node and its supervisor: the child gives signs of life, and hears when it is to end.

Both go over the socket that is the child's standard input. A child ends by a signal to stop, or because its supervisor is
gone; and in bounded time.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys

# Longer than a supervisor waits for a child that it has told to stop.
END_SECONDS = 15.0
PULSE_SECONDS = 5.0
PULSE = b"."


async def wait_for_end() -> None:
    """Return on SIGTERM or SIGINT, or when standard input closes because the supervisor died."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    descriptor = sys.stdin.fileno()
    os.set_blocking(descriptor, False)

    def read() -> None:
        try:
            if os.read(descriptor, 4096) == b"":
                ended.set()
        except BlockingIOError:
            return
        except OSError:
            # The other end is gone, with a sign of life in it that was not heard.
            ended.set()

    loop.add_reader(descriptor, read)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)


async def give_pulse() -> None:
    """Give a sign of life to the supervisor every few seconds; never return.

    A loop that stands still gives none, and its supervisor starts another process in its place. So this begins when all
    is up: what a start takes depends on the ledger.
    """
    descriptor = sys.stdin.fileno()
    while True:
        # One that is stopped itself hears nothing; one that is gone is noticed by `wait_for_end`.
        with contextlib.suppress(OSError):
            os.write(descriptor, PULSE)
        await asyncio.sleep(PULSE_SECONDS)


def end_in_time(seconds: float = END_SECONDS) -> None:
    """Give this process so long to end from now on.

    One that does not is gone with code 1, whatever its threads wait for, after it has written to its log where each of
    them stands. One that ends because it found a fault is told to by nobody who would kill it, and one whose supervisor
    is gone would keep the node's home for ever.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.stderr)
