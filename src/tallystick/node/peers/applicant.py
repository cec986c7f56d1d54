"""Until a new organisation is a member: its node asks at the inviter's how its application stands."""

from __future__ import annotations

import asyncio

import structlog

from tallystick.codec.cards import SignedCard, card_fingerprint
from tallystick.errors import NodeError
from tallystick.node.peers.bells import Backoff
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.failures import PeerRefusedError

log = structlog.get_logger("applicant")


class Applicant:
    """Waits to be admitted."""

    def __init__(self, clients: PeerClients, card: SignedCard, addresses: list[str], poll_seconds: float) -> None:
        """Prepare.

        Args:
            clients: of other nodes.
            card: this organisation's application, sent again where it was lost.
            addresses: that the invitation named.
            poll_seconds: longest time between two questions.
        """
        self._clients = clients
        self._card = card
        self._fingerprint = card_fingerprint(card.card)
        self._addresses = addresses
        self._poll_s = poll_seconds
        self.status = "waiting"

    async def run(self) -> None:
        """Return when this organisation was admitted."""
        backoff = Backoff(first_s=1.0, limit_s=self._poll_s)
        while True:
            for address in self._addresses:
                try:
                    self.status = await self._ask(address)
                    break
                except NodeError as error:
                    log.info("application_not_answered", address=address, why=error.message)
            if self.status == "admitted":
                log.info("admitted")
                return
            await asyncio.sleep(backoff.next_s())

    async def _ask(self, address: str) -> str:
        client = await self._clients.at(address)
        try:
            return await client.application_status(self._fingerprint)
        except PeerRefusedError as error:
            if error.status != 404:
                raise
            await client.apply(self._card)
            return "waiting"
