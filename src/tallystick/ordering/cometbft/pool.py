"""The pool as the engine's mempool meets it: bundles come in, and stay there as long as something of them waits.

Rules:

- A bundle is let in for any transaction in it that a block would take now, or soon, and that does not wait yet
  (`admission`). Each of them is judged by itself; signatures come last, all of a batch together.
- A few bytes may become many transactions. What no node makes that keeps to the rules, a long bundle or one with
  something malformed in it, is refused as a whole, at the first sign of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tallystick.codec import MalformedError
from tallystick.codec.bundles import decode_bundle, encode_bundle
from tallystick.errors import RejectedError
from tallystick.machine import BlockResult, LedgerState, Parameters, Transaction
from tallystick.machine.parameters import PARAMETERS, PARAMETERS_KEY
from tallystick.machine.rejections import BAD_SIGNATURE, MALFORMED, REPEATED
from tallystick.ordering.cometbft.admission import Admission
from tallystick.ordering.cometbft.bundles import BUNDLE_TRANSACTIONS, Carried
from tallystick.ordering.cometbft.checking import Checked, TransactionChecker
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.results import busy, gone, refusal
from tallystick.ordering.meter import Meter
from tallystick.ordering.verifier import SignatureVerifier


class _Arrived(NamedTuple):
    """A transaction that may be let in if its signature is good, and which request's bundle brought it."""

    position: int
    transaction: Transaction


class Pool:
    """What waits at this node for a block, and the bundles that the engine's mempool keeps for it.

    Attributes:
        admission: judges, and holds what waits.
        checker: decodes, and checks signatures.
        parameters: of the zone, as of the last block.
    """

    def __init__(
        self,
        state: LedgerState,
        verifier: SignatureVerifier,
        admission_of: Callable[[LedgerState], Admission],
        meter: Meter,
    ) -> None:
        """Prepare an empty pool.

        Args:
            state: after the last block on disk.
            verifier: checks signatures of transactions.
            admission_of: makes an empty admission over a state.
            meter: counts what is refused.
        """
        self.admission = admission_of(state)
        self.checker = TransactionChecker(state.genesis_hash, verifier)
        self.parameters = _read_parameters(state)
        self._admission_of = admission_of
        self._meter = meter
        self._carried = Carried()

    # --- bundles that come -------------------------------------------------------------------------------------------

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
        checked = await self.checker.check_decoded([each.transaction for each in arrived])
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
        """Judge what a bundle brings, all but signatures; return the answer in case that nothing more comes of it."""
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
            if self.admission.has_room(transaction) and self._may_look(transaction):
                arrived.append(_Arrived(position, transaction))
            else:
                answer = busy(transaction.payload.organisation)
        return answer

    def _decode(self, raw: bytes) -> Transaction:
        """Return a transaction.

        Raises:
            MalformedError: it is none.
        """
        decoded = self.checker.decode(raw)
        if isinstance(decoded, MalformedError):
            raise decoded
        return decoded

    def _judge(self, transaction: Transaction) -> None:
        """Check whether a block would take a transaction now, or soon, if its signature is good.

        Raises:
            RejectedError: a block would not, or it waits already.
        """
        if self.admission.waits(transaction):
            raise REPEATED()
        self.admission.judge(transaction, self.parameters, may_be_ahead=True)

    def _may_look(self, transaction: Transaction) -> bool:
        """Tell whether a signature may be checked now; what is known to be good need not be."""
        return self.checker.knows(transaction.raw) or self.admission.may_look()

    def _let_in(self, transaction: Transaction, item: Checked) -> abci.ResponseCheckTx | None:
        """Let a transaction wait from now on, which did not before; else return why not."""
        bad = item.refused()
        if bad is not None:
            self.admission.was_bad()
            self._meter.refused("transaction", bad.name)
            return refusal(bad)
        try:
            if self.admission.waits(transaction):
                return refusal(REPEATED())
            return None if self.admission.admit(transaction) else busy(transaction.payload.organisation)
        except RejectedError as error:
            return refusal(error)

    # --- what is handed in here --------------------------------------------------------------------------------------

    async def check_signatures(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Check signatures of what somebody hands in here; nothing else checks the good ones again."""
        signed = [item.signed for item in await self.checker.check_decoded(transactions)]
        for _ in range(signed.count(False)):
            self._meter.refused("transaction", BAD_SIGNATURE.name)
        return signed

    def carry(self, transactions: Sequence[Transaction]) -> bytes:
        """Return the bundle in which transactions that wait here travel to the other validators."""
        bundle = encode_bundle(transaction.raw for transaction in transactions)
        self._carried.add(bundle, [transaction.id for transaction in transactions])
        return bundle

    # --- what goes on ------------------------------------------------------------------------------------------------

    def engine_began(self) -> None:
        """Let nothing wait: the mempool of an engine that begins is empty."""
        self.admission.engine_began()
        self._carried.clear()

    def block_committed(self, state: LedgerState, result: BlockResult) -> None:
        """Go on from the next block.

        Args:
            state: after it.
            result: of all its transactions, refused ones included.
        """
        if PARAMETERS.name in result.written:
            self.parameters = _read_parameters(state)
        self.checker.forget(result.block.transactions)
        self.admission.block_committed([done.transaction.id for done in result.results if done.transaction is not None])
        self._carried.block_committed(self.admission.identifiers())

    def snapshot_restored(self, state: LedgerState) -> None:
        """Go on, empty, from a state that was restored."""
        self.parameters = _read_parameters(state)
        self.admission = self._admission_of(state)
        self._carried.clear()


def _read_parameters(state: LedgerState) -> Parameters:
    value = state.reader.read(PARAMETERS.name, PARAMETERS_KEY)
    return Parameters() if value is None else PARAMETERS.decode(value)
