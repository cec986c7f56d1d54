"""Fetching older blocks: a copy that began from a snapshot comes to hold the whole history, in the background.

Blocks are fetched from the first on from any node that has them, and executed by a process of its own (`older_main`),
which checks each as any replica does. When they have come to the block that this copy began from, the core puts them
into the ledger, a few at a time. Nothing of it hurries: new blocks and this node's people go first.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from tallystick.errors import NodeError, StorageError
from tallystick.node.homes import Home
from tallystick.node.peers.bells import Backoff
from tallystick.node.peers.messages import encode_block
from tallystick.node.peers.newcomer import Source
from tallystick.node.peers.ports import CoreLink
from tallystick.store import LedgerStore

log = structlog.get_logger("older")
BATCH = 500
_PAUSE_SECONDS = 0.02


class _Told(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of the process that executes older blocks."""

    complete: bool
    height: int
    refused: str


_told_decoder = msgspec.json.Decoder(_Told)


class OlderFetcher:
    """Brings the blocks from before this copy began.

    Attributes:
        height: up to which they have been executed.
        trouble: why it goes no further at the moment.
    """

    def __init__(self, core: CoreLink, store: LedgerStore, home: Home) -> None:
        """Prepare.

        Args:
            core: puts them into the ledger.
            store: this copy, for reading.
            home: the node's.
        """
        self._core = core
        self._store = store
        self._home = home
        self.height = 0
        self.trouble = ""

    def standing(self) -> dict[str, Any]:
        """Return how far the older blocks have come, for people."""
        base = self._store.base
        if base is None:
            return {}
        return {"begun": base.height, "older": self.height, "older_trouble": self.trouble}

    async def run(self, sources: Callable[[], Awaitable[list[Source]]], distrust: Callable[[str], None]) -> None:
        """Fetch until this copy holds everything, or the task is cancelled."""
        backoff = Backoff(limit_s=30.0)
        while self._store.base is not None:
            before = self.height
            try:
                if await self._fetch_all(sources, distrust):
                    await self._put_in()
            except (NodeError, OSError, msgspec.MsgspecError) as error:
                self.trouble = str(error)
                log.warning("older_blocks_wait", why=str(error))
            if self.height > before:
                backoff.reset()
            await backoff.sleep()
        self.trouble = ""

    async def _put_in(self) -> None:
        """Let the core put what was executed into the ledger, with time for its other work between."""
        while (await self._core.ask("older"))["base"]:
            await asyncio.sleep(_PAUSE_SECONDS)

    # --- executing ---------------------------------------------------------------------------------------------------

    async def _fetch_all(self, sources: Callable[[], Awaitable[list[Source]]], distrust: Callable[[str], None]) -> bool:
        """Fetch and execute what is missing; return whether all of it is there.

        Raises:
            NodeError: the process ended.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tallystick.node.older_main",
            str(self._home.path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            told = await self._told(process)
            for source in await sources():
                if told.complete:
                    break
                told = await self._feed(process, source, told, distrust)
            return told.complete and not told.refused
        finally:
            await _end(process)

    async def _feed(
        self, process: asyncio.subprocess.Process, source: Source, told: _Told, distrust: Callable[[str], None]
    ) -> _Told:
        """Give one node's blocks to the process, until it has all of them or this node is no good."""
        while not told.complete:
            try:
                blocks = await source.client.blocks(told.height + 1, limit=BATCH)
            except NodeError as error:
                self.trouble = error.message
                return told
            if not blocks:
                return told
            batch = b"".join(encode_block(*block) for block in blocks)
            stdin: Any = process.stdin
            stdin.write(len(batch).to_bytes(4, "big") + batch)
            with contextlib.suppress(ConnectionError):
                await stdin.drain()
            told = await self._told(process)
            if told.refused:
                self.trouble = f"{source.name} gave older blocks that do not hold: {told.refused}"
                log.error("older_blocks_refused", source=source.name, why=told.refused)
                distrust(source.name)
                return told
            self.trouble = ""
        return told

    async def _told(self, process: asyncio.subprocess.Process) -> _Told:
        stdout: Any = process.stdout
        line = await stdout.readline()
        if not line:
            raise StorageError(
                "the process that executes older blocks has ended; its log tells why",
                remedy="It is started again; free disk space if that is what it lacks.",
            )
        told = _told_decoder.decode(line)
        self.height = told.height
        return told


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let the process end by itself, or kill it."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
