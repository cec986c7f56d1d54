"""Finding out where this validator's engine begins, when it has no blocks yet and the ledger has.

Rules:

- It begins with the first block for which evidence of a double vote still counts, or with the first that enough others
  have. With less it could not judge that evidence: a validator that kept some back would stop each engine that began later.
  More brings nothing that the ledger has not, and the others forget it.
- Enough is one more than may lie, and two where there are two (`sources_needed`); they must tell the same. What one of
  them tells alone, or tells of another history, is refused by name.
- A ledger that is older than the blocks which the others still have follows them first, as a replica.
- The engine is asked for again, with other sources first, as long as it has not brought a block.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError, NodeError
from tallystick.machine import State
from tallystick.node.engine_beginning import EngineBeginning, has_to_begin, read_beginning, write_beginning
from tallystick.node.engine_genesis import evidence_limits, initial_height
from tallystick.node.homes import Home
from tallystick.node.peers.client import PeerClient
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.light import LightServer
from tallystick.node.peers.ports import CoreLink
from tallystick.node.seats import Seats
from tallystick.ordering.cometbft.light import Told, choose_height, enough_have, judge, sources_needed
from tallystick.ordering.cometbft.retention import Retention
from tallystick.proofs.headers import decode_header
from tallystick.store import LedgerStore

log = structlog.get_logger("engine")
T = TypeVar("T")
LOOK_SECONDS = 0.5
# After so long without an answer that says enough, and
RETRY_SECONDS = 2.0
# after so long without a block of the engine's, the others are asked again.
AGAIN_SECONDS = 45.0
# Of what the others have, one part in so many is left out as about to go.
_EDGE = 10


class EngineStart:
    """Lets this node's engine begin."""

    def __init__(
        self,
        home: Home,
        store: LedgerStore,
        core: CoreLink,
        clients: PeerClients,
        directory: Directory,
        *,
        organisation: str,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare.

        Args:
            home: the node's.
            store: its copy, for reading.
            core: lets this node follow first where it must.
            clients: of other nodes.
            directory: who orders.
            organisation: whose node this is.
            clock_s: seconds that never go back.
        """
        self._home = home
        self._store = store
        self._core = core
        self._clients = clients
        self._directory = directory
        self._organisation = organisation
        self._clock_s = clock_s
        self._server = LightServer(home)
        self._asked_s = -AGAIN_SECONDS
        self._follows = False
        self._turn = 0
        self._said = ""

    async def run(self) -> None:
        """Look whether the engine has to begin, until cancelled."""
        try:
            while True:
                try:
                    await self.look()
                except NodeError as error:
                    self._say("engine_cannot_begin", message=error.message, remedy=error.remedy)
                except OSError as error:
                    self._say("engine_cannot_begin", message=str(error), remedy="Check the home's disk and its rights.")
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._server.close()

    async def look(self) -> None:
        """Find out where the engine begins, if it has to and nobody has, or not lately."""
        if not has_to_begin(self._home):
            await self._server.close()
            self._said = ""
            return
        pause = RETRY_SECONDS if read_beginning(self._home) is None else AGAIN_SECONDS
        if self._follows or self._clock_s() - self._asked_s < pause:
            return
        self._asked_s = self._clock_s()
        await self._find_out()

    async def _find_out(self) -> None:
        seats = self._directory.orderers
        others = [name for name in seats if name != self._organisation]
        needed = sources_needed(len(seats), len(others))
        if sum(self._is_reached(name) for name in others) < needed:
            # Nobody can be asked: then the engines' own way is left, from the first block on.
            self._begin(EngineBeginning())
            return
        answers = await self._ask(others, lambda client: client.engine_span())
        # An engine that begins itself has none.
        spans = {name: span for name, span in answers.items() if span.first}
        if len(spans) < needed:
            self._say("engine_waits_for_others", asked=others, answered=sorted(spans), needed=needed)
            return
        last = self._store.last_block()
        below = 0 if last is None else last.height
        since, until = enough_have(
            [span.first for span in spans.values()], [span.last for span in spans.values()], needed
        )
        begins = initial_height(State(self._store)) or 1
        wanted = 0 if last is None else self._first_that_counts(last.height, last.time) - 1
        # Where the others forget as fast as they may, what they are about to forget cannot be fetched any more.
        forgets = since + (until - since) // _EDGE if since > begins else 0
        height = self._choose(since, until, max(wanted, forgets), below)
        if since <= begins and (wanted < begins or height < begins):
            self._begin(EngineBeginning())
        elif height >= begins:
            await self._begin_in_the_middle(height, others, needed)
        elif until - 1 > below:
            log.warning("ledger_is_older_than_the_engines_blocks", height=below, first=since, last=until)
            # The node's processes are started anew, this one too.
            self._follows = bool(await self._core.ask("follow_first", until - 1))
        else:
            self._say("engine_waits_for_blocks", height=below, first=since, last=until)

    def _is_reached(self, organisation: str) -> bool:
        peer = self._directory.find(organisation)
        return peer is not None and bool(peer.address)

    def _first_that_counts(self, height: int, time: int) -> int:
        """Return the first block for which evidence counts at the ledger's last one; 0 where all do."""
        blocks, age_ms = evidence_limits(self._home)

        def time_of(at: int) -> int | None:
            block = self._store.head_at(at)
            return None if block is None else block.time

        return Retention(blocks, 0, time_of, evidence_blocks=blocks, evidence_ms=age_ms).lowest(height, time)

    def _choose(self, since: int, until: int, wanted: int, below: int) -> int:
        """Return behind which block to begin; where one was chosen and the engine may be at it, that one if it serves."""
        begun = read_beginning(self._home)
        if begun is not None and begun.height:
            wanted = begun.height
        return choose_height(since, until, wanted=wanted, below=below)

    async def _begin_in_the_middle(self, height: int, others: list[str], needed: int) -> None:
        answers = await self._ask(others, lambda client: client.engine_beginning(height))
        alike: dict[tuple[str, bytes], list[str]] = {}
        told = {name: Told(each.commits, each.validators, each.parameters) for name, each in answers.items()}
        for name, each in told.items():
            try:
                alike.setdefault(self._judge(height, each), []).append(name)
            except MalformedError as error:
                log.warning("engine_source_refused", organisation=name, height=height, reason=error.reason)
        chosen = max(alike.items(), key=lambda item: len(item[1]), default=(("", b""), []))
        (header, _), names = chosen
        if len(names) < needed:
            self._say(
                "engine_waits_for_others", asked=others, answered=sorted(told), alike=sorted(names), needed=needed
            )
            return
        for name in sorted(set().union(*alike.values()) - set(names)):
            log.warning("engine_source_refused", organisation=name, height=height, reason="the others tell otherwise")
        at = self._turn % len(names)
        self._turn += 1
        sources = [*names[at:], *names[:at]]
        await self._server.serve(height, [told[name] for name in sources])
        self._begin(EngineBeginning(height=height, hash=header), sources)

    def _judge(self, height: int, told: Told) -> tuple[str, bytes]:
        block = self._store.head_at(height)
        if block is None:
            raise IntegrityError(
                f"block {height} is not held here", remedy="Wait until this node has all older blocks."
            )
        state = State(self._store)
        before = (initial_height(state) or 1) - 1
        app_hash = bytes.fromhex(decode_header(block.header).app_hash)
        # What a block changes of the validators counts two blocks later; the first two have those of the beginning.
        return judge(
            told,
            chain=self._store.chain,
            height=height,
            app_hash=app_hash,
            seats=lambda at: Seats().validators(state, max(at - 2, before)),
        )

    def _begin(self, beginning: EngineBeginning, sources: list[str] | None = None) -> None:
        write_beginning(self._home, beginning)
        self._said = ""
        log.info("engine_beginning_found", behind=beginning.height, sources=sources or [])

    async def _ask(self, names: list[str], question: Callable[[PeerClient], Awaitable[T]]) -> dict[str, T]:
        """Return what these members' nodes answer, of those that do."""
        found = await asyncio.gather(*(self._ask_one(name, question) for name in names))
        return {name: answer for name, answer in zip(names, found, strict=True) if answer is not None}

    async def _ask_one(self, name: str, question: Callable[[PeerClient], Awaitable[T]]) -> T | None:
        client = await self._clients.of(name)
        if client is None:
            return None
        try:
            return await question(client)
        except NodeError as error:
            log.debug("engine_source_does_not_answer", organisation=name, reason=error.message)
            return None

    def _say(self, event: str, **fields: object) -> None:
        """Log what is waited for, once for each change."""
        said = f"{event}{fields}"
        if said != self._said:
            self._said = said
            log.warning(event, **fields)
