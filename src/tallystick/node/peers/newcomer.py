"""Beginning: an empty copy of a large zone fetches the records after some block instead of executing all before it.

Rules:

- Any member's node may be the source. What it gives is compared with its description chunk by chunk, and judged as a
  whole in the core; a source whose snapshot is refused is left alone for a while, one that dies midway is replaced by
  the next.
- A chunk is kept under its hash. What was fetched from one source, or before a crash, is not fetched again where the
  next description names it too.
- If no source can give one, this copy executes all blocks, as it would in a small zone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import structlog

from tallystick.codec import MalformedError, sha256
from tallystick.dataplane.refusals import PeerBusyError
from tallystick.errors import IntegrityError, NodeError, PeerError, StorageError
from tallystick.node.homes import Home
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.failures import odd_answer
from tallystick.node.peers.messages import MAX_WAIT_SECONDS
from tallystick.node.peers.ports import CoreLink
from tallystick.ordering.snapshots import Description, decode_description
from tallystick.store import LedgerStore

log = structlog.get_logger("newcomer")
AT_A_TIME = 4
ASK_TIMES = 40
TRUST_TIMES, TRUST_SECONDS = 8, 3.0


class Source(NamedTuple):
    """Where blocks and snapshots come from."""

    name: str
    client: PeerClient


class Newcomer:
    """Lets an empty copy begin from a snapshot, where that is faster."""

    def __init__(self, core: CoreLink, store: LedgerStore, home: Home) -> None:
        """Prepare.

        Args:
            core: judges snapshots, and writes.
            store: this copy, for reading.
            home: the node's.
        """
        self._core = core
        self._store = store
        self._home = home
        self.progress = ""

    async def run(self, sources: Callable[[], Awaitable[list[Source]]], distrust: Callable[[str], None]) -> bool:
        """Begin from a snapshot, if this copy is empty and another's history long.

        Args:
            sources: gives the nodes to ask, the best first.
            distrust: is told of a node whose snapshot was refused.

        Returns:
            whether this copy has begun; its core then starts anew.
        """
        threshold = self._home.settings.ledger.snapshot_from
        if not threshold or self._store.last_block() is not None:
            return False
        for source in await self._far_ahead(await sources(), threshold):
            try:
                await self._begin_from(source)
                return True
            except IntegrityError as error:
                distrust(source.name)
                log.error("snapshot_refused", source=source.name, why=error.message)
            except (NodeError, OSError) as error:
                log.warning("snapshot_not_taken", source=source.name, why=str(error))
            finally:
                self.progress = ""
        return False

    async def _far_ahead(self, sources: list[Source], threshold: int) -> list[Source]:
        """Return the nodes that say to have a long history."""

        async def size(source: Source) -> int:
            try:
                return (await source.client.head()).size
            except NodeError:
                return 0

        sizes = await asyncio.gather(*(size(source) for source in sources))
        return [source for source, size in zip(sources, sizes, strict=True) if size >= threshold]

    async def _begin_from(self, source: Source) -> None:
        """Begin from a source's snapshot.

        Raises:
            IntegrityError: what it gives does not hold.
            NodeError: it cannot be reached, has none, or this node has trouble of its own.
        """
        data = await self._description(source)
        try:
            description = decode_description(data)
        except MalformedError as error:
            raise _lie(source, f"a malformed description: {error.reason}") from None
        log.info("fetching_snapshot", source=source.name, height=description.height, chunks=len(description.chunks))
        folder = self._home.incoming_path
        folder.mkdir(exist_ok=True)
        await self._fetch(source, description, folder)
        self.progress = f"checking the snapshot of {source.name} at block {description.height}"
        for _ in range(TRUST_TIMES):
            _, trust = await source.client.zone()
            told = await self._core.ask("begin", [data, trust])
            if told.get("refused") != "trust_pending":
                break
            # The members sign a change of members within moments of it, where enough of their nodes run.
            await asyncio.sleep(TRUST_SECONDS)
        else:
            raise PeerError(f"{source.name}: {told['message']}", remedy=told["remedy"])
        if "refused" in told:
            raise IntegrityError(f"{source.name}: {told['message']}", remedy=told["remedy"])
        log.info("begun_from_snapshot", source=source.name, height=told["height"], size=told["size"])

    async def _description(self, source: Source) -> bytes:
        """Return the description of a source's snapshot, waiting while it is taken."""
        for _ in range(ASK_TIMES - 1):
            self.progress = f"waiting for a snapshot of {source.name}"
            try:
                return await source.client.snapshot(wait_s=MAX_WAIT_SECONDS)
            except PeerBusyError as error:
                log.info("snapshot_awaited", source=source.name, why=error.message)
                await asyncio.sleep(0.5)
        return await source.client.snapshot(wait_s=MAX_WAIT_SECONDS)

    async def _fetch(self, source: Source, description: Description, folder: Path) -> None:
        """Fetch the chunks that are not there yet, a few at a time.

        Raises:
            IntegrityError: one is not what the description names.
        """
        missing = [
            (index, name)
            for index, name in enumerate(description.chunks)
            if not await asyncio.to_thread(_is_there, folder / name, name)
        ]
        left = iter(missing)
        done = len(description.chunks) - len(missing)

        async def fetch() -> None:
            nonlocal done
            for index, name in left:
                data = await source.client.snapshot_chunk(description.height, index)
                await asyncio.to_thread(_keep, source, folder, name, data)
                done += 1
                self.progress = f"fetching a snapshot of {source.name}: {done} of {len(description.chunks)} parts"

        tasks = [asyncio.create_task(fetch()) for _ in range(AT_A_TIME)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _is_there(path: Path, name: str) -> bool:
    try:
        return sha256(path.read_bytes()).hex() == name
    except OSError:
        return False


def _keep(source: Source, folder: Path, name: str, data: bytes) -> None:
    if sha256(data).hex() != name:
        raise _lie(source, "a part of a snapshot that is not the one it named")
    fresh = folder / f"{name}.new"
    try:
        fresh.write_bytes(data)
        fresh.replace(folder / name)
    except OSError as error:
        raise StorageError(
            f"a snapshot cannot be kept in {folder}: {error.strerror}", remedy="Free disk space, then start again."
        ) from None


def _lie(source: Source, what: str) -> IntegrityError:
    error = odd_answer(source.name, what)
    return IntegrityError(error.message, remedy=error.remedy)
