"""What the API stands on: the ledger's door, the office, and a few ways to the core, given by the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tallystick.errors import NodeError, RejectedError
from tallystick.ledger import Ledger
from tallystick.ledger.ports import SubmittedRow
from tallystick.views import ConsistencyProof, CoreStatus, Standing

if TYPE_CHECKING:
    from tallystick.office import Office

Submit = Callable[[Sequence[bytes]], Awaitable[Sequence[SubmittedRow | RejectedError | NodeError]]]


@dataclass(frozen=True)
class ApiServices:
    """What the routes call.

    Attributes:
        ledger: this node's door to the ledger.
        office: the use cases.
        submit: takes signed transactions to where they are ordered.
        status: asks the core how it does.
        standing: how this node stands among the others.
        prove: (collection, key) -> bytes of a record proof, `proofs.records`.
        consistency: (first, second) -> proof that one history begins with the other.
        next_block: waits until a block comes, or for some seconds.
        clock_ms: UTC time, ms.
        lag: blocks that the zone is known to be ahead of this copy.
        version: of this program.
    """

    ledger: Ledger
    office: Office
    submit: Submit
    status: Callable[[], Awaitable[CoreStatus]]
    standing: Callable[[], Standing]
    prove: Callable[[str, str], Awaitable[bytes]]
    consistency: Callable[[int, int], Awaitable[ConsistencyProof]]
    next_block: Callable[[float], Awaitable[None]]
    clock_ms: Callable[[], int]
    lag: Callable[[], int] = lambda: 0
    version: str = ""
