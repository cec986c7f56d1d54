"""The HTTP API over an office of a simulated zone: the real application, asked in process or through a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import httpx

from tallystick.api import ApiServices, create_app
from tallystick.codec import decode_json
from tallystick.errors import PeerError, UsageError
from tallystick.merkle import StateProof, TileReader, consistency_path
from tallystick.node.measures import Measures
from tallystick.node.record_proofs import prove_record
from tallystick.office.users import Users
from tallystick.proofs.headers import decode_header, decode_signatures
from tallystick.proofs.records import build_record_proof
from tallystick.views import (
    ConsistencyProof,
    CoreStatus,
    DiskUse,
    EngineHealth,
    HeardNode,
    Measured,
    Misconduct,
    ProcessHealth,
    Standing,
)
from tests.support.offices import OfficeNode

ALL_ROLES = ("observer", "registration", "security", "service", "system")


class NodeApi:
    """The API of one node.

    Attributes:
        app: the ASGI application.
        core_is_up: whether the core answers when it is asked how it does.
        alarm: what the core says of its orderer.
        held: whether the core is restored and waits for the witnesses.
        behind: blocks that the zone is said to be ahead.
        suspicion: what the core suspects.
        engine: how the engine is said to do.
        misbehaviour: what validators are said to be guilty of.
        queues: what is said to wait, by organisation.
        free: bytes that are said to be left on the disk.
    """

    def __init__(self, node: OfficeNode) -> None:
        self.node = node
        self.core_is_up = True
        self.alarm: str | None = None
        self.held = False
        self.behind = 0
        self.suspicion: str | None = None
        self.engine: EngineHealth | None = None
        self.misbehaviour: tuple[Misconduct, ...] = ()
        self.queues: dict[str, int] = {}
        self.free = 1 << 40
        self.measures = Measures()
        self.services = ApiServices(
            ledger=node.ledger,
            office=node.office,
            submit=node.ledger.submit_signed,
            status=self._status,
            standing=self._standing,
            prove=self._prove,
            consistency=self._consistency,
            next_block=self._next_block,
            clock_ms=node.zone.clock,
            lag=lambda: self.behind,
            measured=self._measured,
            disk=self._disk,
            processes=lambda: {"core": ProcessHealth(started_at=5, restarts=2, last_exit=-9, ended_at=4)},
            version="1.2.3",
        )
        self.app = create_app(self.services)

    def secret(self, *roles: str, scopes: Sequence[str] = ("*",), expires: int | None = None) -> str:
        """Make an API key and return its secret."""
        users: Users = self.node.office.users
        return users.create("test", roles or ALL_ROLES, scopes, expires=expires).secret

    def client(self, *roles: str, scopes: Sequence[str] = ("*",), key: str | None = None) -> httpx.AsyncClient:
        """Return a client in this process with a new key of these roles, all by default; or with a key, "" for none."""
        secret = self.secret(*roles, scopes=scopes) if key is None else key
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, raise_app_exceptions=True),
            base_url="http://node",
            headers={"Authorization": f"Bearer {secret}"} if secret else {},
        )

    async def _status(self) -> CoreStatus:
        if not self.core_is_up:
            raise PeerError("the core does not answer", remedy="Start it with `tally node run`.")
        node = self.node
        last = node.store.last_block()
        return CoreStatus(
            organisation=node.organisation,
            role="orderer" if node is node.zone.first else "replica",
            height=node.state.height,
            time=node.state.time,
            size=0 if last is None else last.size,
            root="" if last is None else last.history_root.hex(),
            witnessed=node.witness.witnessed_size(),
            trust_version=node.keeper.trust.latest.number,
            held=self.held,
            alarm=self.alarm,
            suspicion=self.suspicion,
            engine=self.engine,
            misbehaviour=self.misbehaviour,
            queues=self.queues,
            sealed=node.state.height,
        )

    async def _measured(self) -> Measured:
        if not self.core_is_up:
            raise PeerError("the core does not answer", remedy="Start it with `tally node run`.")
        return self.measures.measured()

    async def _disk(self) -> DiskUse:
        return DiskUse(ledger=100, log=20, engine=0, office=30, data=4, free=self.free, growth_a_day=7)

    def _standing(self) -> Standing:
        others = [name for name in self.node.zone.nodes if name != self.node.organisation]
        return Standing(
            port=0,
            following="",
            trouble="",
            application="",
            needed=self.node.keeper.trust.latest.needed,
            nodes=tuple(HeardNode(organisation=name) for name in others),
        )

    async def _prove(self, collection: str, key: str) -> bytes:
        told = await prove_record(self.node.state, self.node.store, collection, key)
        return build_record_proof(
            collection=collection,
            key=key,
            value=None if told["value"] is None else decode_json(told["value"]),
            proof=StateProof.from_json(decode_json(told["proof"])),
            state_root=told["state_root"],
            history_root=told["history_root"],
            size=told["size"],
            header=decode_header(told["header"]),
            header_signatures=decode_signatures(told["header_signatures"]),
        )

    async def _consistency(self, first: int, second: int) -> ConsistencyProof:
        roots = [self.node.store.history_root(size) for size in (first, second)]
        if not 1 <= first <= second or None in roots:
            raise UsageError(
                f"there is no history of {first} and then of {second} entries in this copy",
                remedy="Name two sizes at which blocks ended, the smaller first.",
            )
        self.node.tiles.flush()
        path = [] if first == second else consistency_path(first, second, TileReader(self.node.tiles.read, second).node)
        return ConsistencyProof(
            first=first,
            first_root=(roots[0] or b"").hex(),
            second=second,
            second_root=(roots[1] or b"").hex(),
            path=tuple(each.hex() for each in path),
        )

    async def _next_block(self, seconds: float) -> None:
        arrived = self.node.zone.next_block
        arrived.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(arrived.wait(), seconds)
