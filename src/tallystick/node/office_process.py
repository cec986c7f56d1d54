"""The office put together: the ledger's door, the use cases, the other nodes, and the HTTP API in front of them.

It reads `ledger.db` and never writes to it; what it wants recorded goes to the core or, on a replica, to the orderer's
node. While the core restarts it keeps answering what can be read.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import Any

import msgspec
import structlog

from tallystick import __version__
from tallystick.api import ApiServices, create_app
from tallystick.codec import decode_json
from tallystick.errors import NodeError, PeerError, RejectedError, UsageError
from tallystick.keys import OpenKeys
from tallystick.ledger import Ledger
from tallystick.merkle import StateProof, consistency_path
from tallystick.node.disk import DiskWatch
from tallystick.node.history import history_nodes
from tallystick.node.homes import Home
from tallystick.node.operator_key import OperatorKey
from tallystick.node.peers.service import PeerService
from tallystick.node.processes import read_processes
from tallystick.node.web import WebServer
from tallystick.office import Office, OfficePaths, OwnKeys
from tallystick.ordering.link import LinkClient
from tallystick.proofs.headers import decode_header
from tallystick.proofs.records import build_record_proof
from tallystick.store import TileLog
from tallystick.views import ConsistencyProof, CoreStatus, HeardNode, Measured, ProcessHealth, Standing

log = structlog.get_logger("office")


def now_ms() -> int:
    """Return UTC time in milliseconds."""
    return time.time_ns() // 1_000_000


class OfficeProcess:
    """One node's office, from start to stop."""

    def __init__(self, home: Home, keys: OpenKeys) -> None:
        """Put the parts together; must be called in a running event loop.

        Args:
            home: the node's.
            keys: unlocked.

        Raises:
            NodeError: the home cannot be used as it is.
        """
        self.home = home
        self.link = LinkClient(home.socket_path, self._hear)
        self.peers = PeerService(home, keys, self.link)
        self._trust = home.read_trust()
        self._tiles = TileLog(home.log_path)
        store = self.peers.store
        own = OwnKeys(keys, home.settings.node.organisation, lambda: self.ledger.state())
        self.ledger = Ledger(
            store,
            self.peers.ordering,
            organisation=home.settings.node.organisation,
            signer=own.signer,
            tiles=self._tiles.read,
            trust=lambda: self._trust,
            clock_ms=now_ms,
            nodes=partial(history_nodes, self._tiles, store),
        )
        paths = OfficePaths(home.office_path, home.inbox_path, home.outbox_path)
        self.office = Office(self.ledger, keys, paths, self.peers.transport, now_ms)
        self.disk = DiskWatch(home, clock_ms=now_ms)
        self._operator = OperatorKey(home, self.office.users, now_ms)
        services = ApiServices(
            ledger=self.ledger,
            office=self.office,
            submit=self.ledger.submit_signed,
            status=self.status,
            standing=self.standing,
            prove=self.prove,
            consistency=self.consistency,
            next_block=self._next_block,
            clock_ms=now_ms,
            lag=self.lag,
            measured=self.measured,
            disk=self.disk.look,
            processes=self.processes,
            version=__version__,
        )
        self.web = WebServer(create_app(services), home.settings.api.listen)
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen to the organisation's own people first, then take part among the nodes.

        Raises:
            NodeError: an address cannot be listened at.
        """
        with contextlib.suppress(NodeError):
            await self.link.connect()
        await self.web.start()
        await self.peers.start(self.office)
        self._operator.publish(self.web.url)
        self._begin(self._operator.keep_fresh())
        self._begin(self.disk.keep_samples())
        self._begin(self._resume())
        log.info("office_started", api=self.web.url, peers=self.peers.port)

    async def stop(self) -> None:
        """Stop in order: nobody is answered any more, then what is under way, then the files."""
        self._operator.withdraw()
        await self.web.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peers.stop()
        await self.office.close()
        await self.link.close()
        log.info("office_stopped")

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("office_task_failed", exc_info=task.exception())

    async def _resume(self) -> None:
        """Take up what a crash or an outage left, once this organisation's copy says what it was."""
        for result in await self.office.resume():
            if isinstance(result, (NodeError, RejectedError)):
                log.warning("delivery_not_resumed", message=result.message)
            else:
                log.info("delivery_resumed", delivery=result.delivery)

    # --- news --------------------------------------------------------------------------------------------------------

    def _hear(self, kind: str, body: Any) -> None:
        if kind == "block":
            self._begin(self.ledger.block_arrived(body["height"]))
        elif kind == "trust":
            self._begin(self._read_trust())
        self.peers.on_news(kind, body)

    async def _read_trust(self) -> None:
        self._trust = await asyncio.to_thread(self.home.read_trust)

    async def _next_block(self, seconds: float) -> None:
        height = self.ledger.head()[0]
        await self.peers.history.block_bell.wait_until(lambda: self.ledger.head()[0] > height, seconds)

    # --- what the API asks -------------------------------------------------------------------------------------------

    async def status(self) -> CoreStatus:
        """Return how the core does.

        Raises:
            PeerError: it does not answer.
        """
        told = await self.link.ask("status")
        return msgspec.convert({**told, "root": told["root"].hex()}, CoreStatus)

    async def measured(self) -> Measured:
        """Return what the core has measured.

        Raises:
            PeerError: it does not answer.
        """
        return msgspec.convert(await self.link.ask("measured"), Measured)

    def processes(self) -> dict[str, ProcessHealth]:
        """Return how the node's processes do, as their supervisor tells."""
        children = read_processes(self.home.path).children
        return {name: msgspec.convert(each, ProcessHealth, from_attributes=True) for name, each in children.items()}

    def lag(self) -> int:
        """Return how many blocks the zone is known to be ahead of this copy."""
        known = max((heard.height for heard in self.peers.gossip.heads.values()), default=0)
        return max(0, known - self.ledger.head()[0])

    def standing(self) -> Standing:
        """Return how this node stands among the others."""
        told = self.peers.status()
        witnessed = dict(
            self.peers.store.query("SELECT organisation, max(size) FROM cosignatures GROUP BY organisation")
        )
        mine = self.ledger.organisation
        names = sorted({peer.organisation for peer in self.peers.directory.peers()} - {mine})
        nodes = []
        for name in names:
            heard = told["heard"].get(name, {})
            nodes.append(
                HeardNode(
                    organisation=name,
                    height=heard.get("height", 0),
                    size=heard.get("size", 0),
                    witnessed=witnessed.get(name, 0),
                    forks=heard.get("forks", 0),
                    trouble=told["unreachable"].get(name, ""),
                )
            )
        return Standing(
            port=told["port"],
            following=told["following"],
            trouble=told["trouble"],
            application=told["application"],
            needed=self._trust.latest.needed,
            nodes=tuple(nodes),
            certificate_expires=int(self.peers.identity.expires_s * 1000),
            beginning=told["beginning"],
            **told["older"],
        )

    async def prove(self, collection: str, key: str) -> bytes:
        """Return a record, or its absence, with its proof under the newest header.

        Raises:
            PeerError: the core does not answer.
        """
        told = await self.link.ask("prove", [collection, key])
        value = told["value"]
        header = decode_header(told["header"])
        block = self.peers.store.head_at(header.height)
        if block is None:
            raise PeerError("this copy is a moment behind its core", remedy="Ask again.")
        signatures, cosignatures = self.ledger.backing(block, self._trust.version_at(block.size))
        return build_record_proof(
            collection=collection,
            key=key,
            value=None if value is None else decode_json(value),
            proof=StateProof.from_json(decode_json(told["proof"])),
            state_root=block.state_root,
            history_root=block.history_root,
            size=block.size,
            header=header,
            header_signatures=signatures,
            cosignatures=cosignatures,
        )

    async def consistency(self, first: int, second: int) -> ConsistencyProof:
        """Return a proof that the history of `second` operations begins with that of `first`.

        Raises:
            UsageError: a block did not end at one of these sizes, or they are in the wrong order.
        """
        store = self.peers.store
        roots = [store.history_root(size) for size in (first, second)]
        if first > second or None in roots or first < 1:
            raise UsageError(
                f"there is no history of {first} and then of {second} entries in this copy",
                remedy="Name two sizes at which blocks ended, the smaller first.",
            )
        path = [] if first == second else consistency_path(first, second, history_nodes(self._tiles, store, second))
        return ConsistencyProof(
            first=first,
            first_root=(roots[0] or b"").hex(),
            second=second,
            second_root=(roots[1] or b"").hex(),
            path=tuple(each.hex() for each in path),
        )
