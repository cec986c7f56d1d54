"""Gossip: signatures about the history travel directly between all members' nodes, so that nobody can hide a fork.

In a round this node cosigns the orderer's latest checkpoint, if its own copy agrees, and exchanges heads with every
member that it can connect to, in a large zone with a few of them in turn: it gives its own and gets the other's back.
What it gets goes to the core. Two histories shown to two members meet in such an exchange whichever of the two makes the
connection, and then both have the proof.

A round is due when there is something new, again and again while the latest checkpoint has too few witnesses, and every
few seconds anyway. The more members, the longer the least time between two rounds, and a second where no receipt waits for a
cosignature.

One checkpoint comes from each of those who order, again and again: it goes to the core once. Where a receipt needs no
witness, since enough of them order, a few cosignatures of each are collected and not those of all members.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog

from tallystick.errors import NodeError
from tallystick.node.homes import Home
from tallystick.node.peers.bells import Backoff
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.heads import latest_checkpoint_size, read_head, recent_forks
from tallystick.node.peers.messages import MAX_WAIT_SECONDS, Countersigned, Head, SignedBlock, Witnessed
from tallystick.node.peers.ports import CoreLink
from tallystick.proofs.trust import default_needed
from tallystick.store import LedgerStore

log = structlog.get_logger("gossip")
LEAST_SECONDS = 0.2
# Where no receipt waits for a cosignature.
UNHURRIED_SECONDS = 1.0
SECONDS_A_MEMBER = 0.04
AT_A_TIME = 8
# Of more than twice as many members, so many are met in a round. A head carries the signatures of all that its node has
# heard of, so that these spread in a few rounds nevertheless; meeting everybody would cost the square of the members.
PARTNERS = 8
_MOST_AHEAD = 16
# Cosignatures that are kept of one checkpoint where no receipt needs any: all members' would cost the square of them.
_ENOUGH_COSIGNATURES = 4


_T = TypeVar("_T")


def partners(others: Sequence[_T], turn: int) -> Sequence[_T]:
    """Return whom to meet in a round: everybody, or in a large zone the next few, so that each has its turn."""
    if len(others) <= 2 * PARTNERS:
        return others
    start = turn * PARTNERS % len(others)
    return [*others[start:], *others[:start]][:PARTNERS]


class Heard(NamedTuple):
    """What another member's node said last."""

    height: int
    size: int
    forks: int


class HeightListener(Protocol):
    """Is told how far others are (the follower)."""

    def heard(self, height: int) -> None:
        """Take note."""


