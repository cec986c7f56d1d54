"""Giving snapshots: another member's new node asks for the records instead of for all blocks.

A snapshot is taken when one is asked for and the last is not fresh, by a process of its own: neither the core nor this
one is held up. At most two are kept, and none when nobody has asked for an hour. What is given needs no trust: who gets
it computes every root again.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections.abc import Callable

import structlog

from tallystick.codec import MalformedError
from tallystick.dataplane.refusals import PeerBusyError
from tallystick.errors import PeerError, StorageError, UsageError
from tallystick.node.homes import Home
from tallystick.node.peers.messages import MAX_WAIT_SECONDS
from tallystick.node.peers.server import Answer, Call, Endpoint
from tallystick.ordering.snapshots import DESCRIPTION, read_chunk, read_description, snapshot_heights

log = structlog.get_logger("peers")
FRESH_SECONDS = 600.0
IDLE_SECONDS = 3_600.0
_LOOK_SECONDS = 60.0
_MOST = 2**53 - 1


class SnapshotDesk:
    """This node's snapshots, for others."""

    def __init__(self, home: Home, clock_s: Callable[[], float] = time.time) -> None:
        """Prepare.

        Args:
            home: the node's.
            clock_s: UTC time, seconds.
        """
        self._home = home
        self._clock_s = clock_s
        self._asked = clock_s()
        self._making: asyncio.Task[int] | None = None

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        return [
            Endpoint("GET", "/snapshot", self._describe, waits=True),
            Endpoint("GET", "/snapshot/{height}/{chunk}", self._chunk),
        ]

    async def run(self) -> None:
        """Remove snapshots that nobody asks for any more, until cancelled."""
        try:
            while True:
                if self._clock_s() - self._asked > IDLE_SECONDS:
                    shutil.rmtree(self._home.snapshots_path, ignore_errors=True)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            if self._making is not None:
                self._making.cancel()
                await asyncio.gather(self._making, return_exceptions=True)

    # --- answering ---------------------------------------------------------------------------------------------------

    async def _describe(self, call: Call) -> Answer:
        self._asked = self._clock_s()
        found = self._fresh()
        if found is None:
            await self._take(call.number("wait", 0, MAX_WAIT_SECONDS))
            found = self._fresh()
        if found is None:
            raise PeerError(
                "this node could take no snapshot", remedy="Ask another node; the log of this one tells why."
            )
        return Answer(found)

    async def _chunk(self, call: Call) -> Answer:
        self._asked = self._clock_s()
        height, index = (_number(call.names[name]) for name in ("height", "chunk"))
        data = await asyncio.to_thread(read_chunk, self._home.snapshots_path, height, index)
        if data is None:
            raise UsageError(
                f"there is no chunk {index} of a snapshot at {height}", remedy="Ask which snapshot there is now."
            )
        return Answer(data, "application/octet-stream")

    def _fresh(self) -> bytes | None:
        """Return the description of the newest snapshot, if it is fresh enough."""
        folder = self._home.snapshots_path
        heights = snapshot_heights(folder)
        if not heights:
            return None
        try:
            taken = (folder / str(heights[-1]) / DESCRIPTION).stat().st_mtime
        except OSError:
            return None
        return read_description(folder, heights[-1]) if self._clock_s() - taken < FRESH_SECONDS else None

    async def _take(self, wait_s: int) -> None:
        """Let a snapshot be taken, and wait for it.

        Raises:
            PeerBusyError: it takes longer.
            StorageError: there is no room for it.
        """
        if self._making is None or self._making.done():
            self._check_room()
            self._making = asyncio.create_task(self._make())
        done, _ = await asyncio.wait({self._making}, timeout=wait_s)
        if not done:
            raise PeerBusyError("a snapshot is being taken", remedy="Ask again in a moment.")

    def _check_room(self) -> None:
        size = self._home.ledger_path.stat().st_size
        if shutil.disk_usage(self._home.path).free < 2 * size:
            raise StorageError("this node has no room for a snapshot", remedy="Ask another node.")

    async def _make(self) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tallystick.node.snapshot_main", str(self._home.path), start_new_session=True
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 16:
        raise MalformedError("not a number")
    return min(int(text), _MOST)
