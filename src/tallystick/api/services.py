"""What the API stands on: the ledger's door, the office, and a few ways to the core, given by the node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tallystick.errors import NodeError, RejectedError
from tallystick.ledger import Ledger
from tallystick.ledger.ports import SubmittedRow
from tallystick.views import ConsistencyProof, CoreStatus, DiskUse, Measured, ProcessHealth, Standing

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
        measured: asks the core what it has measured; None where there is no core to ask.
        disk: looks at what the node's home takes of its disk; None where there is no home.
        processes: how the node's processes do, by name.
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
    measured: Callable[[], Awaitable[Measured]] | None = None
    disk: Callable[[], Awaitable[DiskUse]] | None = None
    processes: Callable[[], Mapping[str, ProcessHealth]] = dict
    version: str = ""
