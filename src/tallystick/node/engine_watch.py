"""Watching the engine that this validator's node runs: whether blocks are made, and if not, whose fault that is.

An engine can be dead and still answer: its consensus stopped, while its RPC and its mempool go on. What tells is the
height of this copy: work waits, and no block comes. Rules:

- Fewer validators connected than a block needs: nothing that this node does would help. It waits, says for whom, and is
  not ready.
- Enough of them connected, work waiting, and no block for longer than this node is patient: the engine is started again
  with the core, both at once. Patience grows with each validator that is away, since a round of its own is lost for
  each, and doubles with each start that did not help.
- An engine that does not answer at all for as long is started again too, whoever is connected; but not where it is not
  even started, as the others have not told yet where it begins.

An engine is known by its node id, which it proves, where the ledger says whose it is; else by what it calls itself. One
that lies about that can make this node wait, or start its engine again for nothing, at growing intervals; nothing that is
signed or recorded depends on it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, Protocol

import msgspec
import structlog

from tallystick.errors import PeerError
from tallystick.node.processes import EngineStalledError, patience_seconds
from tallystick.ordering.cometbft.rpc import EnginePeer, EngineStatus
from tallystick.proofs.headers import quorum
from tallystick.views import EngineHealth

log = structlog.get_logger("engine")
STARTING = "the engine is starting"
UNTOLD = "waiting for others: none has told yet where this node's engine begins"
_ANSWER_SECONDS = 3.0
_LOOK_SECONDS = 1.0
# Who looks only after so long was asleep with all else on this machine: that says nothing about the engine.
_ASLEEP_SECONDS = 10.0
_TIDY_SECONDS = 10.0


class Engine(Protocol):
    """What is asked of the engine; see `EngineRpc`."""

    def open(self) -> None:
        """Open the connections."""

    async def close(self) -> None:
        """Close them."""

    async def status(self) -> EngineStatus:
        """Return how it is."""

    async def peers(self) -> list[EnginePeer]:
        """Return the engines connected to it."""

    async def mempool(self) -> tuple[int, int]:
        """Return how many bundles of transactions are in its mempool, and of how many bytes."""


class Look(NamedTuple):
    """What one look at the node showed.

    Attributes:
        height: of this copy.
        waiting: transactions that somebody waits for here.
        health: what the engine said; `answers` is false where it said nothing.
        untold: whether the engine waits to be told where it begins.
    """

    height: int
    waiting: int
    health: EngineHealth
    untold: bool = False


class Finding(NamedTuple):
    """What follows from the looks so far.

    Attributes:
        trouble: why no block is made, or empty.
        restart: whether the engine is to be started again.
    """

    trouble: str
    restart: bool


class Patience:
    """Judges looks by the rules above; knows no engine and no clock of its own."""

    def __init__(self, seconds: float, stalls: int, now: float) -> None:
        """Begin with a node that was just started.

        Args:
            seconds: how long it may stand still the first time.
            stalls: how often in a row that has made it be started again.
            now: seconds.
        """
        self._seconds = seconds
        self._stalls = stalls
        self._height = -1
        self._moved = now
        self._alive = now
        self._looked = now
        self._heard = False

    def judge(self, look: Look, now: float) -> Finding:
        """Say what is wrong after a look."""
        health = look.health
        work = look.waiting + health.mempool
        if now - self._looked > _ASLEEP_SECONDS:
            self._moved = self._alive = now
        self._looked = now
        if look.height != self._height:
            if self._height >= 0:
                # A block came: the last start has helped.
                self._stalls = 0
            self._height = look.height
            self._moved = self._alive = now
        if health.answers:
            self._heard = True
            self._alive = now
            if not work and not health.catching_up:
                self._moved = now
            return self._judge_progress(health, work, now)
        if look.untold:
            self._moved = self._alive = now
            return Finding(UNTOLD, False)
        silent = now - self._alive
        trouble = "" if self._heard else STARTING
        if silent > min(self._seconds, _ANSWER_SECONDS):
            trouble = "the engine does not answer"
        return Finding(trouble, silent > patience_seconds(self._seconds, self._stalls))

    def _judge_progress(self, health: EngineHealth, work: int, now: float) -> Finding:
        if health.reachable < health.needed:
            # What waits for others has not stood still by itself: it gets its full time once they are back.
            self._moved = now
            return Finding(
                f"waiting for others: {health.reachable} of {health.validators} validators reachable, "
                f"{health.needed} are needed",
                False,
            )
        more = 1 + health.validators - health.reachable
        still = now - self._moved
        if still > self._seconds * more:
            restart = still > patience_seconds(self._seconds, self._stalls) * more
            waits = f"{work} transactions wait" if work else "it is catching up"
            return Finding(
                f"consensus stands still: {waits}, no block for {int(still)} s, though {health.reachable} of "
                f"{health.validators} validators are reachable",
                restart,
            )
        return Finding("the engine is catching up" if health.catching_up else "", False)


class EngineWatch:
    """Looks at the engine every second.

    Attributes:
        health: what the last look showed.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        organisation: str,
        height: Callable[[], int],
        waiting: Callable[[], int],
        validators: Callable[[], Collection[str]],
        engines: Callable[[], Mapping[str, str]],
        trusted: Callable[[], bool],
        stall_seconds: float,
        stalls: int,
        tidy: Callable[[], None],
        untold: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            engine: to ask.
            organisation: whose node this is.
            height: of the last block on disk.
            waiting: transactions that somebody waits for here.
            validators: organisations that order now.
            engines: gives organisation by the node id of its engine, hex, as far as the ledger says.
            trusted: False where this node does not trust the zone any more: it then leaves the engine alone.
            stall_seconds: see `Patience`.
            stalls: see `Patience`.
            tidy: clears away what the engine leaves behind; called every ten seconds or so, in a thread.
            untold: tells whether the engine waits to be told where it begins.
            clock: seconds, never going back.
        """
        self._engine = engine
        self._organisation = organisation
        self._height = height
        self._waiting = waiting
        self._validators = validators
        self._engines = engines
        self._trusted = trusted
        self._tidy = tidy
        self._untold = untold
        self._tidied = clock()
        self._clock = clock
        self._patience = Patience(stall_seconds, stalls, clock())
        self._pause = min(_LOOK_SECONDS, stall_seconds / 4)
        self._said = ""
        self.health = EngineHealth(trouble=STARTING)

    async def run(self) -> None:
        """Look for ever.

        Raises:
            EngineStalledError: the engine is to be started again, and the core with it.
        """
        self._engine.open()
        try:
            while True:
                await self.look()
                await asyncio.sleep(self._pause)
        finally:
            await self._engine.close()

    async def look(self) -> None:
        """Look once, and clear away where it is time to.

        Raises:
            EngineStalledError: see `run`.
        """
        await self._tidy_sometimes()
        health = await self._ask()
        untold = not health.answers and self._untold()
        finding = self._patience.judge(Look(self._height(), self._waiting(), health, untold), self._clock())
        before = self.health.trouble
        self.health = msgspec.structs.replace(health, trouble=finding.trouble)
        if finding.trouble != before:
            self._say(finding.trouble)
        if finding.restart and self._trusted():
            raise EngineStalledError(
                f"{finding.trouble}; core and engine are started again",
                remedy="If it goes on, look for errors of the engine in this log, and at the other validators' nodes.",
            )

    async def _tidy_sometimes(self) -> None:
        now = self._clock()
        if now - self._tidied >= _TIDY_SECONDS:
            self._tidied = now
            # A disk that is slow to answer must not keep the core's loop.
            await asyncio.to_thread(self._tidy)

    def _say(self, trouble: str) -> None:
        """Log that something changed, but not that a count or a time in the words did."""
        kind = trouble.partition(":")[0]
        if kind == self._said:
            return
        self._said = kind
        if trouble:
            log.warning("engine_in_trouble", message=trouble)
        else:
            log.info("engine_well", peers=len(self.health.peers))

    async def _ask(self) -> EngineHealth:
        """Return what the engine says of itself, without a judgement."""
        ordering = set(self._validators())
        needed = quorum(len(ordering))
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                status, peers, mempool = await asyncio.gather(
                    self._engine.status(), self._engine.peers(), self._engine.mempool()
                )
        except (PeerError, TimeoutError):
            return EngineHealth(validators=len(ordering), needed=needed)
        known = self._engines()
        names = {known.get(peer.node, peer.name) for peer in peers} - {self._organisation}
        own = {self._organisation}
        return EngineHealth(
            answers=True,
            height=status.height,
            first=status.first,
            catching_up=status.catching_up,
            peers=tuple(sorted(names)),
            validators=len(ordering),
            reachable=len((names | own) & ordering),
            needed=needed,
            mempool=mempool[0],
            mempool_bytes=mempool[1],
        )
