"""A zone of offices in one process: a real engine, a real copy and a real office for each organisation, no network.

The first organisation orders; every other one has a replica of its own, which executes and checks each block again. What
travels between nodes goes through an `Exchange` (`tests.support.exchange`), which can be cut, and can lie. The clock
stands still until a test moves it, so that deadlines are exact.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tallystick.errors import NodeError, PeerError, RejectedError
from tallystick.keys import KeyStore, OpenKeys
from tallystick.ledger import Ledger
from tallystick.ledger.trustkeeper import SignedVersion, TrustKeeper
from tallystick.ledger.witness import Witness
from tallystick.machine import BlockResult, State
from tallystick.merkle import TileReader
from tallystick.modules import genesis_writes, make_genesis, rulebook
from tallystick.modules.organisations.queries import validators
from tallystick.node.homes import LEDGER_ROLES, first_trust, make_card
from tallystick.office import Office, OfficePaths, OwnKeys
from tallystick.ordering import InlineVerifier, Replica, Solo
from tallystick.ordering.intake import Submitted
from tallystick.proofs.trust import TrustFile
from tallystick.store import LedgerStore, TileLog
from tests.support.exchange import Exchange
from tests.support.zones import BANK, HOSPITAL, NAMES, UNIVERSITY

MEMBERS = (HOSPITAL, UNIVERSITY, BANK)
CREATED = 1_714_521_600_000
"""2024-05-01T00:00:00Z."""
HOUR = 3_600_000
DAY = 24 * HOUR
PASSPHRASE = "correct horse battery"
FAST_SCRYPT = 1 << 10


class Clock:
    """UTC time in milliseconds that moves when it is told to."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        """Return the time."""
        return self.now

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms


class Blueprint(NamedTuple):
    """What a zone begins with: made once, copied for each test.

    Attributes:
        folder: has a folder of keys and a ledger for each founder.
        members: founders; the first orders.
        trust: version 1 of the trust file.
    """

    folder: Path
    members: tuple[str, ...]
    trust: TrustFile


def make_store_of_keys(folder: Path) -> OpenKeys:
    """Make a key store with all of an organisation's keys, quick to open."""
    keys = KeyStore.create(folder, PASSPHRASE, scrypt_n=FAST_SCRYPT)
    for role in (*LEDGER_ROLES, "recovery", "encryption", "tls"):
        keys.create(role, created_ms=CREATED)
    return keys


def make_blueprint(folder: Path, members: Sequence[str] = MEMBERS, validators: Sequence[str] = ()) -> Blueprint:
    """Make a zone's beginning; `validators` vote, by default the first member alone."""
    stores = {name: make_store_of_keys(folder / name / "keys") for name in members}
    cards = [make_card(keys, organisation=name, name=NAMES.get(name, name)) for name, keys in stores.items()]
    genesis = make_genesis(
        name="Test Zone", created=CREATED, orderer=members[0], cards=cards, validators=validators or (members[0],)
    )
    trust = first_trust(genesis, {members[0]: stores[members[0]].signer("system")})
    writes = genesis_writes(genesis)
    for name in members:
        LedgerStore.create(folder / name / "ledger.db", rulebook(), chain=trust.chain, genesis=genesis, records=writes)
    return Blueprint(folder, tuple(members), trust)


