"""What the engine keeps of a transaction's execution: a code, and outcomes in a few bytes.

Code and data are hashed into the engine's next header (`last_results_hash`), so they hold nothing that could differ
between machines, nor anything that a copy of the history could not tell again: a newcomer's engine fetches old blocks,
and is answered from its ledger (`replay`). So a refused transaction has one code, whatever the reason; it is in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

import msgspec

from tallystick.codec import MalformedError, StrictDecoder, encode_json
from tallystick.errors import RejectedError
from tallystick.machine import TransactionResult
from tallystick.ordering.cometbft.generated import abci_pb2 as abci

CODESPACE = "tallystick"
NODE_CODESPACE = "node"
REFUSED = 1
BUSY = 1
MAX_RESULT_BYTES = 64 << 10


class ResultData(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data of a transaction that reached the history.

    Attributes:
        first_leaf: index in the history of its first operation.
        outcomes: (code, how many operations in a row had it).
    """

    first_leaf: int
    outcomes: tuple[tuple[int, int], ...]

    def codes(self) -> list[int]:
        """Return the outcome of each operation."""
        return [code for code, count in self.outcomes for _ in range(count)]


_decoder: StrictDecoder[ResultData] = StrictDecoder(ResultData, max_bytes=MAX_RESULT_BYTES)


def encode_result(done: TransactionResult) -> abci.ExecTxResult:
    """Return what the engine keeps of one transaction: one for each, whatever was in it."""
    if done.refused is not None:
        return refused(done.refused.name)
    return abci.ExecTxResult(data=encode_outcomes(done.first_leaf, [outcome.code for outcome in done.outcomes]))


def refused(name: str = "") -> abci.ExecTxResult:
    """Return what the engine keeps of a transaction that left nothing behind.

    Args:
        name: of the reason, where it is known; no part of any hash.
    """
    return abci.ExecTxResult(code=REFUSED, codespace=CODESPACE, log=name)


def encode_outcomes(first_leaf: int, codes: Iterable[int]) -> bytes:
    """Return the data of a transaction that reached the history."""
    runs = tuple((code, len(list(same))) for code, same in groupby(codes))
    return encode_json(ResultData(first_leaf=first_leaf, outcomes=runs))


def decode_outcomes(data: bytes) -> ResultData:
    """Read the data of a result from exactly its bytes.

    Raises:
        MalformedError: anything else.
    """
    result = _decoder.decode(data)
    if result.first_leaf < 0 or not _in_runs(result.outcomes):
        raise MalformedError("not the outcomes of a transaction")
    return result


def _in_runs(outcomes: Sequence[tuple[int, int]]) -> bool:
    codes = [code for code, _ in outcomes]
    return (
        0 < sum(count for _, count in outcomes) <= 1_000
        and all(code >= 0 and count > 0 for code, count in outcomes)
        and all(before != after for before, after in pairwise(codes))
    )


def refusal(error: RejectedError) -> abci.ResponseCheckTx:
    """Return the answer to a transaction that the rules refuse."""
    return abci.ResponseCheckTx(code=error.code, codespace=CODESPACE, log=error.message, info=error.name)


def busy(organisation: str) -> abci.ResponseCheckTx:
    """Return the answer to a transaction beyond its organisation's share of this node's mempool."""
    log = f"{organisation} has its share of this node's queue waiting; send it again in a second, with fewer in flight"
    return abci.ResponseCheckTx(code=BUSY, codespace=NODE_CODESPACE, log=log, info="busy")
