"""What a child process of a node waits for: a signal to stop, or its supervisor to be gone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys


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

    loop.add_reader(descriptor, read)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
