"""The clients of one node: to whom it can connect by now, and which keys it accepts at the other end."""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.dataplane.certificates import TlsIdentity
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.directory import Directory


class PeerClients:
    """One client for each organisation, and for each address that the operator named."""

    def __init__(
        self, identity: TlsIdentity, directory: Directory, *, myself: str, introduced: frozenset[str] = frozenset()
    ) -> None:
        """Prepare.

        Args:
            identity: this node's.
            directory: who is who.
            myself: this node's organisation.
            introduced: pins that an invitation named; good for addresses that are not a registered member's (yet).
        """
        self._identity = identity
        self._directory = directory
        self._myself = myself
        self._introduced = introduced
        self._clients: dict[str, PeerClient] = {}

    async def of_first(self, organisations: Sequence[str]) -> tuple[str, PeerClient | None]:
        """Return the first of some members whose node can be connected to, and its client; None where none can."""
        for organisation in organisations:
            client = await self.of(organisation)
            if client is not None:
                return organisation, client
        return "", None

    async def of(self, organisation: str) -> PeerClient | None:
        """Return the client of a member's registered address, or None where it has none or is no active member."""
        peer = self._directory.find(organisation)
        known = self._clients.get(organisation)
        if known is not None and (peer is None or peer.address != known.address):
            del self._clients[organisation]
            await known.close()
            known = None
        if peer is None or not peer.address:
            return None
        if known is None:

            def expected(pin: str) -> bool:
                now = self._directory.find(organisation)
                return now is not None and pin in now.pins

            known = PeerClient(self._identity, expected, address=peer.address, name=organisation, myself=self._myself)
            self._clients[organisation] = known
        return known

    async def at(self, address: str) -> PeerClient:
        """Return the client of an address, at which any member's node may be, or one that the invitation named."""
        known = self._clients.get(address)
        if known is None:

            def expected(pin: str) -> bool:
                return pin in self._introduced or pin in self._directory.pins()

            known = PeerClient(self._identity, expected, address=address, name=address, myself=self._myself)
            self._clients[address] = known
        return known

    async def others(self) -> list[tuple[str, PeerClient]]:
        """Return every other member that can be connected to, with its client."""
        found = []
        for peer in self._directory.peers():
            client = None if peer.organisation == self._myself else await self.of(peer.organisation)
            if client is not None:
                found.append((peer.organisation, client))
        return found

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
