"""The ledger as the engine sees it: the ABCI 2.0 application.

Order of steps of a block, and what a crash between them leaves:

1. FinalizeBlock executes against the last block on disk, in memory. A crash leaves that block as the last; the engine
   sends the same block again.
2. Commit writes block, records and height in one SQL transaction, synced. A crash during it leaves the block before, or
   this one; `info` tells which, and the engine goes on from there.
3. Listeners are told. What they do can be made up for from the disk.

Rules:

- Execution looks at nothing but the state and the block: not at the clock, the network or this node's settings.
- Whatever is in a block, each transaction of the engine's, which is a bundle of the ledger's (`bundles`), has exactly one
  result; content never raises. What does not fit at all (a
  height out of turn, another chain) does, and the engine stops: going on would fork.
- A block's refused transactions are in the engine's own store; the ledger keeps those that reached the history. What is
  refused leaves nothing behind, so the block without it has the very same result.
- The app hash of an empty block is that of the block before, so that an idle chain comes to rest.
- An engine that is behind the ledger is answered from the ledger until it has caught up (`replay`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

import structlog

from tallystick.codec import MalformedError
from tallystick.codec.bundles import Bundle, cut_bundles, decode_bundle, encode_bundle
from tallystick.errors import IntegrityError, RejectedError
from tallystick.machine import Block, BlockResult, LedgerState, Parameters, Rulebook, State, Transaction, execute_block
from tallystick.machine.execution import app_hash_of
from tallystick.machine.parameters import PARAMETERS, PARAMETERS_KEY
from tallystick.machine.rejections import BAD_SIGNATURE, MALFORMED, REPEATED
from tallystick.ordering.cometbft import beginnings as middle
from tallystick.ordering.cometbft.admission import Admission
from tallystick.ordering.cometbft.beginnings import Beginnings
from tallystick.ordering.cometbft.blocks import (
    Committed,
    Executed,
    Sealed,
    misbehaviour_in,
    without_refused,
)
from tallystick.ordering.cometbft.bundles import BUNDLE_TRANSACTIONS, Carried, unpack
from tallystick.ordering.cometbft.checking import Checked, TransactionChecker
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.oversight import Oversight
from tallystick.ordering.cometbft.proposals import choose, find_fault, room_in_block
from tallystick.ordering.cometbft.replay import EngineHeight, History, KeptBlock, answer_again, is_kept
from tallystick.ordering.cometbft.results import NODE_CODESPACE, busy, encode_result, gone, refusal
from tallystick.ordering.cometbft.snapshots import NoSnapshots, SnapshotExchange
from tallystick.ordering.cometbft.validators import ValidatorSource, changes, difference, update
from tallystick.ordering.fairness import Share
from tallystick.ordering.solo import BlockSink
from tallystick.ordering.verifier import SignatureVerifier

log = structlog.get_logger("engine")
# Part of each header of the engines' chain, from its first on; an engine that begins later must be told the same.
APP_VERSION = 1
_REPAIR = "Stop the node and type `tally ledger check`; then restore a backup, or join anew from another member's copy."
_OTHER_ZONE = "Check that the engine's genesis and this node's zone.json belong to the same zone."


class _Arrived(NamedTuple):
    """A transaction that may be let in if its signature is good, and which request's bundle brought it."""

    position: int
    transaction: Transaction


class _Opened(NamedTuple):
    """A block's bundles, taken apart and checked for the vote, and again the same where it is executed."""

    bundles: Sequence[Bundle]
    checked: Sequence[Checked]


