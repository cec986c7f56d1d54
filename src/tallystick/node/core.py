"""The core: state machine, ordering and the ledger's file, in a process of its own without any web in it.

It answers on a unix socket in the node's home and tells news there: blocks, checkpoints, signatures that others should
get, alarms. The office (API, peers, data) connects to it; a crash of the office does not touch it. Everything that is
written to `ledger.db` is written here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from tallystick.codec import sha256
from tallystick.errors import IntegrityError, NodeError, PeerError, StorageError
from tallystick.keys import Signer
from tallystick.ledger.seals import Seals, SignedHeight
from tallystick.ledger.trustkeeper import SignedVersion, TrustKeeper
from tallystick.ledger.witness import ForkError, SizedCosignature, Witness
from tallystick.machine import BlockResult, State
from tallystick.modules import rulebook
from tallystick.modules.organisations.queries import find_organisation, system_key, validators
from tallystick.modules.organisations.records import CONSENSUS_KEYS
from tallystick.node.beginning import SnapshotError, TrustPendingError, begin_from_snapshot, tidy
from tallystick.node.engines import EngineParts, make_distributed, make_replica, make_solo, make_watch
from tallystick.node.files import write_atomically
from tallystick.node.history import history_nodes, published_size
from tallystick.node.homes import Home
from tallystick.node.measures import MeasuredStore, Measures
from tallystick.node.misbehaviour import MisbehaviourBook
from tallystick.node.older import OlderBlocks, find_other_history
from tallystick.node.parts import PartKeeper
from tallystick.node.processes import PartChangedError
from tallystick.node.record_proofs import prove_record
from tallystick.node.seen_forks import prove_seen_fork
from tallystick.ordering import Replica, ReplicaError, Solo, Submitted, VerifierProcess
from tallystick.ordering.link import LinkServer
from tallystick.proofs.checkpoints import Cosignature
from tallystick.proofs.forks import ForkFinding, verify_fork_proof
from tallystick.proofs.headers import decode_header, decode_signatures
from tallystick.proofs.trust import TrustFile
from tallystick.store import FORMAT_VERSION, LedgerStore, TileLog
from tallystick.views import Measured

if TYPE_CHECKING:
    from tallystick.node.engine_watch import EngineWatch
    from tallystick.ordering.cometbft.engine import Distributed

log = structlog.get_logger("core")
PUBLISH_SECONDS = 0.25
SEAL_SECONDS = 0.03
MOST_HEIGHTS = 400
_SEAL_TRIES = 300
_LEAVE_SECONDS = 1.5
# Who is to blame for a block that is not good, by the reason's name; the source for all others. These are found only
# after the orderer's signature of the header, and what it covers, were found good.
_BLAME = {
    "app_hash_mismatch": "orderer",
    "refused_transaction": "orderer",
    "time_went_back": "orderer",
    "wrong_previous": "orderer",
    "wrong_seen": "orderer",
    "time_ahead": "clock",
}
# Fork proofs that do not prove it of the orderer: a member could make any number of them.
_MOST_SUSPICIONS = 16
_MOST_AGREED = 256


def now_ms() -> int:
    """Return UTC time in milliseconds."""
    return time.time_ns() // 1_000_000


class Core:
    """One node's core, from start to stop."""

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
        self.home = home
        self.system = system
        self.clock_ms = clock_ms
        self.organisation = home.settings.node.organisation
        self.measures = Measures()
        self.store = MeasuredStore(home.ledger_path, rulebook(), measures=self.measures)
        if self.store.converted:
            log.info("ledger_converted", blocks=self.store.converted, format=FORMAT_VERSION)
        self._keeper = PartKeeper(home, self.store)
        self.part = self._keeper.part
        self._part_changed = asyncio.Event()
        self.misbehaviour = MisbehaviourBook(home.path, self._owners_of_engines)
        tidy(home, self.store)
        self.tiles = TileLog(home.log_path)
        last = self.store.last_block()
        if self.part == "orderer" and published_size(
            self.tiles, self.store.chain, self.organisation, system.public_key
        ) > (last.size if last else 0):
            # Before anything overwrites the evidence: this ledger is an older one than this node has signed.
            log.warning("ledger_is_behind_its_log", home=str(home.path))
            home.mark_restored()
        if last is not None:
            self.tiles.resume(last.size, self.store.leaves, last.history_root, self.store.base_edge())
        self.state = self.store.load_state(
            self.tiles.frontier(), max_cached_bytes=home.settings.ledger.state_cache_mib << 20
        )
        self._on_system_key = on_system_key
        self._tell_system_key()
        self.server = LinkServer(home.socket_path, self._handlers(), submit=self._submit)
        self.trust = TrustKeeper(
            home.read_trust(),
            self.store,
            organisation=self.organisation,
            signer=system,
            on_change=self._trust_changed,
        )
        self.witness = Witness(
            self.store,
            self.trust,
            organisation=self.organisation,
            signer=system,
            clock_s=lambda: clock_ms() // 1000,
            nodes=partial(history_nodes, self.tiles, self.store),
        )
        self.alarm: str | None = None
        self.suspicion: str | None = None
        self.seals = Seals(self.store, self.trust)
        self.engine: Solo | Replica | Distributed
        self._leaves: list[bytes] = []
        self._published = self.store.latest_checkpoint()
        # Size of the checkpoint in `log/`; written again at each start.
        self._written = -1
        self._grown = asyncio.Event()
        self._signed = asyncio.Event()
        # Checkpoints of others that agree with this copy, oldest first: each comes from several nodes, several times.
        self._agreed: dict[bytes, None] = {}
        self._convicted: set[str] = set()
        self._begun = 0
        self._older_blocks = OlderBlocks(home, self.store)
        self._contradicting: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._watch: EngineWatch | None = None
        for proof in self.store.forks():
            self._judge(verify_fork_proof(proof, self.trust.derived))

    @property
    def orders(self) -> bool:
        """Whether this node orders for the zone, alone or together with others."""
        return self.part != "replica" and self.organisation in self._validators()

    # --- start and stop ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the engine and answer on the socket.

        Raises:
            AccessError: this node is told to order but does not hold the orderer's key.
        """
        self._verifier = VerifierProcess()
        parts = EngineParts(
            home=self.home,
            system=self.system,
            state=self.state,
            store=self.store,
            verifier=self._verifier,
            validators=self._validators,
            clock_ms=self.clock_ms,
            on_block=self._block_made,
            measures=self.measures,
            misbehaved=lambda found, height, time: self.misbehaviour.record(found, height=height, time=time),
        )
        if self.part == "orderer":
            self.engine = self._start_solo(parts)
        elif self.part == "validator":
            engine = make_distributed(parts)
            if self.alarm is not None:
                engine.hold(_not_trusted(self.alarm))
            self.engine = engine
            self._watch = make_watch(parts, engine, trusted=lambda: self.alarm is None)
            await engine.start()
        else:
            self.engine = make_replica(parts)
        last = self.store.last_block()
        if last is not None:
            self._follow_members(last.height, last.size)
        await self.server.start()
        self._tasks = [asyncio.create_task(self._publish_loop()), asyncio.create_task(self._seal_loop())]
        if self._watch is not None:
            self._tasks.append(asyncio.create_task(self._watch.run()))
        self._grown.set()
        log.info("core_started", part=self.part, height=self.state.height)

    def _start_solo(self, parts: EngineParts) -> Solo:
        engine = make_solo(parts)
        if self.home.is_restored:
            engine.hold(
                PeerError(
                    "this copy was restored from a backup, or is older than what it published, and asks the witnesses "
                    "how far the history had gone",
                    remedy="Wait until enough other members' nodes answer; `tally node status` tells how many.",
                )
            )
        if self.alarm is not None:
            engine.hold(_not_trusted(self.alarm))
        engine.start()
        return engine

    async def run(self) -> None:
        """Never return; raises what ended a loop without which this core only seems to work."""
        work: list[Awaitable[None]] = [*self._tasks, self._leave()]
        if not isinstance(self.engine, Replica):
            work.append(self.engine.run())
        await asyncio.gather(*work)

    async def _leave(self) -> None:
        """Wait until this node plays another part, and end with that.

        Raises:
            PartChangedError: it does.
        """
        await self._part_changed.wait()
        # Who waits for the last block is told of it, and its checkpoint goes out.
        await asyncio.sleep(_LEAVE_SECONDS)
        if self._begun:
            raise PartChangedError(
                f"this copy goes on from block {self._begun}", remedy="Nothing is to be done: its processes start anew."
            )
        self._keeper.check()

    async def stop(self) -> None:
        """Stop in order: no new requests, then the engine, then the files."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if isinstance(self.engine, Replica):
            await self._verifier.close()
        else:
            await self.engine.stop()
        await self.server.stop()
        self.store.close()
        log.info("core_stopped", height=self.state.height)

    # --- blocks ------------------------------------------------------------------------------------------------------

    def _validators(self) -> dict[str, bytes]:
        """Return organisation -> `system` key of those who must sign the next header."""
        return {member.organisation: bytes.fromhex(member.key) for member in validators(State(self.store))}

    def _block_made(self, result: BlockResult, header: bytes, signatures: bytes) -> None:
        height = result.block.height
        self.measures.block(result)
        self._leaves += result.leaves
        self._grown.set()
        self.seals.made(height, header, signatures)
        self._signed.set()
        if self.part == "validator":
            for signed in decode_signatures(signatures):
                self.server.tell("header_signature", [height, signed.organisation, signed.signature])
        if any(collection in ("organisations", "keys", "zone") for collection, _, _ in result.writes):
            # The version that follows is signed with the key of the version before, what comes then with the new one.
            self._follow_members(height, result.size)
            self._tell_system_key()
        if self._keeper.after(result):
            self._part_changed.set()
            if not isinstance(self.engine, Replica):
                self.engine.hold(
                    PeerError(
                        "the zone's validators order together from now on", remedy="Send it again in a few seconds."
                    )
                )
        self.server.tell("block", {"height": height, "size": result.size, "time": result.block.time})

    def _tell_system_key(self) -> None:
        """Let whoever holds the keys sign with the registered one from now on."""
        state = State(self.store)
        if self._on_system_key is not None and find_organisation(state, self.organisation) is not None:
            self._on_system_key(system_key(state, self.organisation))

    def _follow_members(self, height: int, size: int) -> None:
        try:
            for made in self.trust.follow(State(self.store), height=height, size=size):
                self.server.tell("trust_signature", made)
        except IntegrityError as error:
            self._raise_alarm(error)

    def _trust_changed(self, trust: TrustFile) -> None:
        write_atomically(self.home.trust_path, trust.encode())
        self.server.tell("trust", {"version": trust.latest.number})

    async def _publish_loop(self) -> None:
        """Write tiles as the history grows and, where this node orders, sign a checkpoint of it."""
        while True:
            await self._grown.wait()
            self._grown.clear()
            leaves, self._leaves = self._leaves, []
            last = self.store.last_block()
            sealed = self.store.head_at(self.seals.sealed)
            try:
                await asyncio.to_thread(self._write_tiles, leaves, last.size if last else 0)
                published = self._published[0] if self._published else 0
                if sealed is not None and published < sealed.size and self._ordered_at(sealed.size):
                    # Who was away may come upon an empty block first; a checkpoint is of the first block of its size.
                    first = self.store.block_of_size(sealed.size) or sealed
                    note = self.witness.publish(first.size, first.history_root, first.height)
                    self._published = self.store.latest_checkpoint()
                    self.server.tell("checkpoint", note)
                self._write_checkpoint()
            except StorageError as error:
                log.error("publishing_failed", message=error.message, remedy=error.remedy)
                self._grown.set()
                await asyncio.sleep(1)
            await asyncio.sleep(PUBLISH_SECONDS)

    async def _seal_loop(self) -> None:
        """Write the header signatures of others as they come, and tell how far the history is sealed."""
        told = self.seals.sealed
        while self.part == "validator":
            await self._signed.wait()
            self._signed.clear()
            await asyncio.sleep(SEAL_SECONDS)
            try:
                self.seals.flush()
            except StorageError as error:
                log.error("signatures_not_kept", message=error.message, remedy=error.remedy)
                self._signed.set()
                await asyncio.sleep(1)
            if self.seals.sealed > told:
                told = self.seals.sealed
                self._grown.set()
                self.server.tell("sealed", {"height": told})
            self._tell_contradictions()

    def _ordered_at(self, size: int) -> bool:
        """Tell whether this node orders, and did at a size of the history: a seat counts from the next size on."""
        return self.orders and self.organisation in self.trust.derived.version_at(size).validators

    def _write_tiles(self, leaves: list[bytes], size: int) -> None:
        if self.tiles.broken:
            self.tiles.resume(size, self.store.leaves, begin=self.store.base_edge())
            return
        self.tiles.append(leaves)
        self.tiles.flush()

    def _write_checkpoint(self) -> None:
        """Put the latest signed checkpoint into `log/`, for tools that read it, once the tiles are as far."""
        latest = self.store.latest_checkpoint()
        if latest is None or latest[0] <= self._written or latest[0] > self.tiles.size:
            return
        if self.tiles.write_checkpoint(latest[3]):
            self._written = latest[0]

    # --- requests ----------------------------------------------------------------------------------------------------

    def _handlers(self) -> dict[str, Any]:
        return {
            "apply": self._apply,
            "begin": self._begin,
            "older": self._older,
            "recover": self._recover,
            "checkpoint": self._checkpoint,
            "cosignature": self._cosignature,
            "trust_signature": self._trust_signature,
            "header_signatures": self._header_signatures,
            "known_header_signatures": self._known_header_signatures,
            "fork": self._fork,
            "prove": self._prove,
            "status": self._status,
            "measured": self._measured,
            "release": self._release,
            "engine_begins": self._engine_begins,
            "follow_first": self._follow_first,
        }

    def _submit(self, transaction: bytes, source: str) -> asyncio.Future[Submitted]:
        """Take one transaction from this node's office, or from another member's node; see `Solo.submit`."""
        engine = self.engine
        if isinstance(engine, Replica):
            raise PeerError("this node does not order", remedy="Send transactions to the orderer's node.")
        return engine.submit(transaction, source)

    async def _apply(self, body: list[Any]) -> dict[str, Any]:
        """Check and keep the next block of the history that this copy follows.

        The body is header, signature and transactions, and whether another block follows at once.

        Returns:
            height and size after it; or, for a block that is not good, `refused` (the reason's name), `message`,
            `remedy`, and who is to `blame`: the `orderer` for what it signed, the `clock` where times are too far
            apart, the `source` for anything that says nothing about who signed it.
        """
        engine = self.engine
        if self.alarm is not None:
            return _refusal("alarm", self.alarm, "This node does not follow the orderer any more.", "orderer")
        header, signatures, transactions, *more = body
        if not isinstance(engine, Replica):
            raise PeerError("this node orders and takes no blocks", remedy="Only a restored orderer catches up.")
        try:
            result = await engine.apply(header, signatures, transactions, synced=not any(more))
        except ReplicaError as error:
            self.measures.refused("block", error.reason)
            blame = _BLAME.get(error.reason, "source")
            if blame == "orderer":
                self._raise_alarm(error)
            if error.reason == "wrong_seen":
                await self._keep_seen_fork(header, signatures, transactions)
            return _refusal(error.reason, error.message, error.remedy, blame)
        return {"height": result.block.height, "size": result.size}

    async def _begin(self, body: list[bytes]) -> dict[str, Any]:
        """Begin this empty copy from a snapshot whose chunks are in the home; all of it is checked first.

        The node then starts anew, as if it had always been so.
        """
        if not isinstance(self.engine, Replica) or self.store.last_block() is not None or self._begun:
            raise PeerError("this copy has begun already", remedy="Only an empty copy begins from a snapshot.")
        description, trust = body
        try:
            begun = await asyncio.to_thread(begin_from_snapshot, self.home, description, trust, now_ms=self.clock_ms())
        except SnapshotError as error:
            reason = "trust_pending" if isinstance(error, TrustPendingError) else "snapshot"
            return _refusal(reason, error.message, error.remedy, "source")
        self._begun = begun.height
        self._part_changed.set()
        return {"height": begun.height, "size": begun.head.size}

    async def _older(self, _: Any) -> dict[str, int]:
        """Put older blocks, which were executed beside the ledger, into it: one step; the height reached is told."""
        base = self.store.base
        if base is None:
            return {"height": self.state.height, "base": 0}
        reached = self._older_blocks.step()
        if self.store.base is None:
            with closing(LedgerStore(self.store.path, rulebook(), read_only=True)) as view:
                other = await asyncio.to_thread(find_other_history, view, base)
            if other is not None:
                self._raise_alarm(
                    _not_trusted(f"{other[0]} had seen another history than this copy's (block {other[1]})")
                )
            tidy(self.home, self.store)
        return {"height": reached, "base": base.height}

    async def _recover(self, body: list[Any]) -> dict[str, int]:
        """Take back a block that this orderer itself had made before it was restored from an older backup."""
        engine = self.engine
        if not isinstance(engine, Solo) or not self.home.is_restored:
            raise PeerError("this node is not a restored orderer", remedy="Only a restored orderer takes back blocks.")
        header, signatures, transactions = body
        follower = Replica(
            self.state,
            self.store,
            rulebook(),
            self._verifier,
            validators=lambda: {self.organisation: self.system.public_key},
            clock_ms=self.clock_ms,
            previous=self.store.last_header_hash(),
            on_block=self._block_made,
        )
        result = await follower.apply(header, signatures, transactions)
        engine.continue_from(self.store.last_header_hash())
        return {"height": result.block.height, "size": result.size}

    async def _checkpoint(self, note: bytes) -> SizedCosignature | None:
        """Check the orderer's checkpoint, and cosign it unless this node orders itself."""
        if self.alarm is not None:
            raise _not_trusted(self.alarm)
        if note in self._agreed:
            return None
        try:
            if self.orders:
                if self.witness.check(note) is not None:
                    self._agreed[note] = None
                    if len(self._agreed) > _MOST_AGREED:
                        del self._agreed[next(iter(self._agreed))]
                return None
            made = self.witness.cosign(note)
        except ForkError as error:
            self._keep_fork(error)
            raise
        # The loop that writes tiles puts the checkpoint behind them.
        self._grown.set()
        return made

    async def _cosignature(self, body: list[Any]) -> bool:
        """Take another node's cosignature."""
        size, root, fields = body
        try:
            given = SizedCosignature(size, root, Cosignature(**fields))
            return self.witness.add(given)
        except ForkError as error:
            self._keep_fork(error)
            raise

    async def _fork(self, proof: bytes) -> bool:
        """Take a fork proof that another node found; return whether it is good and new."""
        finding = verify_fork_proof(proof, self.trust.derived)
        kept = self.store.forks()
        if proof in kept or (finding.culprit not in self._orderers() and len(kept) >= _MOST_SUSPICIONS):
            return False
        self.store.add_fork(proof)
        self._judge(finding)
        return True

    async def _header_signatures(self, body: list[Any]) -> int:
        """Take signatures of headers, and who brought them; return how many are good and new."""
        sender, rows = body
        given = [SignedHeight(*row) for row in rows]
        bad = self.seals.bad
        taken = sum(self.seals.add(each, first_hand=each.organisation == sender) for each in given)
        self._signed.set()
        for _ in range(self.seals.bad - bad):
            self.measures.refused("header_signature", "bad_signature")
        return taken

    async def _known_header_signatures(self, first: int) -> list[SignedHeight]:
        """Return the signatures that this copy has of headers from a height on."""
        last = self.store.last_block()
        return [] if last is None else self.seals.known(first, min(last.height, first + MOST_HEIGHTS))

    async def _trust_signature(self, body: list[Any]) -> bool:
        """Take another node's signature under a version of the trust file."""
        return self.trust.add(SignedVersion(*body))

    async def _prove(self, body: list[str]) -> dict[str, Any]:
        """Return a record, or its absence, with its proof under the last header."""
        collection, key = body
        found = await prove_record(self.state, self.store, collection, key)
        height = decode_header(found["header"]).height
        for _ in range(_SEAL_TRIES):
            if self.seals.sealed >= height:
                break
            # Others who order have not all signed the last block yet.
            await asyncio.sleep(SEAL_SECONDS)
        block = self.store.head_at(height)
        return found if block is None else {**found, "header_signatures": block.signatures}

    async def _status(self, _: Any) -> dict[str, Any]:
        """Return what this node is and how it does."""
        last, base = self.store.last_block(), self.store.base
        return {
            "organisation": self.organisation,
            "role": self.part,
            "height": self.state.height,
            "time": self.state.time,
            "size": last.size if last else 0,
            "root": last.history_root if last else b"",
            "witnessed": self._witnessed_size(),
            "begun": base.height if base else 0,
            "older": self.store.older_height() if base else 0,
            "trust_version": self.trust.trust.latest.number,
            "trust_pending": len(self.trust.derived.entries) - len(self.trust.trust.entries),
            "waiting": 0 if isinstance(self.engine, Replica) else self.engine.waiting,
            "queues": {} if isinstance(self.engine, Replica) else self.engine.queues(),
            "sealed": self.seals.sealed,
            "lacking": self.seals.lacking,
            "engine": None if self._watch is None else self._watch.health,
            "misbehaviour": self.misbehaviour.found,
            "held": self.home.is_restored and self.part == "orderer",
            "alarm": self.alarm,
            "suspicion": self.suspicion,
        }

    async def _measured(self, _: Any) -> Measured:
        """Return what this core has measured since it started."""
        return self.measures.measured()

    def _owners_of_engines(self) -> dict[str, str]:
        """Return organisation by the address of each consensus key that was ever registered."""
        found = State(self.store).scan(CONSENSUS_KEYS)
        return {sha256(bytes.fromhex(key))[:20].hex(): record.organisation for key, record in found}

    def _witnessed_size(self) -> int:
        """Return the size of the history that as many have signed as the zone asks for."""
        version = self.trust.derived.latest
        if version.needed or len(version.validators) == 1:
            return self.witness.witnessed_size()
        # Nobody but those who order has to sign.
        sealed = self.store.head_at(self.seals.sealed)
        return 0 if sealed is None else sealed.size

    async def _release(self, _: Any) -> bool:
        """Let a restored orderer order again: its office has asked the witnesses and caught up."""
        self.home.clear_restored()
        if isinstance(self.engine, Solo):
            self.engine.hold(None)
        return True

    async def _engine_begins(self, body: list[Any]) -> bool:
        """Offer a height to another member's engine as its beginning."""
        engine = self.engine
        if isinstance(engine, (Solo, Replica)):
            raise PeerError("this node has no engine", remedy="Ask the nodes of the zone's validators.")
        asker, height = body
        engine.offer_beginning(asker, height)
        return True

    async def _follow_first(self, height: int) -> bool:
        """Follow the others up to a height, as a replica; only then does this validator's engine begin."""
        log.warning("ledger_follows_first", height=self.state.height, until=height)
        self.home.rebuilding_path.write_text(f"{height}\n")
        self._part_changed.set()
        return True

    # --- alarms ------------------------------------------------------------------------------------------------------

    def _raise_alarm(self, error: IntegrityError) -> None:
        """Stop trusting the orderer, and say so to everybody who is connected."""
        self.alarm = error.message
        engine = getattr(self, "engine", None)
        if engine is not None and not isinstance(engine, Replica):
            engine.hold(error)
        log.error("alarm", message=error.message, remedy=error.remedy)
        self.server.tell("alarm", {"message": error.message, "remedy": error.remedy})

    def _keep_fork(self, error: ForkError) -> None:
        """Keep the proof, then say so."""
        if error.culprit in self._orderers() or len(self.store.forks()) < _MOST_SUSPICIONS:
            self.store.add_fork(error.proof)
        self._judge(verify_fork_proof(error.proof, self.trust.derived))

    async def _keep_seen_fork(self, header: bytes, signatures: bytes, transactions: list[bytes]) -> None:
        """Keep the proof that the orderer included what its author had seen differently."""
        try:
            proof = prove_seen_fork(self.state, self.store, self.tiles, header, signatures, transactions)
            if proof is not None:
                await self._fork(proof)
        except NodeError as error:
            log.error("fork_not_proved", message=error.message, remedy=error.remedy)

    def _judge(self, finding: ForkFinding) -> None:
        """Raise the alarm where more of those who order are proved to have told two histories than a zone can bear.

        One orderer alone is enough; of several that order together, a third.
        """
        if finding.culprit is not None and finding.culprit in self._orderers():
            self._convicted.add(finding.culprit)
            if 3 * len(self._convicted) >= len(self.trust.derived.latest.validators):
                self._raise_alarm(_not_trusted(finding.text))
                return
        self._suspect(finding.text, finding.involved)

    def _suspect(self, message: str, involved: Sequence[str]) -> None:
        """Say what is not proved of enough of those who order to stop; this node goes on."""
        self.suspicion = message
        log.warning("suspicion", message=message)
        self.server.tell("suspicion", {"message": message, "involved": list(involved)})

    def _tell_contradictions(self) -> None:
        """Say who signs other headers than this copy's, once of each."""
        for organisation, height in self.seals.contradictions.items():
            if organisation not in self._contradicting:
                self._contradicting.add(organisation)
                self._suspect(
                    f"{organisation} signs another header of block {height} than this copy has: one of the two has come "
                    "to another result",
                    (organisation,),
                )

    def _orderers(self) -> set[str]:
        return {name for version in self.trust.derived.versions for name in version.validators}


def _not_trusted(message: str) -> IntegrityError:
    return IntegrityError(
        message, remedy="This node does not trust the orderer any more. Tell the members: `tally ledger compare`."
    )


def _refusal(reason: str, message: str, remedy: str, blame: str) -> dict[str, Any]:
    return {"refused": reason, "message": message, "remedy": remedy, "blame": blame}
