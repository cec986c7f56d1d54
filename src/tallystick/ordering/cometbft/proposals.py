"""What goes into a block, and which blocks of others are voted for. Pure; one set of rules for both.

Rules:

- A proposal is judged by its bytes and by the zone's committed parameters alone: signatures, forms, caps. What depends
  on the rest of the state (expired, repeated, a revoked key) is left to execution, where it leaves a numbered refusal.
  So every honest validator votes alike, and what was admitted once may always be proposed.
- What was admitted is included sooner or later, also what has expired meanwhile: only a block takes a transaction out
  of the mempool, and as long as one is in there the chain does not come to rest. What no block may hold (it was never
  admitted) is left out.
- Order is kept within an organisation: when one of its transactions has to wait, so do those behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.codec import MalformedError
from tallystick.machine import Parameters, Transaction
from tallystick.ordering.cometbft.checking import Checked


class _Room:
    """What is left in a block: for all, and for each organisation."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._used: dict[str, int] = {}
        self._total = 0

    def take(self, transaction: Transaction) -> bool:
        """Count a transaction in, or return False where it does not fit.

        Organisations are counted as the transaction names them: a proposal is judged without the state, which alone
        knows whose key it is.
        """
        count = len(transaction.operations)
        organisation = transaction.payload.organisation
        used = self._used.get(organisation, 0) + count
        if used > self._parameters.block_operations_per_organisation:
            return False
        # One transaction always fits, so that none can be too large for every block.
        if self._total and self._total + count > self._parameters.block_operations:
            return False
        self._used[organisation] = used
        self._total += count
        return True


def may_ever_fit(transaction: Transaction, parameters: Parameters) -> bool:
    """Tell whether any block of this zone may hold a transaction."""
    return (
        len(transaction.raw) <= parameters.max_transaction_bytes
        and len(transaction.operations) <= parameters.max_operations
        and len(transaction.operations) <= parameters.block_operations_per_organisation
    )


def block_bytes(raw: bytes) -> int:
    """Return how much of a block's size a transaction takes, as the engine counts it: with its protobuf frame."""
    size = len(raw)
    return size + 1 + max(1, (size.bit_length() + 6) // 7)


def choose(checked: Sequence[Checked], parameters: Parameters, max_bytes: int) -> list[bytes]:
    """Return the transactions of a new block, in the order in which they came.

    Args:
        checked: what is in the mempool, oldest first.
        parameters: of the zone, as of the last block.
        max_bytes: what the engine allows.
    """
    room = _Room(parameters)
    left = max_bytes
    chosen: list[bytes] = []
    waits: set[str] = set()
    for item in checked:
        transaction = item.decoded
        if isinstance(transaction, MalformedError) or not item.signed or not may_ever_fit(transaction, parameters):
            continue
        organisation = transaction.payload.organisation
        size = block_bytes(transaction.raw)
        if organisation in waits:
            continue
        if size > left or not room.take(transaction):
            waits.add(organisation)
            continue
        left -= size
        chosen.append(transaction.raw)
    return chosen


def find_fault(checked: Sequence[Checked], parameters: Parameters) -> str | None:
    """Return why a proposal is not voted for, in words for the log, or None where nothing is wrong with it."""
    room = _Room(parameters)
    for position, item in enumerate(checked):
        transaction = item.decoded
        if isinstance(transaction, MalformedError):
            return f"transaction {position} is malformed: {transaction.reason}"
        if not item.signed:
            return f"transaction {position} has a bad signature"
        if not may_ever_fit(transaction, parameters):
            return f"transaction {position} is larger than the zone allows"
        if not room.take(transaction):
            return f"transaction {position} is beyond a block's caps"
    return None