class Gossip:
    """Exchanges signatures with the other members' nodes."""

    def __init__(
        self,
        core: CoreLink,
        clients: PeerClients,
        directory: Directory,
        store: LedgerStore,
        home: Home,
        *,
        listener: HeightListener | None = None,
    ) -> None:
        """Prepare.

        Args:
            core: checks and signs.
            clients: of other nodes.
            directory: who orders, who can be reached.
            store: this copy, for reading.
            home: the node's.
            listener: is told how far others are.
        """
        self._core = core
        self._clients = clients
        self._directory = directory
        self._store = store
        self._home = home
        self._listener = listener
        self._orders = home.part != "replica"
        self._poll_s = home.settings.peers.poll_seconds
        self._due = asyncio.Event()
        # Checkpoints beyond this copy, by size: looked at again as it grows.
        self._ahead: dict[int, str] = {}
        self._told_forks: set[str] = set()
        # Nodes know the same members in the same order, and should not all begin with the same ones.
        self._turn = secrets.randbelow(1 << 16)
        self.heads: dict[str, Heard] = {}
        self.unreachable: dict[str, str] = {}

    def poke(self) -> None:
        """Make a round soon."""
        self._due.set()

    def grown(self, size: int) -> None:
        """Hear that this copy has grown; a checkpoint that waited for that is looked at soon."""
        if self._ahead and min(self._ahead) <= size:
            self.poke()

    async def run(self) -> None:
        """Exchange until cancelled."""
        tasks = [asyncio.create_task(self._rounds())]
        if not self._orders:
            tasks.append(asyncio.create_task(self._watch_orderer()))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    # --- rounds ------------------------------------------------------------------------------------------------------

    async def _rounds(self) -> None:
        again = Backoff(first_s=0.3, limit_s=float(self._poll_s))
        while True:
            self._due.clear()
            try:
                await self.round()
                lacking = await self._lacks_witnesses()
            except NodeError as error:
                log.warning("round_failed", why=error.message)
                lacking = True
            wait_s = again.next_s() if lacking else float(self._poll_s)
            if not lacking:
                again.reset()
            try:
                # Not `wait_for`: in Python 3.11 it loses a cancellation that comes together with the event.
                async with asyncio.timeout(wait_s):
                    await self._due.wait()
                again.reset()
            except TimeoutError:
                pass
            least = LEAST_SECONDS if self._needs_witnesses() else UNHURRIED_SECONDS
            await asyncio.sleep(max(least, SECONDS_A_MEMBER * len(self._directory.peers())))

    async def round(self) -> None:
        """Look at what waited, then exchange heads with members that can be reached (`partners`)."""
        await self._take_ahead()
        mine = read_head(self._store, self._home)
        places = asyncio.Semaphore(AT_A_TIME)

        async def one(organisation: str, client: PeerClient) -> None:
            async with places:
                await self._exchange(organisation, client, mine)

        chosen = partners(await self._clients.others(), self._turn)
        self._turn += 1
        await asyncio.gather(*(one(name, client) for name, client in chosen))

    async def _lacks_witnesses(self) -> bool:
        status = await self._core.ask("status")
        others = len(self._directory.peers()) - 1
        behind = status["witnessed"] < latest_checkpoint_size(self._store) or status["trust_pending"] > 0
        return others > 0 and behind and not status["alarm"]

    async def _exchange(self, organisation: str, client: PeerClient, mine: Head) -> None:
        try:
            theirs = await client.exchange(mine)
            self.unreachable.pop(organisation, None)
            await self.take(organisation, theirs)
            if theirs.restored and theirs.height < mine.height:
                await self._give_back(client, theirs.height)
            if mine.forks and organisation not in self._told_forks:
                await client.give_forks(recent_forks(self._store))
                self._told_forks.add(organisation)
            elif theirs.forks and not mine.forks:
                await self.take_forks(await client.forks())
        except NodeError as error:
            if organisation not in self.unreachable:
                log.info("peer_not_reached", peer=organisation, why=error.message)
            self.unreachable[organisation] = error.message

    async def _give_back(self, client: PeerClient, height: int) -> None:
        """Give a restored orderer the blocks that it had signed beyond its backup."""
        while True:
            batch = [
                SignedBlock(block.header, block.signatures, list(block.transactions))
                for block in self._store.blocks(height + 1, height + 100)
            ]
            if not batch:
                return
            reached = await client.give_blocks(batch)
            if reached <= height:
                return
            height = reached

    async def _watch_orderer(self) -> None:
        """Wait at the node of one that orders for its next checkpoint; at another's when it does not answer."""
        backoff = Backoff()
        seen = turn = 0
        while True:
            orderers = self._directory.orderers
            orderer, client = await self._clients.of_first(orderers[turn:] + orderers[:turn])
            try:
                if client is None:
                    await asyncio.sleep(self._poll_s)
                    continue
                after = max(seen, latest_checkpoint_size(self._store))
                head = await client.head(after=after, wait_s=min(self._poll_s, MAX_WAIT_SECONDS))
                grown = await self.take(orderer, head)
                seen = max([after, *self._ahead]) if self._ahead else after
                backoff.reset()
                if not grown:
                    await asyncio.sleep(LEAST_SECONDS)
            except NodeError:
                turn = (turn + 1) % len(orderers)
                await backoff.sleep()

    # --- taking ------------------------------------------------------------------------------------------------------

    async def take(self, organisation: str, head: Head) -> bool:
        """Hand what a node says to the core: the orderer's checkpoints first, since they prove most.

        Args:
            organisation: whose node says so.
            head: what it says.

        Returns:
            whether this node cosigned something that it had not.
        """
        self.heads[organisation] = Heard(head.height, head.size, head.forks)
        made = False
        for note in reversed(head.checkpoints):
            made = await self._take_note(organisation, note) or made
        for item in head.cosignatures:
            await self._take_cosignature(item)
        await self.take_trust(head.trust_signatures)
        if self._listener is not None:
            # A false claim only makes the follower try its other sources.
            self._listener.heard(head.height)
        if made:
            self.poke()
        return made

    async def _take_note(self, organisation: str, note: str) -> bool:
        """Hand a checkpoint to the core; one beyond this copy is kept for later."""
        size = _size_of(note)
        if self._knows(size, note):
            return False
        last = self._store.last_block()
        if last is None or size > last.size:
            self._ahead[size] = note
            while len(self._ahead) > _MOST_AHEAD:
                del self._ahead[max(self._ahead)]
            return False
        try:
            return await self._core.ask("checkpoint", note.encode()) is not None
        except NodeError as error:
            log.warning("checkpoint_refused", peer=organisation, size=size, why=error.message)
            return False

    def _knows(self, size: int, note: str) -> bool:
        """Tell whether a checkpoint says what one that is kept does, whoever of those who order signed it."""
        rows = self._store.query("SELECT root FROM checkpoints WHERE size = ?", (size,))
        if not rows or base64.b64encode(rows[0][0]).decode() != _root_of(note):
            return False
        mine = self._home.settings.node.organisation
        return self._orders or any(name == mine for name, _, _ in self._store.cosignatures(size))

    async def _take_ahead(self) -> None:
        """Look again at checkpoints that this copy has reached meanwhile."""
        last = self._store.last_block()
        reached = 0 if last is None else last.size
        for size in sorted(size for size in self._ahead if size <= reached):
            await self._take_note("", self._ahead.pop(size))

    async def _take_cosignature(self, item: Witnessed) -> None:
        if item.organisation == self._home.settings.node.organisation:
            return
        if not _is_hex(item.root) or not _is_hex(item.signature):
            return
        rows = self._store.query(
            "SELECT c.organisation FROM cosignatures c JOIN checkpoints p ON p.size = c.size "
            "WHERE c.size = ? AND p.root = ?",
            (item.size, bytes.fromhex(item.root)),
        )
        known = {name for (name,) in rows}
        if item.organisation in known or (len(known) >= _ENOUGH_COSIGNATURES and not self._needs_witnesses()):
            return
        fields: dict[str, Any] = {
            "organisation": item.organisation,
            "signature": item.signature,
            "time": item.time,
        }
        try:
            await self._core.ask("cosignature", [item.size, bytes.fromhex(item.root), fields])
        except NodeError as error:
            log.warning("cosignature_refused", witness=item.organisation, size=item.size, why=error.message)

    def _needs_witnesses(self) -> bool:
        orderers = len(self._directory.orderers)
        return default_needed(len(self._directory.peers()) - orderers, orderers) > 0

    async def take_trust(self, items: Iterable[Countersigned]) -> int:
        """Hand signatures under versions of the trust file to the core; return how many were new and good."""
        taken = 0
        for item in items:
            known = self._store.query(
                "SELECT 1 FROM trust_signatures WHERE version = ? AND organisation = ?",
                (item.version, item.organisation),
            )
            if known or not _is_hex(item.signature):
                continue
            body = [item.version, item.organisation, bytes.fromhex(item.signature)]
            taken += bool(await self._core.ask("trust_signature", body))
        return taken

    async def take_forks(self, proofs: Iterable[bytes]) -> int:
        """Hand fork proofs to the core; return how many it keeps anew."""
        known = set(self._store.forks())
        taken = 0
        for proof in proofs:
            if proof in known:
                continue
            try:
                taken += bool(await self._core.ask("fork", proof))
            except NodeError as error:
                log.warning("fork_proof_refused", why=error.message)
        return taken


def _size_of(note: str) -> int:
    """Return the size that a checkpoint claims; 0 where it claims none."""
    lines = note.split("\n", 2)
    size = lines[1] if len(lines) > 2 else ""
    return int(size) if size.isascii() and size.isdigit() and len(size) < 17 else 0


def _root_of(note: str) -> str:
    """Return the root that a checkpoint claims, as it is written there; empty where it claims none."""
    lines = note.split("\n", 3)
    return lines[2] if len(lines) > 3 else ""


def _is_hex(text: str) -> bool:
    return set(text) <= set("0123456789abcdef")