class Orders:
    """Where ledgers send transactions: the one engine, whose answers can be lost and whose disk can fail.

    Attributes:
        fails: how many submissions are refused before anything is recorded.
        loses: how many answers get lost after all is recorded.
    """

    def __init__(self, engine: Solo) -> None:
        self._engine = engine
        self.fails = 0
        self.loses = 0

    async def submit(self, transactions: Sequence[bytes]) -> list[Submitted | RejectedError | NodeError]:
        """See `ledger.ports.Ordering`."""
        if self.fails:
            self.fails -= 1
            raise PeerError("the core does not answer", remedy="Start it, then send the same again.")
        futures: list[asyncio.Future[Submitted] | RejectedError | NodeError] = []
        for raw in transactions:
            try:
                futures.append(self._engine.submit(raw))
            except (RejectedError, NodeError) as error:
                futures.append(error)
        answers: list[Submitted | RejectedError | NodeError] = []
        for future in futures:
            if isinstance(future, asyncio.Future):
                try:
                    answers.append(await future)
                except (RejectedError, NodeError) as error:
                    answers.append(error)
            else:
                answers.append(future)
        if self.loses:
            self.loses -= 1
            raise PeerError("the core went away before it answered", remedy="Send the same again.")
        return answers


class OfficeNode:
    """One organisation: its keys, its copy of the ledger, and its office over it.

    Attributes:
        folder: its home.
        store: its copy, open for writing, as its core has it.
        ledger: the door, over a reader of its own.
        office: the use cases.
    """

    def __init__(self, zone: OfficeZone, organisation: str, folder: Path, trust: TrustFile) -> None:
        self.zone = zone
        self.organisation = organisation
        self.folder = folder
        self.keys = KeyStore(folder / "keys").unlock(PASSPHRASE)
        self.store = LedgerStore(folder / "ledger.db", rulebook())
        self.tiles = TileLog(folder / "log")
        self.keeper = TrustKeeper(
            trust, self.store, organisation=organisation, signer=self.keys.signer("system"), on_change=lambda _: None
        )
        self.witness = Witness(
            self.store,
            self.keeper,
            organisation=organisation,
            signer=self.keys.signer("system"),
            clock_s=lambda: zone.clock() // 1000,
            nodes=lambda size: TileReader(self.tiles.read, size).node,
        )
        self.reader = LedgerStore(folder / "ledger.db", rulebook(), read_only=True)
        self.follows = True
        self.behind: list[tuple[bytes, bytes, tuple[bytes, ...]]] = []
        self._replica: Replica | None = None
        self.state = self.store.load_state()

    def open_office(self) -> Office:
        """Open the office, as after a start of its process."""
        own = OwnKeys(self.keys, self.organisation, lambda: self.ledger.state())
        self.ledger = Ledger(
            self.reader,
            self.zone.orders,
            organisation=self.organisation,
            signer=own.signer,
            tiles=self.tiles.read,
            trust=lambda: self.keeper.trust,
            clock_ms=self.zone.clock,
        )
        paths = OfficePaths(self.folder / "office.db", self.folder / "inbox", self.folder / "outbox")
        self.office = Office(
            self.ledger, self.keys, paths, self.zone.exchange.way_of(self.organisation), self.zone.clock
        )
        self.zone.exchange.offices[self.organisation] = self.office
        return self.office

    async def crash(self) -> Office:
        """Lose everything that is in memory only, and open the office again over what is on disk."""
        await self.office.close()
        return self.open_office()

    def follow(self) -> None:
        """Begin to apply the blocks that the orderer makes."""
        self._replica = Replica(
            self.state,
            self.store,
            rulebook(),
            InlineVerifier(),
            validators=lambda: {each.organisation: bytes.fromhex(each.key) for each in validators(State(self.store))},
            clock_ms=self.zone.clock,
            previous=self.store.last_header_hash(),
            on_block=self.block_made,
        )

    async def catch_up(self) -> None:
        """Apply what waits, if this copy follows now."""
        while self.follows and self._replica is not None and self.behind:
            header, signatures, transactions = self.behind.pop(0)
            await self._replica.apply(header, signatures, transactions)
            await self.ledger.block_arrived(self.state.height)

    def block_made(self, result: BlockResult, header: bytes, signature: bytes) -> None:
        """Take note of a block that is in this copy."""
        self.tiles.append(result.leaves)
        for made in self.keeper.follow(State(self.store), height=result.block.height, size=result.size):
            self.zone.signed_versions.append(made)


