"""After a restore: an orderer whose copy is an older one must not sign again what it has signed before, differently.

Its copy comes from a backup, or has lost blocks that it had published: its core marks its home in both cases.

Its core is held until this is done: ask the members how far the history had gone, take back the blocks beyond the
backup (each signed by this very node and chained to the last), and only then let it order again. That is when

- at least as many other members have answered as a receipt needs, and
- this copy is as long as every checkpoint that anybody showed, signed by this node's own key.

A checkpoint that this node did not sign counts for nothing, so no member can hold it up by a false claim; blocks come
from whoever has them, members that cannot be connected to included: they connect and give them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog

from tallystick.codec import MalformedError
from tallystick.errors import NodeError
from tallystick.node.homes import Home
from tallystick.node.peers.bells import Backoff
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.messages import Head, SignedBlock
from tallystick.node.peers.ports import CoreLink
from tallystick.proofs.checkpoints import verify_checkpoint
from tallystick.store import LedgerStore

log = structlog.get_logger("rejoin")


class Introduced(Protocol):
    """A member's node that an invitation names."""

    @property
    def organisation(self) -> str:
        """Whose it is."""

    @property
    def address(self) -> str:
        """Where it is."""


class Rejoin:
    """Brings a restored orderer back to where it was."""

    def __init__(
        self,
        core: CoreLink,
        clients: PeerClients,
        store: LedgerStore,
        home: Home,
        *,
        organisation: str,
        system_key: bytes,
        introduced: Sequence[Introduced] = (),
    ) -> None:
        """Prepare.

        Args:
            core: applies recovered blocks and is released in the end.
            clients: of other nodes.
            store: this copy, for reading.
            home: bears the mark of a restored copy.
            organisation: whose node this is.
            system_key: the public key that signed the checkpoints.
            introduced: nodes that an invitation names.
        """
        self._core = core
        self._clients = clients
        self._store = store
        self._home = home
        self._organisation = organisation
        self._system_key = system_key
        self._introduced = introduced
        self._lock = asyncio.Lock()
        # member -> the largest size that it showed and this node's own key had signed.
        self.answered: dict[str, int] = {}
        # member -> the height that it says to have blocks of.
        self._heights: dict[str, int] = {}

    def heard(self, organisation: str, head: Head) -> None:
        """Take note of what a member shows.

        Args:
            organisation: the member.
            head: with checkpoints that this node may have signed.
        """
        shown = max((self._signed_size(note) for note in head.checkpoints), default=0)
        self.answered[organisation] = max(shown, self.answered.get(organisation, 0))
        self._heights[organisation] = head.height

    async def run(self) -> None:
        """Ask and catch up until the core is released; what was answered at an earlier time counts no more."""
        self.answered.clear()
        self._heights.clear()
        backoff = Backoff(first_s=0.3, limit_s=10.0)
        while self._home.is_restored:
            for organisation, client in await self._others():
                try:
                    self.heard(organisation, await client.head())
                    await self._catch_up(organisation, client)
                except NodeError as error:
                    log.warning("member_not_asked", member=organisation, why=error.message)
            try:
                if await self._release_if_done():
                    return
            except NodeError as error:
                log.warning("not_released", why=error.message)
            await backoff.sleep()

    async def _others(self) -> list[tuple[str, PeerClient]]:
        """Return the other members; where this copy has lost even who they are, those that an invitation names."""
        known = await self._clients.others()
        if known or self._size():
            return known
        return [
            (node.organisation, await self._clients.at(node.address))
            for node in self._introduced
            if node.organisation != self._organisation
        ]

    async def recover(self, block: SignedBlock) -> None:
        """Apply one block that this node had signed, if it is the next.

        Raises:
            NodeError: it is not this node's own, or does not follow.
        """
        async with self._lock:
            await self._core.ask("recover", list(block))

    def state(self) -> dict[str, object]:
        """Return how far it has come, for people."""
        return {"answered": dict(self.answered), "needed": self._needed(), "size": self._size()}

    async def _catch_up(self, organisation: str, client: PeerClient) -> None:
        while self._heights[organisation] > self._store.last_height():
            blocks = await client.blocks(self._store.last_height() + 1)
            if not blocks:
                # It said to have more than it gives; what others give may be enough.
                self._heights[organisation] = 0
                return
            for block in blocks:
                await self.recover(block)
            log.info("recovered", height=self._store.last_height(), source=organisation)

    async def _release_if_done(self) -> bool:
        size = self._size()
        if len(self.answered) < self._needed() or any(shown > size for shown in self.answered.values()):
            return False
        await self._core.ask("release")
        log.info("released", size=size, answered=sorted(self.answered))
        return True

    def _needed(self) -> int:
        return self._home.read_trust().latest.needed

    def _signed_size(self, note: str) -> int:
        """Return the size of a checkpoint that this node's own key signed; 0 for any other."""
        try:
            signed = verify_checkpoint(note.encode(), self._store.chain, {self._organisation: self._system_key})
        except MalformedError:
            return 0
        return signed.size

    def _size(self) -> int:
        last = self._store.last_block()
        return 0 if last is None else last.size