class LedgerApplication:
    """Answers the engine for one ledger.

    Attributes:
        state: after the last block on disk.
    """

    def __init__(
        self,
        state: LedgerState,
        sink: BlockSink,
        rulebook: Rulebook,
        verifier: SignatureVerifier,
        *,
        clock_ms: Callable[[], int],
        seal: Callable[[BlockResult], Sealed],
        on_block: Callable[[Committed], None] | None = None,
        on_engine: Callable[[], None] | None = None,
        validators: ValidatorSource | None = None,
        knows_engine: Callable[[str], bool] | None = None,
        history: History | None = None,
        engine: EngineHeight | None = None,
        beginnings: Beginnings | None = None,
        snapshots: SnapshotExchange | None = None,
        share: Share | None = None,
        initial_height: int = 1,
        oversight: Oversight | None = None,
    ) -> None:
        """Prepare an application.

        Args:
            state: after the last block on disk.
            sink: keeps blocks.
            rulebook: the operations.
            verifier: checks signatures of transactions.
            clock_ms: UTC time, ms; for admission alone.
            seal: makes and signs the header of a block that is about to be committed.
            on_block: told of each block after it is on disk.
            on_engine: told when an engine begins to talk: its mempool is empty.
            validators: reads from the state who validates; by default those of the engine's genesis stay.
            knows_engine: tells by its node id whether another engine may connect; by default any may.
            history: the ledger's blocks, and
            engine: how far the engine has come, where it may be behind them.
            beginnings: heights at which engines may begin; by default none but the first.
            snapshots: makes and takes snapshots; by default none.
            share: what one organisation may have waiting.
            initial_height: the first block of the engine's chain; above 1 where the zone had another engine before.
            oversight: measures, is told of misbehaviour, and says which blocks the engine may forget.
        """
        self.state = state
        self._sink = sink
        self._rulebook = rulebook
        self._checker = TransactionChecker(state.genesis_hash, verifier)
        self._seal = seal
        self._on_block = on_block
        self._on_engine = on_engine
        self._validators = validators
        self._knows_engine = knows_engine
        self._history = history
        self._engine = engine
        self._beginnings = beginnings
        self._replayed = 0
        self._snapshots: SnapshotExchange = snapshots or NoSnapshots()
        self._admission_of = partial(Admission, roots=sink, rulebook=rulebook, clock_ms=clock_ms, share=share)
        self._admission = self._admission_of(state)
        self._carried = Carried()
        self._initial_height = initial_height
        self._oversight = oversight or Oversight()
        self._meter = self._oversight.meter
        self._opened: _Opened | None = None
        self._pending: Executed | None = None
        self._parameters = self._read_parameters()

    @property
    def waiting(self) -> int:
        """Transactions admitted here and in no block yet."""
        return self._admission.waiting

    @property
    def app_hash(self) -> bytes:
        """After the last block on disk."""
        frontier = self.state.frontier
        return app_hash_of(self.state.tree.root, frontier.root(), frontier.size)

    def _read_parameters(self) -> Parameters:
        value = self.state.reader.read(PARAMETERS.name, PARAMETERS_KEY)
        return Parameters() if value is None else PARAMETERS.decode(value)

    # --- beginning ---------------------------------------------------------------------------------------------------

    async def info(self, request: abci.RequestInfo) -> abci.ResponseInfo:
        """Tell the height and app hash that are on disk; height 0 before this engine's first block."""
        del request
        if self._on_engine is not None:
            self._on_engine()
        self._admission.engine_began()
        self._carried.clear()
        height = self.reached
        began = height >= self._initial_height
        return abci.ResponseInfo(
            data="tallystick",
            app_version=APP_VERSION,
            last_block_height=height if began else 0,
            last_block_app_hash=self._app_hash_at(height) if began else b"",
        )

    @property
    def reached(self) -> int:
        """Height of the last block that the engine has brought."""
        return self.state.height if self._behind is None else self._behind

    @property
    def _behind(self) -> int | None:
        """The height of the engine's last block where the ledger has more, else None."""
        return None if self._engine is None else self._engine.height

    def _kept(self, height: int) -> KeptBlock | None:
        """Return a block that the ledger has already, where the engine is behind it."""
        if self._behind is None or self._history is None or height > self.state.height:
            return None
        return self._history.kept_block(height)

    def _app_hash_at(self, height: int) -> bytes:
        if height == self.state.height or self._history is None:
            return self.app_hash
        return self._history.kept_block(height).app_hash

    async def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """Compare the engine's genesis with the ledger's; answer with the app hash that the chain begins with.

        Raises:
            IntegrityError: they do not belong together.
        """
        state = self.state
        if request.chain_id != state.chain:
            raise IntegrityError(
                f"the engine's genesis is of the chain {request.chain_id}, this ledger's of {state.chain}",
                remedy=_OTHER_ZONE,
            )
        before = self._initial_height - 1
        fits = state.height == before if self._behind is None else state.height >= before
        if (request.initial_height or 1) != self._initial_height or not fits:
            raise IntegrityError(
                f"the engine begins at block {request.initial_height or 1}, behind this ledger's {state.height}",
                remedy=_OTHER_ZONE,
            )
        given = {item.pub_key.ed25519: item.power for item in request.validators}
        wanted = given if self._validators is None else dict(self._validators.validators(State(state.reader), before))
        if given and given != wanted:
            raise IntegrityError(
                "the validators of the engine's genesis are not those of this ledger", remedy=_OTHER_ZONE
            )
        log.info("engine_chain_begins", chain=state.chain, height=self._initial_height, validators=len(wanted))
        return abci.ResponseInitChain(
            app_hash=self._app_hash_at(before), validators=[update(key, wanted[key]) for key in sorted(wanted)]
        )

    # --- admitting and proposing -------------------------------------------------------------------------------------

    async def check_transactions(self, requests: Sequence[abci.RequestCheckTx]) -> list[abci.ResponseCheckTx]:
        """Let bundles into the mempool: those that bring something which a block would take now.

        Signatures of what passes the rest are checked as one batch. Asked again after a block, it keeps the bundles of
        which something waits still.
        """
        answers: list[abci.ResponseCheckTx] = []
        arrived: list[_Arrived] = []
        for position, request in enumerate(requests):
            if request.tx in self._carried:
                answers.append(abci.ResponseCheckTx())
            elif request.type == abci.RECHECK:
                answers.append(gone())
            else:
                answers.append(self._open(position, request.tx, arrived))
        checked = await self._checker.check_decoded([each.transaction for each in arrived])
        brought: dict[int, list[bytes]] = {}
        for each, item in zip(arrived, checked, strict=True):
            refused = self._let_in(each.transaction, item)
            if refused is None:
                brought.setdefault(each.position, []).append(each.transaction.id)
            else:
                answers[each.position] = refused
        for position, identifiers in brought.items():
            self._carried.add(requests[position].tx, identifiers)
            answers[position] = abci.ResponseCheckTx()
        return answers

    def _open(self, position: int, bundle: bytes, arrived: list[_Arrived]) -> abci.ResponseCheckTx:
        """Judge what a bundle brings, all but signatures; return the answer in case that nothing more comes of it.

        A few bytes may become many transactions. What no node makes that keeps to the rules, a long bundle or one with
        something malformed in it, is refused as a whole, at the first sign of it.
        """
        answer = abci.ResponseCheckTx()
        try:
            transactions = [self._decode(raw) for raw in decode_bundle(bundle, most=BUNDLE_TRANSACTIONS)]
        except MalformedError as error:
            return refusal(MALFORMED(reason=error.reason))
        for transaction in transactions:
            try:
                self._judge(transaction)
            except RejectedError as error:
                answer = refusal(error)
                continue
            if self._admission.has_room(transaction) and self._may_look(transaction):
                arrived.append(_Arrived(position, transaction))
            else:
                answer = busy(transaction.payload.organisation)
        return answer

    def _decode(self, raw: bytes) -> Transaction:
        """Return a transaction.

        Raises:
            MalformedError: it is none.
        """
        decoded = self._checker.decode(raw)
        if isinstance(decoded, MalformedError):
            raise decoded
        return decoded

    def _judge(self, transaction: Transaction) -> None:
        """Check whether a block would take a transaction now, or soon, if its signature is good.

        Raises:
            RejectedError: a block would not, or it waits already.
        """
        if self._admission.waits(transaction):
            raise REPEATED()
        self._admission.judge(transaction, self._parameters, may_be_ahead=True)

    def _let_in(self, transaction: Transaction, item: Checked) -> abci.ResponseCheckTx | None:
        """Let a transaction wait from now on, which did not before; else return why not."""
        bad = item.refused()
        if bad is not None:
            self._admission.was_bad()
            self._meter.refused("transaction", bad.name)
            return refusal(bad)
        try:
            if self._admission.waits(transaction):
                return refusal(REPEATED())
            return None if self._admission.admit(transaction) else busy(transaction.payload.organisation)
        except RejectedError as error:
            return refusal(error)

    def _may_look(self, transaction: Transaction) -> bool:
        """Tell whether a signature may be checked now; what is known to be good need not be."""
        return self._checker.knows(transaction.raw) or self._admission.may_look()

    async def check_signatures(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Check signatures of what somebody hands in here; nothing else checks the good ones again."""
        signed = [item.signed for item in await self._checker.check_decoded(transactions)]
        for _ in range(signed.count(False)):
            self._meter.refused("transaction", BAD_SIGNATURE.name)
        return signed

    def judge(self, transaction: Transaction) -> None:
        """Check all but the signature of a transaction that somebody hands in here.

        Raises:
            RejectedError: a block would refuse it now.
        """
        self._admission.judge(transaction, self._parameters)

    def waits(self, transaction: Transaction) -> bool:
        """Tell whether a transaction waits for a block already, whoever brought it.

        Raises:
            RejectedError: another form of it does, with another signature.
        """
        return self._admission.waits(transaction)

    def admit(self, transaction: Transaction) -> bool:
        """Let a transaction with a good signature wait for a block; False where its organisation has its share waiting.

        Raises:
            RejectedError: another form of it waits already, with another signature.
        """
        return self._admission.admit(transaction)

    def carry(self, transactions: Sequence[Transaction]) -> bytes:
        """Return the bundle in which transactions that wait here travel to the other validators."""
        bundle = encode_bundle(transaction.raw for transaction in transactions)
        self._carried.add(bundle, [transaction.id for transaction in transactions])
        return bundle

    def drop(self, transactions: Sequence[Transaction]) -> None:
        """Let transactions wait no more, since the engine does not take them."""
        self._admission.drop([transaction.id for transaction in transactions])

    async def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """Choose the transactions of a block, oldest first (`proposals`), in bundles as the ledger keeps them."""
        if self._kept(request.height) is not None:
            # The block of this height was decided long ago, and this proposal comes too late for anybody.
            return abci.ResponsePrepareProposal()
        chosen = choose(self._admission.candidates(), self._parameters, room_in_block(request.max_tx_bytes))
        return abci.ResponsePrepareProposal(txs=[bundle.encoded for bundle in cut_bundles(chosen)])

    async def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        """Vote for another's block, or not (`proposals`)."""
        try:
            fault = await self._find_fault(request.height, request.txs)
        except MalformedError as error:
            fault = error.reason
        if fault is None:
            return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.ACCEPT)
        self._meter.refused("proposal", "against_the_rules")
        log.warning("proposal_refused", height=request.height, proposer=request.proposer_address.hex(), reason=fault)
        return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.REJECT)

    async def _find_fault(self, height: int, bundles: Sequence[bytes]) -> str | None:
        """Return why a proposal is not voted for, or None.

        Raises:
            MalformedError: it holds something else than bundles.
        """
        opened = [Bundle(decode_bundle(bundle), bundle) for bundle in bundles]
        transactions = [raw for bundle in opened for raw in bundle.transactions]
        kept = self._kept(height)
        if kept is not None:
            return None if is_kept(transactions, kept) else "the ledger holds another block of this height"
        checked = await self._checker.check(transactions)
        self._opened = _Opened(opened, checked)
        return find_fault(checked, self._parameters) or self._find_other_history(checked)

    def _find_other_history(self, checked: Sequence[Checked]) -> str | None:
        """Return why a proposal is not voted for: one of its authors has seen another history than this one.

        Every validator at this height knows the same roots, so all honest ones vote alike; copies that follow raise the
        alarm where such a transaction is in a block after all.
        """
        for position, item in enumerate(checked):
            if not isinstance(item.decoded, MalformedError) and not self._admission.has_seen_this(item.decoded):
                return f"the author of transaction {position} has seen another history"
        return None

    async def extend_vote(self, request: abci.RequestExtendVote) -> abci.ResponseExtendVote:
        """Add nothing to a vote."""
        del request
        return abci.ResponseExtendVote()

    async def verify_vote_extension(self, request: abci.RequestVerifyVoteExtension) -> abci.ResponseVerifyVoteExtension:
        """Take a vote to which nothing was added."""
        good = not request.vote_extension
        verdict = abci.ResponseVerifyVoteExtension.ACCEPT if good else abci.ResponseVerifyVoteExtension.REJECT
        return abci.ResponseVerifyVoteExtension(status=verdict)

    # --- deciding ----------------------------------------------------------------------------------------------------

    async def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        """Execute a decided block; nothing is kept until `commit`.

        Raises:
            IntegrityError: it is not the block that comes next here.
        """
        state = self.state
        kept = self._kept(request.height)
        if kept is not None:
            return self._answer_again(request, kept)
        time = request.time.seconds * 1_000 + request.time.nanos // 1_000_000
        if request.height != state.height + 1 or time < state.time:
            raise IntegrityError(
                f"the engine decided block {request.height}, which does not follow this ledger's block {state.height}",
                remedy=_REPAIR,
            )
        self._pending = None
        bundles, checked = await self._open_again(request.txs)
        transactions = tuple(raw for bundle in bundles for raw in bundle.transactions)
        bad = {item.decoded.raw for item in checked if not item.signed and not isinstance(item.decoded, MalformedError)}
        block = Block(request.height, time, transactions)
        began = perf_counter()
        result = execute_block(
            state,
            block,
            self._rulebook,
            decoded=[item.decoded for item in checked],
            verified=lambda transaction: transaction.raw not in bad,
        )
        self._meter.observe("apply_seconds", perf_counter() - began)
        self._pending = Executed(result, bundles, misbehaviour_in(request.misbehavior))
        return abci.ResponseFinalizeBlock(
            tx_results=[encode_result(bundle.transactions) for bundle in bundles],
            validator_updates=changes(self._validators, state.reader, result),
            app_hash=result.app_hash,
        )

    async def _open_again(self, bundles: Sequence[bytes]) -> _Opened:
        """Return a decided block's bundles and transactions, from memory where this node has looked at it for its vote."""
        opened, self._opened = self._opened, None
        if opened is not None and [bundle.encoded for bundle in opened.bundles] == list(bundles):
            return opened
        unpacked = unpack(bundles)
        return _Opened(unpacked, await self._checker.check([raw for bundle in unpacked for raw in bundle.transactions]))

    def _answer_again(self, request: abci.RequestFinalizeBlock, kept: KeptBlock) -> abci.ResponseFinalizeBlock:
        """Tell an engine that is behind what the ledger had made of a block."""
        results = answer_again(request.height, request.txs, kept)
        state = State(self.state.reader)
        updates = []
        if self._validators is not None:
            before, after = (self._validators.validators(state, at) for at in (request.height - 1, request.height))
            updates = difference(before, after)
        self._replayed = request.height
        return abci.ResponseFinalizeBlock(tx_results=results, validator_updates=updates, app_hash=kept.app_hash)

    def _commit_again(self, engine: EngineHeight) -> abci.ResponseCommit:
        """Remember how far an engine has come that is behind."""
        caught_up = self._replayed == self.state.height
        engine.set(None if caught_up else self._replayed)
        if caught_up:
            log.info("engine_caught_up", height=self._replayed)
        self._replayed = 0
        return abci.ResponseCommit()

    async def commit(self, request: abci.RequestCommit) -> abci.ResponseCommit:
        """Put the executed block on disk.

        Raises:
            IntegrityError: none was executed.
            StorageError: the disk refuses; nothing was written.
        """
        del request
        if self._replayed and self._engine is not None:
            return self._commit_again(self._engine)
        pending = self._pending
        if pending is None:
            raise IntegrityError("the engine commits a block that was not executed", remedy=_REPAIR)
        result, state = pending.result, self.state
        kept = without_refused(result)
        sealed = self._seal(kept)
        if pending.misbehaviour:
            self._oversight.misbehaved(pending.misbehaviour, result.block.height, result.block.time)
        bundles = [bundle for bundle in pending.bundles if bundle.transactions] if kept is result else ()
        self._sink.commit_block(kept, sealed.header, sealed.signatures, bundles=bundles)
        self._pending = None
        result.commit_to(state)
        if any(collection == PARAMETERS.name for collection, _, _ in result.writes):
            self._parameters = self._read_parameters()
        self._checker.forget(result.block.transactions)
        self._admission.block_committed(
            [done.transaction.id for done in result.results if done.transaction is not None]
        )
        self._carried.block_committed(self._admission.identifiers())
        self._snapshots.block_committed(state)
        if self._on_block is not None:
            self._on_block(Committed(kept, sealed, result.results))
        return abci.ResponseCommit(retain_height=self._oversight.retain(state.height, state.time))

    # --- asking ------------------------------------------------------------------------------------------------------

    async def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        """Answer `/records/COLLECTION/KEY` and `/history/SIZE`, as of the last block on disk; proofs are the node's.

        The engine itself asks `/p2p/filter/id/NODE` and `/p2p/filter/addr/ADDRESS` of whoever connects to it: those whom
        the zone does not know do not get its blocks.
        """
        _, _, rest = request.path.partition("/")
        kind, _, name = rest.partition("/")
        if kind == "p2p":
            return self._filter(name)
        collection, _, key = name.partition("/")
        value: bytes | None = None
        if kind == "records" and collection in self._rulebook.collections:
            value = self.state.reader.read(collection, key)
        elif kind == "history" and name.isascii() and name.isdigit() and len(name) < 16:
            value = self._sink.history_root(int(name))
        if value is None:
            return abci.ResponseQuery(code=1, codespace="node", log="there is no such thing", height=self.state.height)
        return abci.ResponseQuery(key=name.encode(), value=value, height=self.state.height)

    def _filter(self, name: str) -> abci.ResponseQuery:
        _, _, asked = name.partition("/")
        what, _, identity = asked.partition("/")
        if self._knows_engine is None or what != "id" or self._knows_engine(identity):
            return abci.ResponseQuery()
        log.warning("unknown_engine_refused", node=identity[:80])
        return abci.ResponseQuery(code=1, codespace=NODE_CODESPACE, log="no member has announced this engine")

    # --- snapshots ---------------------------------------------------------------------------------------------------

    async def list_snapshots(self, request: abci.RequestListSnapshots) -> abci.ResponseListSnapshots:
        """Tell which snapshots this node has."""
        del request
        others = [] if self._beginnings is None else self._beginnings.offers()
        return abci.ResponseListSnapshots(snapshots=[*self._snapshots.offers(), *others])

    async def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        """Give one chunk; nothing where there is none."""
        if request.format == middle.FORMAT and self._beginnings is not None:
            return abci.ResponseLoadSnapshotChunk(chunk=self._beginnings.chunk(request.height) or b"")
        return abci.ResponseLoadSnapshotChunk(
            chunk=self._snapshots.chunk(request.height, request.format, request.chunk) or b""
        )

    async def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        """Begin to restore a snapshot if this ledger has no block yet and its description is a good one.

        Where it has blocks, and the engine is behind them, the engine may begin in the middle (`beginnings`).
        """
        answer = abci.ResponseOfferSnapshot
        if self.state.height:
            if self._beginnings is None:
                return answer(result=answer.ABORT)
            if request.snapshot.format != middle.FORMAT:
                return answer(result=answer.REJECT_FORMAT)
            taken = self._beginnings.offered(request.snapshot, request.app_hash, self.state.height)
            return answer(result=taken)
        return abci.ResponseOfferSnapshot(result=self._snapshots.offered(request.snapshot, request.app_hash))

    async def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        """Take one chunk; with the last, recompute the app hash and, if it is right, go on from there."""
        if self.state.height and self._beginnings is not None:
            return self._beginnings.apply(request.chunk, request.sender)
        answer, restored = self._snapshots.apply(request.index, request.chunk, request.sender)
        if restored is not None:
            self.state = restored
            self._parameters = self._read_parameters()
            self._admission = self._admission_of(restored)
            self._carried.clear()
            log.info("snapshot_restored", height=restored.height, size=restored.frontier.size)
        return answer