class OfficeZone:
    """All of it; see `open_zone`.

    Attributes:
        clock: of everybody.
        exchange: what travels between the offices.
        orders: where transactions go.
        nodes: by organisation.
    """

    def __init__(self, blueprint: Blueprint, folder: Path) -> None:
        self.clock = Clock(CREATED + HOUR)
        self.exchange = Exchange()
        self.signed_versions: list[SignedVersion] = []
        self.nodes: dict[str, OfficeNode] = {}
        self._arrived = asyncio.Event()
        for name in blueprint.members:
            shutil.copytree(blueprint.folder / name, folder / name)
            self.nodes[name] = OfficeNode(self, name, folder / name, blueprint.trust)
        first = self.nodes[blueprint.members[0]]
        self.first = first
        self.engine = Solo(
            first.state,
            first.store,
            rulebook(),
            first.keys.signer("system"),
            InlineVerifier(),
            organisation=first.organisation,
            clock_ms=self.clock,
            previous=first.store.last_header_hash(),
            on_block=self._block,
        )
        self.orders = Orders(self.engine)
        for node in self.nodes.values():
            node.open_office()
            if node is not first:
                node.follow()
        self.next_block = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __getitem__(self, organisation: str) -> Office:
        return self.nodes[organisation].office

    def _block(self, result: BlockResult, header: bytes, signature: bytes) -> None:
        self.first.block_made(result, header, signature)
        for node in self.nodes.values():
            if node is not self.first:
                node.behind.append((header, signature, result.block.transactions))
        self._arrived.set()

    async def _spread(self) -> None:
        """Carry blocks to the copies as they are made."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            await self.first.ledger.block_arrived(self.engine.state.height)
            for node in self.nodes.values():
                await node.catch_up()
            self.next_block.set()

    def start(self) -> None:
        """Start the engine and the copies."""
        self.engine.start()
        self._task = asyncio.create_task(self._spread())

    async def stop(self) -> None:
        """Stop everything and close every file."""
        await self.engine.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for node in self.nodes.values():
            await node.office.close()
            node.reader.close()
            node.store.close()

    async def settle(self) -> None:
        """Wait until every copy that follows has every block, and every note that can be pushed was pushed."""
        height = self.engine.state.height
        for node in self.nodes.values():
            if node.follows:
                await node.catch_up()
                await node.ledger.wait_for_height(height, 10)
        for node in self.nodes.values():
            await node.office.notes.settle()

    def hold(self, organisation: str) -> None:
        """Let an organisation's copy fall behind."""
        self.nodes[organisation].follows = False

    async def release(self, organisation: str) -> None:
        """Let an organisation's copy follow again, and bring it what it missed."""
        self.nodes[organisation].follows = True
        await self.nodes[organisation].catch_up()

    async def heartbeat(self) -> None:
        """Make an empty block, so that the ledger learns the time."""
        self.engine._make_block([])
        await self.settle()

    async def witness(self) -> None:
        """Sign the history as it is, and have every copy that follows cosign it: receipts can be had from then on."""
        await self.settle()
        for made in self.signed_versions:
            for node in self.nodes.values():
                node.keeper.add(made)
        last = self.first.store.last_block()
        assert last is not None
        note = self.first.witness.publish(last.size, last.history_root, last.height)
        for node in self.nodes.values():
            node.tiles.flush(note.decode())
        followers = [node for node in self.nodes.values() if node is not self.first and node.follows]
        given = [node.witness.cosign(note) for node in followers]
        for node in self.nodes.values():
            for cosignature in given:
                if cosignature is not None:
                    node.witness.add(cosignature)


@asynccontextmanager
async def open_zone(blueprint: Blueprint, folder: Path) -> AsyncIterator[OfficeZone]:
    """Run a zone of offices in a folder, and stop it in the end."""
    zone = OfficeZone(blueprint, folder)
    zone.start()
    try:
        yield zone
    finally:
        await zone.stop()
