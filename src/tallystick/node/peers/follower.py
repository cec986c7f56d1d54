"""Following: a replica takes blocks from the orderer's node, or from any other node that has them.

Rules:

- Each block goes to the core, which checks all of it. A source whose blocks do not verify is left alone for a while; it
  says nothing about the orderer.
- What the orderer signed and what is nevertheless wrong raises the alarm in the core. Then this node follows no more; if
  two of the orderer's headers contradict each other, they are made into a fork proof.
- The orderer is asked first. While another node stands in, it is tried again every minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

import structlog

from tallystick.codec import MalformedError
from tallystick.errors import NodeError
from tallystick.node.peers.bells import Backoff
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.messages import MAX_WAIT_SECONDS, SignedBlock
from tallystick.node.peers.newcomer import Newcomer, Source
from tallystick.node.peers.ports import CoreLink
from tallystick.proofs.forks import build_headers_fork
from tallystick.proofs.headers import Header, HeaderSignatures, decode_header, decode_signatures
from tallystick.store import LedgerStore

log = structlog.get_logger("follower")
DISTRUST_SECONDS = 300.0
STAND_IN_SECONDS = 60.0
_CORE_RETRY_SECONDS = 1.0
_ALMOST_AT_ONCE_SECONDS = 0.5


class _LeftError(Exception):
    """This source is no good now; try the next."""


class Follower:
    """Keeps this copy up to date."""

    def __init__(
        self,
        core: CoreLink,
        clients: PeerClients,
        directory: Directory,
        store: LedgerStore,
        *,
        organisation: str,
        follow: list[str],
        introduced: list[str],
        poll_seconds: int,
        newcomer: Newcomer | None = None,
    ) -> None:
        """Prepare.

        Args:
            core: takes the blocks.
            clients: of other nodes.
            directory: who orders, who has an address.
            store: this copy, for reading.
            organisation: whose node this is.
            follow: addresses that the operator named; then no others are asked.
            introduced: addresses that an invitation named, asked after all others.
            poll_seconds: how long a request for the next block waits for it.
            newcomer: lets an empty copy begin from a snapshot.
        """
        self._core = core
        self._clients = clients
        self._directory = directory
        self._store = store
        self._organisation = organisation
        self._follow = follow
        self._introduced = introduced
        self._newcomer = newcomer
        self._wait_s = min(poll_seconds, MAX_WAIT_SECONDS)
        self._left: dict[str, float] = {}
        self._known_height = 0
        self._stopped = False
        self.source = ""
        self.trouble = ""

    def heard(self, height: int) -> None:
        """Take note of a height that another node says to have; a source that stays behind it is left."""
        self._known_height = max(self._known_height, height)

    def stop_following(self, why: str) -> None:
        """Follow no more: the orderer is not trusted."""
        if not self._stopped:
            log.error("following_stopped", why=why)
        self._stopped = True
        self.source = ""
        self.trouble = why

    async def run(self) -> None:
        """Follow until the alarm is raised or the task is cancelled."""
        backoff = Backoff(limit_s=5.0)
        if self._newcomer is not None and await self._newcomer.run(self.sources, self.distrust):
            # The core, and this process with it, starts anew from there.
            return
        while not self._stopped:
            before = self._store.last_height()
            for position, source in enumerate(await self.sources()):
                if self._stopped:
                    return
                left = False
                try:
                    await self._follow_one(source, first=position == 0)
                except (_LeftError, NodeError) as error:
                    left = isinstance(error, _LeftError)
                    self.trouble = str(error)
                    log.warning("source_left", source=source.name, why=str(error))
                self.source = ""
                # One that was left for what it gave is not asked again before the others, or it could hold this copy
                # back for ever by giving a little each time.
                if self._store.last_height() > before and not left:
                    break
            if self._store.last_height() > before:
                backoff.reset()
            # Nobody had what somebody claimed to have.
            self._known_height = 0
            await backoff.sleep()

    async def sources(self) -> list[Source]:
        """Return where to ask, in order; those left alone for now are not among them."""
        found: list[Source] = [Source(address, await self._clients.at(address)) for address in self._follow]
        if not found:
            others = [Source(name, client) for name, client in await self._clients.others()]
            random.shuffle(others)
            found = sorted(others, key=lambda source: source.name not in self._directory.orderers)
            known = {source.client.address for source in found}
            found += [
                Source(address, await self._clients.at(address)) for address in self._introduced if address not in known
            ]
        now = time.monotonic()
        return [source for source in found if self._left.get(source.name, 0.0) <= now]

    async def _follow_one(self, source: Source, *, first: bool) -> None:
        """Take blocks from one node as long as it is the one to ask.

        Args:
            source: the node.
            first: whether it is the first choice; another is left after a while, to try the first again.
        """
        began = time.monotonic()
        while not self._stopped:
            height = self._store.last_height()
            asked = time.monotonic()
            blocks = await source.client.blocks(height + 1, wait_s=self._wait_s)
            if self.source != source.name:
                self.source = source.name
                log.info("following", source=source.name, height=height)
            for left, block in zip(range(len(blocks) - 1, -1, -1), blocks, strict=True):
                await self._apply(source, block, more=left > 0)
                if self._stopped:
                    return
            if blocks:
                self.trouble = ""
            elif self._known_height > height:
                raise _LeftError(f"{source.name} does not have block {height + 1}, which others have")
            elif time.monotonic() - asked < _ALMOST_AT_ONCE_SECONDS:
                # A node that answers without waiting would be asked without end.
                await asyncio.sleep(_ALMOST_AT_ONCE_SECONDS)
            if not first and time.monotonic() - began > STAND_IN_SECONDS:
                return

    async def _apply(self, source: Source, block: SignedBlock, *, more: bool) -> None:
        """Give a block to the core, and tell it whether there are more at hand.

        Raises:
            _LeftError: it is not good, and the source to blame.
        """
        while not self._stopped:
            try:
                answer: dict[str, Any] = await self._core.ask("apply", [*block, more])
            except NodeError as error:
                # This node's own trouble (a full disk, a core that restarts): the block is as good as before.
                self.trouble = error.message
                log.warning("block_not_kept", why=error.message)
                await asyncio.sleep(_CORE_RETRY_SECONDS)
                continue
            reason = answer.get("refused", "")
            if not reason:
                return
            self.trouble = answer["message"]
            if reason == "not_next":
                raise _LeftError(answer["message"])
            if answer["blame"] == "clock":
                log.warning("block_from_the_future", why=answer["message"])
                await asyncio.sleep(_CORE_RETRY_SECONDS)
                continue
            if answer["blame"] == "orderer":
                await self._look_for_fork(source, block)
                self.stop_following(answer["message"])
                return
            self.distrust(source.name)
            raise _LeftError(f"{source.name} gave a block that does not verify ({reason}): {answer['message']}")

    def distrust(self, name: str) -> None:
        """Leave a source alone for a while."""
        self._left[name] = time.monotonic() + DISTRUST_SECONDS

    async def _look_for_fork(self, source: Source, block: SignedBlock) -> None:
        """Find the first height at which the source's history is another, and prove that one that orders signed both."""
        try:
            other = await self._first_difference(source)
        except (NodeError, MalformedError) as error:
            log.warning("no_fork_proof", why=str(error))
            return
        if other is None:
            return
        header, signatures = other
        mine = self._store.find_block(header.height)
        if mine is None:
            return
        proof = build_headers_fork(decode_header(mine.header), decode_signatures(mine.signatures), header, signatures)
        if proof is None:
            return
        with contextlib.suppress(NodeError):
            await self._core.ask("fork", proof)

    async def _first_difference(self, source: Source) -> tuple[Header, HeaderSignatures] | None:
        """Return the source's header and its signatures at the first height where this copy has another header."""
        low, high = 1, self._store.last_height()
        found: tuple[Header, HeaderSignatures] | None = None
        while low <= high:
            middle = (low + high) // 2
            blocks = await source.client.blocks(middle, limit=1)
            mine = self._store.find_block(middle)
            if not blocks or mine is None:
                return None
            given = blocks[0]
            if given.header == mine.header:
                low = middle + 1
            else:
                found = decode_header(given.header), decode_signatures(given.signatures)
                high = middle - 1
        return found
