"""Waiting for something to happen without missing it, and waiting before trying again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable


class Bell:
    """Rung when something happened; who waits looks again for what they wait for.

    News from the core can be lost while it restarts, so waiting looks by itself once a second as well.
    """

    LOOK_SECONDS = 1.0

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake all who wait."""
        rung, self._next = self._next, asyncio.Event()
        rung.set()

    async def wait_until(self, arrived: Callable[[], bool], seconds: float) -> bool:
        """Return True as soon as `arrived()`, or False after some seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            heard = self._next
            if arrived():
                return True
            left = deadline - loop.time()
            if left <= 0:
                return False
            try:
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the event.
                async with asyncio.timeout(min(left, self.LOOK_SECONDS)):
                    await heard.wait()
            except TimeoutError:
                continue


class Backoff:
    """Growing waits with jitter, so that many nodes do not come back at the same moment."""

    def __init__(self, first_s: float = 0.25, limit_s: float = 30.0) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._wait_s = first_s

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self._wait_s = self._first_s

    def next_s(self) -> float:
        """Return how long to wait now; the next time longer."""
        wait_s = self._wait_s
        self._wait_s = min(self._limit_s, wait_s * 2)
        return wait_s * random.uniform(0.5, 1.0)

    async def sleep(self) -> None:
        """Wait."""
        await asyncio.sleep(self.next_s())
