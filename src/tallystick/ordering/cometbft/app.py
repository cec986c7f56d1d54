"""The ledger as the engine sees it: the ABCI 2.0 application.

Order of steps of a block, and what a crash between them leaves:

1. FinalizeBlock executes against the last block on disk, in memory; most often that was done already, while the votes
   travelled (`executing`). A crash leaves that block as the last; the engine sends the same block again.
2. Commit writes block, records and height in one SQL transaction, synced. A crash during it leaves the block before, or
   this one; `info` tells which, and the engine goes on from there.
3. Listeners are told. What they do can be made up for from the disk.

Rules:

- Execution looks at nothing but the state and the block: not at the clock, the network or this node's settings.
- Whatever is in a block, each transaction of the engine's, which is a bundle of the ledger's (`bundles`), has exactly one
  result; content never raises. What does not fit at all (a height out of turn, another chain) does, and the engine stops:
  going on would fork.
- A block's refused transactions are in the engine's own store; the ledger keeps those that reached the history. What is
  refused leaves nothing behind, so the block without it has the very same result.
- The app hash of an empty block is that of the block before, so that an idle chain comes to rest.
- An engine that is behind the ledger is answered from the ledger until it has caught up (`replay`).

Blocks are finalized and committed here. What else the engine asks has a module each: `handshake`, `pool`, `voting`,
`executing`, `queries`, `state_sync`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from tallystick.errors import IntegrityError
from tallystick.machine import BlockResult, LedgerState, Rulebook, Transaction
from tallystick.ordering.cometbft.admission import Admission
from tallystick.ordering.cometbft.beginnings import Beginnings
from tallystick.ordering.cometbft.blocks import (
    Committed,
    Executed,
    Sealed,
    milliseconds,
    misbehaviour_in,
    without_refused,
)
from tallystick.ordering.cometbft.executing import Executor
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.handshake import Handshake, app_hash_after
from tallystick.ordering.cometbft.oversight import Oversight
from tallystick.ordering.cometbft.pool import Pool
from tallystick.ordering.cometbft.queries import Queries
from tallystick.ordering.cometbft.replay import EngineHeight, History, KeptBlock
from tallystick.ordering.cometbft.results import encode_result
from tallystick.ordering.cometbft.snapshots import SnapshotExchange
from tallystick.ordering.cometbft.state_sync import StateSync
from tallystick.ordering.cometbft.validators import ValidatorSource, changes
from tallystick.ordering.cometbft.voting import Voting
from tallystick.ordering.fairness import Share
from tallystick.ordering.solo import BlockSink
from tallystick.ordering.verifier import SignatureVerifier

log = structlog.get_logger("engine")
_REPAIR = "Stop the node and type `tally ledger check`; then restore a backup, or join anew from another member's copy."


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
        self._seal = seal
        self._on_block = on_block
        self._on_engine = on_engine
        self._validators = validators
        self._oversight = oversight or Oversight()
        self._meter = self._oversight.meter
        self._handshake = Handshake(initial_height, validators=validators, history=history, engine=engine)
        admission_of = partial(Admission, roots=sink, rulebook=rulebook, clock_ms=clock_ms, share=share)
        self._pool = Pool(state, verifier, admission_of, self._meter)
        self._voting = Voting(self._pool, self._find_kept)
        self._executor = Executor(rulebook, self._meter)
        self._queries = Queries(sink, rulebook, knows_engine)
        self._state_sync = StateSync(snapshots, beginnings)
        self._pending: Executed | None = None

    @property
    def app_hash(self) -> bytes:
        """After the last block on disk."""
        return app_hash_after(self.state)

    @property
    def reached(self) -> int:
        """Height of the last block that the engine has brought."""
        return self._handshake.reached(self.state)

    def _find_kept(self, height: int) -> KeptBlock | None:
        return self._handshake.find_kept(self.state, height)

    # --- beginning (`handshake`) -------------------------------------------------------------------------------------

    async def info(self, request: abci.RequestInfo) -> abci.ResponseInfo:
        """Tell the height and app hash that are on disk; height 0 before this engine's first block."""
        del request
        if self._on_engine is not None:
            self._on_engine()
        self._pool.engine_began()
        return self._handshake.info(self.state)

    async def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """Compare the engine's genesis with the ledger's; answer with the app hash that the chain begins with.

        Raises:
            IntegrityError: they do not belong together.
        """
        return self._handshake.init_chain(self.state, request)

    # --- admitting (`pool`, `admission`) -----------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Transactions admitted here and in no block yet."""
        return self._pool.admission.waiting

    async def check_transactions(self, requests: Sequence[abci.RequestCheckTx]) -> list[abci.ResponseCheckTx]:
        """Let bundles into the mempool: those that bring something which a block would take now."""
        return await self._pool.check_transactions(requests)

    async def check_signatures(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Check signatures of what somebody hands in here; nothing else checks the good ones again."""
        return await self._pool.check_signatures(transactions)

    def judge(self, transaction: Transaction) -> None:
        """Check all but the signature of a transaction that somebody hands in here.

        Raises:
            RejectedError: a block would refuse it now.
        """
        self._pool.admission.judge(transaction, self._pool.parameters)

    def waits(self, transaction: Transaction) -> bool:
        """Tell whether a transaction waits for a block already, whoever brought it.

        Raises:
            RejectedError: another form of it does, with another signature.
        """
        return self._pool.admission.waits(transaction)

    def admit(self, transaction: Transaction) -> bool:
        """Let a transaction with a good signature wait for a block; False where its organisation has its share waiting.

        Raises:
            RejectedError: another form of it waits already, with another signature.
        """
        return self._pool.admission.admit(transaction)

    def carry(self, transactions: Sequence[Transaction]) -> bytes:
        """Return the bundle in which transactions that wait here travel to the other validators."""
        return self._pool.carry(transactions)

    def drop(self, transactions: Sequence[Transaction]) -> None:
        """Let transactions wait no more, since the engine does not take them."""
        self._pool.admission.drop([transaction.id for transaction in transactions])

    # --- proposing and voting (`voting`, `proposals`) ----------------------------------------------------------------

    async def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """Choose the transactions of a block."""
        return abci.ResponsePrepareProposal(txs=self._voting.propose(request.height, request.max_tx_bytes))

    async def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        """Vote for another's block, or not."""
        fault = await self._voting.find_fault(request.height, request.txs)
        if fault is None:
            if self._voting.opened is not None:
                self._executor.expect(self.state, request.height, milliseconds(request.time), self._voting.opened)
            return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.ACCEPT)
        self._meter.refused("proposal", "against_the_rules")
        log.warning("proposal_refused", height=request.height, proposer=request.proposer_address.hex(), reason=fault)
        return abci.ResponseProcessProposal(status=abci.ResponseProcessProposal.REJECT)

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
        kept = self._find_kept(request.height)
        if kept is not None:
            return self._handshake.finalize_again(state, request, kept)
        time = milliseconds(request.time)
        if request.height != state.height + 1 or time < state.time:
            raise IntegrityError(
                f"the engine decided block {request.height}, which does not follow this ledger's block {state.height}",
                remedy=_REPAIR,
            )
        self._pending = None
        opened = await self._voting.open_decided(request.txs)
        result = self._executor.execute(state, request.height, time, opened)
        self._pending = Executed(result, opened.bundles, misbehaviour_in(request.misbehavior))
        return abci.ResponseFinalizeBlock(
            tx_results=[encode_result(bundle.transactions) for bundle in opened.bundles],
            validator_updates=changes(self._validators, state.reader, result),
            app_hash=result.app_hash,
        )

    async def commit(self, request: abci.RequestCommit) -> abci.ResponseCommit:
        """Put the executed block on disk.

        Raises:
            IntegrityError: none was executed.
            StorageError: the disk refuses; nothing was written.
        """
        del request
        if self._handshake.commit_again(self.state):
            return abci.ResponseCommit()
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
        self._pool.block_committed(state, result)
        self._state_sync.block_committed(state)
        if self._on_block is not None:
            self._on_block(Committed(kept, sealed, result.results))
        return abci.ResponseCommit(retain_height=self._oversight.retain(state.height, state.time))

    # --- asking (`queries`) ------------------------------------------------------------------------------------------

    async def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        """Answer a question about what is on disk, or whether another engine may connect."""
        return self._queries.answer(self.state, request.path)

    # --- snapshots (`state_sync`) ------------------------------------------------------------------------------------

    async def list_snapshots(self, request: abci.RequestListSnapshots) -> abci.ResponseListSnapshots:
        """Tell which snapshots this node has."""
        del request
        return abci.ResponseListSnapshots(snapshots=self._state_sync.offers())

    async def load_snapshot_chunk(self, request: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        """Give one chunk; nothing where there is none."""
        return abci.ResponseLoadSnapshotChunk(chunk=self._state_sync.chunk(request))

    async def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        """Begin to take a snapshot that somebody has, or not."""
        return abci.ResponseOfferSnapshot(result=self._state_sync.offered(self.state.height, request))

    async def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        """Take one chunk; with the last, recompute the app hash and, if it is right, go on from there."""
        answer, restored = self._state_sync.apply(self.state.height, request)
        if restored is not None:
            self.state = restored
            self._pool.snapshot_restored(restored)
            log.info("snapshot_restored", height=restored.height, size=restored.frontier.size)
        return answer
