"""The core: state machine, ordering and the ledger's file, in a process of its own without any web in it.

It answers on a unix socket in the node's home and tells news there: blocks, checkpoints, signatures that others should
get, alarms. The office (API, peers, data) connects to it; a crash of the office does not touch it. Everything that is
written to `ledger.db` is written here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from tallystick.errors import IntegrityError, PeerError
from tallystick.keys import Signer
from tallystick.machine import BlockResult, State
from tallystick.modules.organisations.queries import find_organisation, system_key
from tallystick.modules.organisations.records import KEYS, ORGANISATIONS, ZONE
from tallystick.node.core_alarm import Alarm
from tallystick.node.core_copy import open_copy, take_up_signed
from tallystick.node.core_engine import CoreEngine
from tallystick.node.core_following import Following
from tallystick.node.core_publishing import Publishing
from tallystick.node.core_report import CoreReport
from tallystick.node.core_sealing import Sealing
from tallystick.node.core_witnessing import Witnessing
from tallystick.node.homes import Home
from tallystick.node.processes import PartChangedError
from tallystick.ordering import Replica, Solo
from tallystick.ordering.link import Handler, LinkServer

if TYPE_CHECKING:
    from tallystick.ordering.cometbft.engine import Distributed

log = structlog.get_logger("core")
_LEAVE_SECONDS = 1.5


def now_ms() -> int:
    """Return UTC time in milliseconds."""
    return time.time_ns() // 1_000_000


class Core:
    """One node's core, from start to stop.

    Attributes:
        store: the ledger.
        tiles: the log beside it.
        state: after the last block on disk.
    """

    def __init__(
        self,
        home: Home,
        system: Signer,
        *,
        clock_ms: Callable[[], int] = now_ms,
        on_system_key: Callable[[str], None] | None = None,
    ) -> None:
        """Open the ledger and rebuild the state.

        Args:
            home: the node's home.
            system: the node's `system` key.
            clock_ms: UTC time, ms.
            on_system_key: told the registered `system` key of this organisation, hex, at the start and when it changes.

        Raises:
            NodeError: the ledger cannot be used as it is.
        """
        self._copy = copy = open_copy(home, system, clock_ms=clock_ms)
        self.store, self.tiles, self.state = copy.store, copy.tiles, copy.state
        self._on_system_key = on_system_key
        # Before anything is signed.
        self._tell_system_key()
        self._engine = CoreEngine(copy)
        # What answers also tells news: the server is made first, and is given all that answers before it is started.
        handlers: dict[str, Handler] = {}
        self._server = LinkServer(home.socket_path, handlers, submit=self._engine.submit)
        tell = self._server.tell
        self._signed = signed = take_up_signed(copy, tell)
        self._alarm = alarm = Alarm(copy, signed.trust, hold=self._engine.hold, tell=tell)
        self._publishing = Publishing(copy, signed, tell=tell)
        self._sealing = Sealing(copy, signed.seals, alarm, tell=tell, on_sealed=self._publishing.wake)
        self._witnessing = Witnessing(copy, signed, alarm, on_checkpoint=self._publishing.wake)
        self._part_changed = asyncio.Event()
        self._following = Following(copy, self._engine, alarm, on_block=self._block_made, leave=self._part_changed.set)
        self._report = CoreReport(copy, signed, self._engine, alarm)
        handlers.update(self._handlers())
        self._tasks: list[asyncio.Task[None]] = []

    def _handlers(self) -> dict[str, Handler]:
        """Return what answers each request."""
        return {
            "apply": self._following.apply,
            "begin": self._following.begin,
            "older": self._following.older,
            "recover": self._following.recover,
            "follow_first": self._following.follow_first,
            "checkpoint": self._witnessing.checkpoint,
            "cosignature": self._witnessing.cosignature,
            "trust_signature": self._witnessing.trust_signature,
            "header_signatures": self._sealing.take,
            "known_header_signatures": self._sealing.known,
            "prove": self._sealing.prove,
            "fork": self._alarm.take,
            "release": self._engine.release,
            "engine_begins": self._engine.begins,
            "status": self._report.status,
            "measured": self._report.measured,
        }

    @property
    def engine(self) -> Solo | Replica | Distributed:
        """What orders or follows; there once this core is started."""
        return self._engine.engine

    @property
    def alarm(self) -> str | None:
        """Why this node does not trust those who order, or None."""
        return self._alarm.raised

    @property
    def suspicion(self) -> str | None:
        """What is not proved of enough of those who order, or None."""
        return self._alarm.suspicion

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the engine and answer on the socket.

        Raises:
            AccessError: this node is told to order but does not hold the orderer's key.
        """
        await self._engine.start(on_block=self._block_made, distrust=lambda: self._alarm.distrust)
        last = self.store.last_block()
        if last is not None:
            self._follow_members(last.height, last.size)
        await self._server.start()
        loops = [self._publishing.run(), self._sealing.run()]
        if self._engine.watch is not None:
            loops.append(self._engine.watch.run())
        self._tasks = [asyncio.create_task(each) for each in loops]
        self._publishing.wake()
        log.info("core_started", part=self._copy.part, height=self.state.height)

    async def run(self) -> None:
        """Never return; raises what ended a loop without which this core only seems to work."""
        work: list[Awaitable[None]] = [*self._tasks, self._leave(), self._engine.run()]
        await asyncio.gather(*work)

    async def _leave(self) -> None:
        """Wait until this node plays another part, and end with that.

        Raises:
            PartChangedError: it does.
        """
        await self._part_changed.wait()
        # Who waits for the last block is told of it, and its checkpoint goes out.
        await asyncio.sleep(_LEAVE_SECONDS)
        begun = self._following.begun
        if begun:
            raise PartChangedError(
                f"this copy goes on from block {begun}", remedy="Nothing is to be done: its processes start anew."
            )
        self._copy.keeper.check()

    async def stop(self) -> None:
        """Stop in order: no new requests, then the engine, then the files."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._engine.stop()
        await self._server.stop()
        self.store.close()
        log.info("core_stopped", height=self.state.height)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _block_made(self, result: BlockResult, header: bytes, signatures: bytes) -> None:
        """Tell everybody whom it concerns of a block that is on disk."""
        height = result.block.height
        members_changed = not result.written.isdisjoint((ORGANISATIONS.name, KEYS.name, ZONE.name))
        if members_changed:
            self._copy.forget_validators()
        self._copy.measures.block(result)
        self._publishing.grew(result.leaves)
        self._sealing.made(height, header, signatures)
        if members_changed:
            # The version that follows is signed with the key of the version before, what comes then with the new one.
            self._follow_members(height, result.size)
            self._tell_system_key()
        if self._copy.keeper.after(result):
            self._part_changed.set()
            self._engine.hold(
                PeerError("the zone's validators order together from now on", remedy="Send it again in a few seconds.")
            )
        self._server.tell("block", {"height": height, "size": result.size, "time": result.block.time})

    def _tell_system_key(self) -> None:
        """Let whoever holds the keys sign with the registered one from now on."""
        state, organisation = State(self.store), self._copy.organisation
        if self._on_system_key is not None and find_organisation(state, organisation) is not None:
            self._on_system_key(system_key(state, organisation))

    def _follow_members(self, height: int, size: int) -> None:
        try:
            for made in self._signed.trust.follow(State(self.store), height=height, size=size):
                self._server.tell("trust_signature", made)
        except IntegrityError as error:
            self._alarm.sound(error)
