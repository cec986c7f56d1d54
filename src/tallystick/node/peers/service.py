"""Everything between this node and others, put together: made before the ledger's door, started once there is an office.

service = PeerService(home, keys, link)         # `service.ordering` goes into the Ledger, `service.transport` into
await service.start(office)                     # the Office; news of the link go to `service.on_news`
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import structlog

from tallystick.dataplane.limits import Limits
from tallystick.dataplane.ports import TransferObserver
from tallystick.dataplane.server import DeliveryServer
from tallystick.errors import NodeError
from tallystick.keys import OpenKeys
from tallystick.ledger.ports import Ordering
from tallystick.modules import rulebook
from tallystick.node.homes import Home
from tallystick.node.join import introductions, read_card
from tallystick.node.peers.applicant import Applicant
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.endpoints import HistoryEndpoints, OfficeEndpoints, OfficePolicy
from tallystick.node.peers.engine_desk import EngineDesk
from tallystick.node.peers.follower import Follower
from tallystick.node.peers.gossip import Gossip
from tallystick.node.peers.identity import open_identity
from tallystick.node.peers.limits import PeerLimits
from tallystick.node.peers.newcomer import Newcomer
from tallystick.node.peers.older import OlderFetcher
from tallystick.node.peers.ports import OfficeDesk
from tallystick.node.peers.rejoin import Rejoin
from tallystick.node.peers.relay import Relay
from tallystick.node.peers.seals import SealExchange
from tallystick.node.peers.server import PeerServer
from tallystick.node.peers.snapshots import SnapshotDesk
from tallystick.node.peers.transport import NotePuller, Transport
from tallystick.ordering.link import LinkClient
from tallystick.store import LedgerStore

log = structlog.get_logger("peers")
_RENEW_SECONDS = 6 * 3_600.0
_RECONNECT_SECONDS = 1.0
_REJOIN_LOOK_SECONDS = 1.0


class PeerService:
    """This node among the others."""

    def __init__(self, home: Home, keys: OpenKeys, link: LinkClient, *, limits: PeerLimits | None = None) -> None:
        """Put the parts together; must be called in a running event loop.

        Args:
            home: the node's.
            keys: unlocked.
            link: to the core; whoever made it passes its news to `on_news`.
            limits: how much others may ask at a time.
        """
        self.home = home
        self._part = home.part
        self._link = link
        self._limits = limits or PeerLimits()
        organisation = home.settings.node.organisation
        nodes = introductions(home)
        self.store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
        self.identity = open_identity(keys, organisation)
        self.directory = Directory(self.store)
        introduced = frozenset(pin for node in nodes for pin in node.pins)
        self.clients = PeerClients(self.identity, self.directory, myself=organisation, introduced=introduced)
        self.newcomer = Newcomer(link, self.store, home)
        self.older = OlderFetcher(link, self.store, home)
        self.snapshots = SnapshotDesk(home)
        self.engine = EngineDesk(home, self.store, link)
        self.follower = None if self._part != "replica" else self._make_follower([node.address for node in nodes])
        self.gossip = Gossip(link, self.clients, self.directory, self.store, home, listener=self.follower)
        self.rejoin = self._make_rejoin(keys) if self._part == "orderer" else None
        self.seals = self._make_seals()
        self.history = HistoryEndpoints(home, self.store, link, self.gossip, self.directory, self.rejoin, self.seals)
        self.transport = Transport(self.identity, self.clients, self.directory, keys)
        self._relay = self._make_relay() if self._part == "replica" else None
        self.applicant = self._make_applicant([node.address for node in nodes])
        self.server: PeerServer | None = None
        self._deliveries: DeliveryServer | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def ordering(self) -> Ordering:
        """Where the ledger's door sends transactions: this node's own core, or the orderer's node."""
        return self._link if self._relay is None else self._relay

    @property
    def port(self) -> int:
        """Port that others connect to; 0 where none can."""
        return 0 if self.server is None else self.server.port

    def _make_follower(self, introduced: list[str]) -> Follower:
        settings = self.home.settings
        return Follower(
            self._link,
            self.clients,
            self.directory,
            self.store,
            organisation=settings.node.organisation,
            follow=settings.peers.follow,
            introduced=introduced,
            poll_seconds=settings.peers.poll_seconds,
            newcomer=self.newcomer,
        )

    def _make_relay(self) -> Relay:
        return Relay(self.clients, self.directory, self.store, self.history.block_bell)

    def _make_seals(self) -> SealExchange | None:
        if self._part != "validator":
            return None
        organisation = self.home.settings.node.organisation
        return SealExchange(self._link, self.clients, self.directory, organisation=organisation)

    def _make_rejoin(self, keys: OpenKeys) -> Rejoin:
        return Rejoin(
            self._link,
            self.clients,
            self.store,
            self.home,
            organisation=self.home.settings.node.organisation,
            system_key=keys.signer("system").public_key,
            introduced=introductions(self.home),
        )

    def _make_applicant(self, addresses: list[str]) -> Applicant | None:
        card = read_card(self.home)
        if card is None or self._is_member():
            return None
        return Applicant(self.clients, card, addresses, self.home.settings.peers.poll_seconds)

    def _is_member(self) -> bool:
        return self.directory.find(self.home.settings.node.organisation) is not None

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(
        self, office: OfficeDesk, *, data_limits: Limits | None = None, observer: TransferObserver | None = None
    ) -> None:
        """Listen, if others can connect here, and begin to follow, gossip and relay.

        Args:
            office: answers applications, notes and deliveries.
            data_limits: how much is sent at a time.
            observer: is told how transfers end.

        Raises:
            StorageError: the address cannot be listened at.
        """
        if self.home.settings.peers.listen:
            limits = data_limits or Limits(transfers=self.home.settings.data.max_transfers)
            policy = OfficePolicy(office, self.directory)
            self._deliveries = DeliveryServer(policy, limits=limits, observer=observer)
            endpoints = self.history.endpoints() + self.snapshots.endpoints() + self.engine.endpoints()
            endpoints += OfficeEndpoints(office, self._limits).endpoints()
            self.server = PeerServer(
                self.identity.server_context(),
                self.directory,
                endpoints,
                deliveries=self._deliveries,
                limits=self._limits,
            )
            await self.server.start(self.home.settings.peers.listen)
            log.info("listening", port=self.server.port)
        await self._stop_if_alarmed()
        self._begin(self._stay_connected())
        self._begin(self._renew())
        self._begin(self.snapshots.run())
        self._begin(self._take_part(NotePuller(self.clients, office.notes, self.home.settings.peers.poll_seconds)))

    async def _take_part(self, notes: NotePuller) -> None:
        """Wait to be a member, then do what members do."""
        if self.applicant is not None:
            await self.applicant.run()
        if self._relay is not None:
            self._relay.start()
        if self.rejoin is not None:
            self._begin(self._rejoin_when_restored(self.rejoin))
        if self.follower is not None:
            self._begin(self.follower.run())
            self._begin(self.older.run(self.follower.sources, self.follower.distrust))
        if self.seals is not None:
            self._begin(self.seals.run())
            self._begin(self._start_engine())
        self._begin(self.gossip.run())
        self._begin(notes.run())

    async def _start_engine(self) -> None:
        """Find out where this validator's engine begins, whenever it has to."""
        # Only validators need what knows the engine.
        from tallystick.node.peers.engine_start import EngineStart

        organisation = self.home.settings.node.organisation
        await EngineStart(
            self.home, self.store, self._link, self.clients, self.directory, organisation=organisation
        ).run()

    async def _rejoin_when_restored(self, rejoin: Rejoin) -> None:
        """Ask the witnesses whenever the home is marked: by a restore, or by a core that found its ledger too short."""
        while True:
            if self.home.is_restored:
                await rejoin.run()
            await asyncio.sleep(_REJOIN_LOOK_SECONDS)

    async def stop(self) -> None:
        """Stop all of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._relay is not None:
            await self._relay.stop()
        if self.server is not None:
            await self.server.stop()
        await self.engine.close()
        if self._deliveries is not None:
            self._deliveries.close()
        await self.clients.close()
        self.history.close()
        self.store.close()

    # --- news --------------------------------------------------------------------------------------------------------

    def on_news(self, kind: str, body: Any) -> None:
        """Hear news of the core."""
        if kind == "block":
            if self.seals is None:
                self.history.grown()
            self.gossip.grown(body["size"])
        elif kind == "header_signature" and self.seals is not None:
            self.seals.made(body)
        elif kind == "sealed":
            # Where several order together, a block goes out only now.
            self.history.grown()
        elif kind == "checkpoint":
            self.history.checkpoint_bell.ring()
            self.gossip.poke()
        elif kind in ("trust_signature", "trust"):
            self.gossip.poke()
        elif kind == "alarm":
            if self.follower is not None:
                self.follower.stop_following(body["message"])
            self.gossip.poke()

    async def _stop_if_alarmed(self) -> None:
        with contextlib.suppress(NodeError):
            alarm = (await self._link.ask("status"))["alarm"]
            if alarm and self.follower is not None:
                self.follower.stop_following(alarm)

    def status(self) -> dict[str, Any]:
        """Return how this node stands with the others, for people."""
        return {
            "port": self.port,
            "following": self.follower.source if self.follower is not None else "",
            "trouble": self.follower.trouble if self.follower is not None else "",
            "beginning": self.newcomer.progress,
            "older": self.older.standing(),
            "application": self.applicant.status if self.applicant is not None and not self._is_member() else "",
            "heard": {name: heard._asdict() for name, heard in self.gossip.heads.items()},
            "unreachable": dict(self.gossip.unreachable),
            "rejoin": self.rejoin.state() if self.rejoin is not None and self.home.is_restored else None,
        }

    # --- upkeep ------------------------------------------------------------------------------------------------------

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(_tell_of_failure)
        self._tasks.append(task)

    async def _stay_connected(self) -> None:
        """Keep the link to the core open, so that its news arrive; it restarts on its own."""
        while True:
            with contextlib.suppress(NodeError):
                await self._link.connect()
            await asyncio.sleep(_RECONNECT_SECONDS)

    async def _renew(self) -> None:
        """Renew the TLS certificate when two thirds of its time are over."""
        while True:
            try:
                if await asyncio.to_thread(self.identity.renew_if_due):
                    log.info("certificate_renewed")
            except (NodeError, OSError) as error:
                log.error("certificate_not_renewed", why=str(error))
            await asyncio.sleep(_RENEW_SECONDS)


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("peer_task_failed", exc_info=task.exception())
