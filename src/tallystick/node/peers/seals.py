"""Header signatures between the nodes of those who order: pushed as they are made, asked for where they are missing.

What is made within a moment travels in one message, which goes out at once where there was none for a while. A node that
cannot be connected to gets them when it asks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import structlog

from tallystick.errors import NodeError
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.messages import MAX_HEADER_SIGNATURES, HeaderSigned
from tallystick.node.peers.ports import CoreLink

log = structlog.get_logger("seals")
PUSH_SECONDS = 0.02
# Between two pushes: where blocks follow each other, the signatures of two or three travel together.
REST_SECONDS = 0.25
ASK_SECONDS = 1.0


class SealExchange:
    """Exchanges header signatures with the others that order."""

    def __init__(self, core: CoreLink, clients: PeerClients, directory: Directory, *, organisation: str) -> None:
        """Prepare.

        Args:
            core: checks and keeps them.
            clients: of other nodes.
            directory: who orders.
            organisation: whose node this is.
        """
        self._core = core
        self._clients = clients
        self._directory = directory
        self._organisation = organisation
        self._made: deque[HeaderSigned] = deque(maxlen=MAX_HEADER_SIGNATURES)
        self._due = asyncio.Event()

    def made(self, body: Any) -> None:
        """Take a signature that this node's core has made."""
        height, organisation, signature = body
        self._made.append(HeaderSigned(height=height, organisation=organisation, signature=signature))
        self._due.set()

    async def run(self) -> None:
        """Push and ask until cancelled."""
        await asyncio.gather(self._push(), self._ask())

    async def take(self, given: tuple[HeaderSigned, ...], sender: str) -> int:
        """Hand the signatures that a member's node brought to the core; return how many were new and good."""
        if not given:
            return 0
        rows = [[each.height, each.organisation, each.signature] for each in given]
        return int(await self._core.ask("header_signatures", [sender, rows]))

    async def known(self, first: int) -> tuple[HeaderSigned, ...]:
        """Return what this node has for the heights from `first` on."""
        rows = await self._core.ask("known_header_signatures", first)
        return tuple(HeaderSigned(height=row[0], organisation=row[1], signature=row[2]) for row in rows)

    def _others(self) -> list[str]:
        return [name for name in self._directory.orderers if name != self._organisation]

    async def _push(self) -> None:
        while True:
            await self._due.wait()
            await asyncio.sleep(PUSH_SECONDS)
            self._due.clear()
            made = tuple(self._made)
            self._made.clear()
            await asyncio.gather(*(self._give(name, made) for name in self._others()))
            await asyncio.sleep(REST_SECONDS)

    async def _give(self, organisation: str, made: tuple[HeaderSigned, ...]) -> None:
        client = await self._clients.of(organisation)
        if client is None:
            return
        try:
            await client.give_header_signatures(made)
        except NodeError as error:
            log.debug("not_given", peer=organisation, why=error.message)

    async def _ask(self) -> None:
        """Ask in turn for what is missing for longer than a push takes."""
        turn = 0
        lacking = 0
        while True:
            await asyncio.sleep(ASK_SECONDS)
            try:
                now = int((await self._core.ask("status"))["lacking"])
            except NodeError:
                continue
            others = self._others()
            if now and now == lacking and others:
                asked = others[turn % len(others)]
                client = await self._clients.of(asked)
                turn += 1
                if client is not None:
                    try:
                        await self.take(await client.header_signatures(now), asked)
                    except NodeError as error:
                        log.debug("not_answered", peer=client.name, why=error.message)
            lacking = now
