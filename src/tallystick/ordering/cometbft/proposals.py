"""What goes into a block, and which blocks of others are voted for. Pure; one set of rules for both.

Rules:

- A proposal is judged by its bytes and by the zone's committed parameters alone: signatures, forms, caps. What depends
  on the rest of the state (expired, repeated, a revoked key) is left to execution, where it leaves a numbered refusal.
  So every honest validator votes alike, and what was admitted once may always be proposed.
- What was admitted is included sooner or later, also what has expired meanwhile: who waits for it learns from a block
  what became of it.
- Where not everything fits, organisations take turns by cost (`ordering.fairness`): a backlog of one does not keep
  another's transactions out of the block. The oldest of all is always in, so that nothing waits for ever.
- Order is kept within an organisation: when one of its transactions has to wait, so do those behind it.
- Organisations are counted as transactions name them: a proposal is judged without the state, which alone knows whose key
  it is. Admission has compared the two.
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.codec import MalformedError
from tallystick.codec.bundles import CLOSED_AT_BYTES, STREAM_BYTES, bundled_bytes
from tallystick.machine import Parameters, Transaction
from tallystick.ordering.cometbft.checking import Checked
from tallystick.ordering.fairness import BlockRoom, FairQueue, cost

# A bundle's protobuf frame: a tag, and a length of five bytes at most.
_FRAME_BYTES = 6


def may_ever_fit(transaction: Transaction, parameters: Parameters) -> bool:
    """Tell whether any block of this zone may hold a transaction."""
    return (
        len(transaction.raw) <= parameters.max_transaction_bytes
        and len(transaction.operations) <= parameters.max_operations
        and len(transaction.operations) <= parameters.block_operations_per_organisation
    )


def room_in_block(max_bytes: int) -> int:
    """Return how much the transactions of a block may take of its first bundle; `choose` counts what further ones take.

    The engine counts the bundle with its protobuf frame, a tag and a length; the stream has a head and an end.
    """
    return max_bytes - 1 - max(1, (max_bytes.bit_length() + 6) // 7) - STREAM_BYTES


def choose(candidates: Sequence[Transaction], parameters: Parameters, max_bytes: int) -> list[bytes]:
    """Return the transactions of a new block, in the order in which they came.

    Args:
        candidates: what waits, oldest first, with good signatures.
        parameters: of the zone, as of the last block.
        max_bytes: `room_in_block`.
    """
    waiting: FairQueue[tuple[int, Transaction]] = FairQueue()
    for position, transaction in enumerate(candidates):
        if may_ever_fit(transaction, parameters):
            waiting.put(transaction.payload.organisation, (position, transaction), cost(transaction))
    room = BlockRoom(parameters)
    left, size = max_bytes, 0

    def fits(found: tuple[int, Transaction]) -> bool:
        nonlocal left, size
        transaction = found[1]
        longer = size + len(transaction.raw)
        # However they are cut (`cut_bundles`), there are no more bundles than these.
        further = longer // CLOSED_AT_BYTES * (STREAM_BYTES + _FRAME_BYTES)
        taken = bundled_bytes(transaction.raw)
        if taken + further > left or not room.take(transaction.payload.organisation, len(transaction.operations)):
            return False
        left, size = left - taken, longer
        return True

    return [transaction.raw for _, transaction in sorted(waiting.take(fits), key=lambda found: found[0])]


def find_fault(checked: Sequence[Checked], parameters: Parameters) -> str | None:
    """Return why a proposal is not voted for, in words for the log, or None where nothing is wrong with it."""
    room = BlockRoom(parameters)
    seen: set[bytes] = set()
    for position, item in enumerate(checked):
        transaction = item.decoded
        if isinstance(transaction, MalformedError):
            return f"transaction {position} is malformed: {transaction.reason}"
        if transaction.raw in seen:
            # Of two, a copy of the history alone could not tell which one was refused (`replay`).
            return f"transaction {position} is there twice"
        seen.add(transaction.raw)
        if not item.signed:
            return f"transaction {position} has a bad signature"
        if not may_ever_fit(transaction, parameters):
            return f"transaction {position} is larger than the zone allows"
        if not room.take(transaction.payload.organisation, len(transaction.operations)):
            return f"transaction {position} is beyond a block's caps"
    return None
