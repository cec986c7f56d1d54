"""What the office may ask of other organisations' nodes (`office.ports.Peers`), and notes that wait there for this one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from tallystick.codec import sha256
from tallystick.dataplane.certificates import TlsIdentity
from tallystick.dataplane.client import DeliveryClient, FetchOptions, Order
from tallystick.dataplane.package import KeyPackage, open_package
from tallystick.dataplane.refusals import PackageError, PeerBusyError, WrongPeerError
from tallystick.errors import AccessError, NodeError, PeerError
from tallystick.keys import OpenKeys
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.failures import PeerUnreachableError, odd_answer
from tallystick.node.peers.ports import NoteDesk
from tallystick.office.ports import Arrival, OpenedDelivery, Progress

log = structlog.get_logger("transport")


class Transport:
    """Notes and deliveries, outgoing."""

    def __init__(
        self,
        identity: TlsIdentity,
        clients: PeerClients,
        directory: Directory,
        keys: OpenKeys,
        *,
        options: FetchOptions | None = None,
    ) -> None:
        """Prepare.

        Args:
            identity: this node's.
            clients: of other nodes.
            directory: who has which address and pins.
            keys: this node's, for opening key packages.
            options: how persistent a fetch is.
        """
        self._identity = identity
        self._clients = clients
        self._directory = directory
        self._keys = keys
        self._options = options

    async def send_note(self, organisation: str, note: bytes) -> bool:
        """Push a sealed note; return whether the other side has taken it; False where it cannot be reached."""
        client = await self._clients.of(organisation)
        if client is None:
            return False
        try:
            await client.send_note(note)
        except (PeerUnreachableError, PeerBusyError, WrongPeerError) as error:
            log.info("note_waits", peer=organisation, why=error.message)
            return False
        return True

    async def open_delivery(self, provider: str, agreement: str) -> OpenedDelivery:
        """Ask a provider to open a delivery under an agreement.

        Raises:
            NodeError: it refuses, or cannot be reached.
        """
        client = await self._client(provider)
        answer = await client.open_delivery(agreement)
        try:
            return OpenedDelivery(answer.delivery, bytes.fromhex(answer.package))
        except ValueError:
            raise odd_answer(provider, "no key package") from None

    async def fetch(
        self,
        provider: str,
        opened: OpenedDelivery,
        package: KeyPackage,
        target: Path,
        progress: Progress | None,
    ) -> Arrival:
        """Fetch the content of a delivery; see `office.ports.Peers.fetch`."""
        client = await self._client(provider)

        def expected(pin: str) -> bool:
            peer = self._directory.find(provider)
            return peer is not None and pin in peer.pins

        order = Order(
            url=f"https://{client.address}",
            delivery=package.delivery,
            agreement=package.agreement,
            fingerprint=package.fingerprint,
            package_hash=sha256(opened.package).hex(),
        )
        fetcher = DeliveryClient(self._identity, expected, options=self._options)
        private = await asyncio.to_thread(self._opening_key, opened, package)
        done = await fetcher.fetch(order, target, private, progress=progress)
        return Arrival(done.path, bytes.fromhex(done.root), done.files, done.size)

    async def _client(self, organisation: str) -> PeerClient:
        client = await self._clients.of(organisation)
        if client is None:
            raise PeerError(
                f"{organisation} has registered no address at which its node can be reached",
                remedy="Ask it to register one, with the port open to members.",
            )
        return client

    def _opening_key(self, opened: OpenedDelivery, package: KeyPackage) -> bytes:
        """Return the encryption key that a package was sealed to: the newest, or one that was retired since.

        Raises:
            PackageError: it was sealed to none of them.
        """
        publics = [bytes.fromhex(info.public) for info in self._keys.list() if info.role == "encryption"]
        for public in reversed(publics):
            try:
                private = self._keys.encryption_private(public).private_bytes_raw()
                open_package(opened.package, private, delivery=package.delivery, agreement=package.agreement)
                return private
            except (PackageError, AccessError):
                continue
        raise PackageError(
            "the key package is sealed to another key than this organisation's",
            remedy="Ask the provider to open the delivery again.",
        )


class NotePuller:
    """Asks the other members' nodes again and again for notes that wait there: they cannot always push them."""

    def __init__(self, clients: PeerClients, notes: NoteDesk, poll_seconds: float) -> None:
        """Prepare.

        Args:
            clients: of other nodes.
            notes: takes them.
            poll_seconds: between two rounds.
        """
        self._clients = clients
        self._notes = notes
        self._poll_s = poll_seconds

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            await self.round()
            await asyncio.sleep(self._poll_s)

    async def round(self) -> int:
        """Ask every member that can be reached; return how many notes came."""
        others = await self._clients.others()
        return sum(await asyncio.gather(*(self._pull(name, client) for name, client in others)))

    async def _pull(self, organisation: str, client: PeerClient) -> int:
        taken = 0
        try:
            for note in await client.notes():
                # First kept, then acknowledged: a crash between the two brings it again, which does no harm.
                try:
                    self._notes.receive(organisation, note)
                except NodeError as error:
                    log.warning("note_refused", peer=organisation, why=error.message)
                await client.acknowledge_note(sha256(note).hex())
                taken += 1
        except NodeError as error:
            log.debug("notes_not_pulled", peer=organisation, why=error.message)
        return taken
