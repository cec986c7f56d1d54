"""What the engine keeps of a bundle's execution: that it was one, or not.

Code and data are hashed into the engine's next header (`last_results_hash`), so they hold nothing that could differ
between machines, nor anything that a copy of the history could not tell again: a newcomer's engine fetches old blocks,
and is answered from its ledger (`replay`). What became of each transaction is in the history, which the app hash covers.
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.errors import RejectedError
from tallystick.ordering.cometbft.generated import abci_pb2 as abci

CODESPACE = "tallystick"
NODE_CODESPACE = "node"
REFUSED = 1
BUSY = 1
GONE = 2


def encode_result(transactions: Sequence[bytes]) -> abci.ExecTxResult:
    """Return what the engine keeps of a bundle.

    Args:
        transactions: what was in it; nothing where it was none.
    """
    return abci.ExecTxResult() if transactions else abci.ExecTxResult(code=REFUSED, codespace=CODESPACE)


def refusal(error: RejectedError) -> abci.ResponseCheckTx:
    """Return the answer to a transaction that the rules refuse."""
    return abci.ResponseCheckTx(code=error.code, codespace=CODESPACE, log=error.message, info=error.name)


def busy(organisation: str) -> abci.ResponseCheckTx:
    """Return the answer to a transaction beyond its organisation's share of this node's mempool."""
    log = f"{organisation} has its share of this node's queue waiting; send it again in a second, with fewer in flight"
    return abci.ResponseCheckTx(code=BUSY, codespace=NODE_CODESPACE, log=log, info="busy")


def gone() -> abci.ResponseCheckTx:
    """Return the answer to a bundle of which nothing waits any more."""
    return abci.ResponseCheckTx(code=GONE, codespace=NODE_CODESPACE, log="all of it was decided", info="gone")
