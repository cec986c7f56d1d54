"""How a node's parts do: its engine, its processes, its disk, and what was measured."""

from __future__ import annotations

import msgspec


class EngineHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the distributed engine beside a validator's core does.

    Attributes:
        answers: whether it answers at all.
        height: last block that it knows.
        first: first block that it still has; others can catch up by its blocks from there on.
        catching_up: whether it is still fetching blocks.
        peers: organisations whose engines are connected, as they call themselves.
        validators: how many order.
        reachable: how many of these are connected, this one included.
        needed: how many must be, for a block to be made.
        mempool: bundles of transactions in its mempool.
        mempool_bytes: of how many bytes.
        trouble: why no block can be made, or is, in plain words; empty where all is well.
    """

    answers: bool = False
    height: int = 0
    first: int = 0
    catching_up: bool = False
    peers: tuple[str, ...] = ()
    validators: int = 0
    reachable: int = 0
    needed: int = 0
    mempool: int = 0
    mempool_bytes: int = 0
    trouble: str = ""


class Misconduct(msgspec.Struct, frozen=True, kw_only=True):
    """What the engines have agreed that a validator is guilty of; kept by this node for good.

    Attributes:
        kind: `duplicate_vote` or `light_client_attack`.
        organisation: whose validator it is; empty where that is not known.
        validator: address of its consensus key, hex.
        height: block in which it happened.
        found_at: block that says so.
        time: of that block, ms.
    """

    kind: str
    organisation: str
    validator: str
    height: int
    found_at: int
    time: int


class ProcessHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One process of a node.

    Attributes:
        started_at: when the one that runs now was started, ms.
        restarts: how often it was started again since the node began.
        last_exit: code of the last one that ended; below 0 the signal that ended it, null where none has ended.
        ended_at: when, ms; 0 where none has.
    """

    started_at: int = 0
    restarts: int = 0
    last_exit: int | None = None
    ended_at: int = 0


class DiskUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a node's home takes of its disk, bytes.

    Attributes:
        ledger: the shared record, its journal included.
        log: tiles of the history.
        engine: blocks of the distributed engine.
        office: this organisation's own records.
        data: what was received, and fingerprints of what is offered.
        free: what is left on the disk.
        growth_a_day: how much all of it grows a day; null while that is not known yet.
    """

    ledger: int
    log: int
    engine: int
    office: int
    data: int
    free: int
    growth_a_day: int | None = None

    @property
    def used(self) -> int:
        """All of it."""
        return self.ledger + self.log + self.engine + self.office + self.data


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """How often values up to a bound were measured.

    Attributes:
        bounds: upper bounds, ascending; the last count is of what is above all of them.
        counts: of values within each bound and above the one before; one more than bounds.
        total: sum of all values.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


class Failures(msgspec.Struct, frozen=True, kw_only=True):
    """How often something that came from others was refused.

    Attributes:
        what: `transaction`, `proposal`, `block`, `header_signature`.
        reason: name of what was wrong.
        count: how often.
    """

    what: str
    reason: str
    count: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a core has measured since it started, by name of the metric."""

    distributions: dict[str, Distribution] = {}
    failures: tuple[Failures, ...] = ()
