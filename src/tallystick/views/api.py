"""What the HTTP API itself answers: refusals, jobs, results of transactions, the history."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from tallystick.views.health import DiskUse, EngineHealth, Misconduct, ProcessHealth


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was refused by this node.

    Attributes:
        error: stable name.
        message: what was wrong, one sentence.
        remedy: what to do about it.
        path: where in the request the first wrong value is, as in `$.title`.
        retry_after_s: seconds after which it may be asked again, where that is known.
    """

    error: str
    message: str
    remedy: str
    path: str = ""
    retry_after_s: int = 0


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Why the rules of the zone refuse an operation; the same on every honest node.

    Attributes:
        code: stable number.
        name: its stable name.
        message: one sentence.
        fields: values that explain it.
    """

    code: int
    name: str
    message: str
    fields: dict[str, str | int]


class CoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How this node does.

    Attributes:
        organisation: whose node this is.
        role: orderer or replica.
        height: of the last block that its core has executed.
        time: of that block, ms.
        size: operations on the history.
        root: of the history, hex.
        witnessed: size of the history that as many members have witnessed as the zone needs.
        sealed: last block that enough of those who order have signed.
        trust_version: newest version of the trust file.
        trust_pending: versions that are not signed by enough members yet.
        waiting: transactions that wait to be ordered.
        queues: how many of each organisation wait in this node's own queue.
        held: whether it is restored from a backup and not ordering yet.
        alarm: why it does not trust the orderer any more, or null.
        suspicion: what a fork proof says that convicts nobody alone who orders, or too few of them; or who signs another
            header than this copy has; or null.
        engine: how the distributed engine does; null where this node has none.
        misbehaviour: what validators were found guilty of, oldest first.
    """

    organisation: str
    role: str
    height: int
    time: int
    size: int
    root: str
    witnessed: int
    trust_version: int
    trust_pending: int = 0
    sealed: int = 0
    waiting: int = 0
    queues: dict[str, int] = {}
    held: bool = False
    alarm: str | None = None
    suspicion: str | None = None
    engine: EngineHealth | None = None
    misbehaviour: tuple[Misconduct, ...] = ()


class Status(CoreStatus, frozen=True, kw_only=True):
    """How this node does, as its core and its office see it.

    Attributes:
        chain: zone.
        copy_height: last block that the office reads; behind `height` for a moment only.
        lag: blocks that the zone is known to be ahead.
        version: of this program.
        key: id of the API key that asked.
        roles: of that key.
        disk: what its home takes; null where that is not looked at.
        processes: core, engine and office, as their supervisor sees them.
    """

    chain: str
    copy_height: int
    lag: int
    version: str
    key: str
    roles: tuple[str, ...]
    disk: DiskUse | None = None
    processes: dict[str, ProcessHealth] = {}


class HeardNode(msgspec.Struct, frozen=True, kw_only=True):
    """What another member's node said last.

    Attributes:
        organisation: whose node.
        height: its last block.
        size: of its history.
        witnessed: largest size of the history that it has cosigned, as far as this node knows.
        forks: fork proofs that it keeps.
        trouble: why it could not be reached at the last try, or empty.
    """

    organisation: str
    height: int = 0
    size: int = 0
    witnessed: int = 0
    forks: int = 0
    trouble: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How this node stands among the others.

    Attributes:
        port: that others connect to; 0 where none can.
        following: address of the node that blocks come from; empty where this node orders.
        trouble: why no blocks come, or empty.
        application: `waiting` or `refused` while this organisation is not a member yet, else empty.
        needed: how many other members must witness a receipt.
        nodes: the other members' nodes.
        certificate_expires: when this node's TLS certificate ends, ms; it renews itself.
        beginning: what an empty copy does to begin from a snapshot, or empty.
        begun: block that this copy began from, where it does not hold the blocks before it yet; else 0.
        older: of those, the last that has been fetched and executed.
        older_trouble: why no more of them come, or empty.
    """

    port: int
    following: str
    trouble: str
    application: str
    needed: int
    nodes: tuple[HeardNode, ...]
    certificate_expires: int = 0
    beginning: str = ""
    begun: int = 0
    older: int = 0
    older_trouble: str = ""


class ConsistencyProof(msgspec.Struct, frozen=True, kw_only=True):
    """That the history of `second` operations begins with the one of `first` (RFC 9162, hashes in hex)."""

    first: int
    first_root: str
    second: int
    second_root: str
    path: tuple[str, ...]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work.

    Attributes:
        id: to ask about it.
        what: what it does, such as `fetch hospital/discharges-2024`.
        state: running, done or failed.
        done: bytes so far, where it counts them.
        total: bytes in all, where it counts them.
        result: what came of it, once done.
        problem: why it failed, as the request itself would have been refused.
        status: the HTTP status that goes with `problem`, else 0.
    """

    id: str
    what: str
    state: Literal["running", "done", "failed"]
    done: int = 0
    total: int = 0
    result: Any = None
    problem: dict[str, Any] | None = None
    status: int = 0


class OutcomeView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one operation; code 0 is accepted."""

    code: int
    name: str = ""
    message: str = ""
    fields: dict[str, str | int] = {}


class SubmittedView(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a transaction that is on the ledger.

    Attributes:
        id: of the transaction, hex.
        height: of its block.
        first_leaf: place of its first operation in the history.
        outcomes: one for each operation.
    """

    id: str
    height: int
    first_leaf: int
    outcomes: tuple[OutcomeView, ...]


class RefusedView(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction of a list that is not on the ledger, and the status that it would have got alone."""

    status: int
    refused: dict[str, Any]


class OperationView(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of the history.

    Attributes:
        leaf: place in the history.
        height: of its block.
        time: of its block, ms.
        organisation: who asked for it.
        type: what it is.
        outcome: 0, or the number of its rejection.
        transaction: id, hex.
        index: in the transaction.
        operation: what was asked for, where one operation was asked about.
    """

    leaf: int
    height: int
    time: int
    organisation: str
    type: str
    outcome: int
    transaction: str
    index: int
    operation: dict[str, Any] | None = None


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event.

    Attributes:
        sequence: its number; ask for what comes after it.
        leaf: place in the history of the operation that caused it, of which a receipt can be had.
        event: what happened, its `type` in the past tense.
    """

    sequence: int
    leaf: int
    event: dict[str, Any]


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Events, oldest first, and what to give as `after` next."""

    events: tuple[EventView, ...]
    next: int


class DeliveredFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a delivery: its path in it with `/` between, and its bytes."""

    path: str
    size: int


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What arrived, and what is needed to check it.

    Attributes:
        delivery: id.
        dataset: its name.
        version: of the dataset.
        kind: file or folder.
        name: as it was offered, which the fingerprint covers.
        path: where it is on the node's machine.
        files: what is in it, sorted.
        fingerprint: root on the ledger, hex.
        salt: of the fingerprint, hex: whoever has it can compute the fingerprint from the data.
    """

    delivery: str
    dataset: str
    version: int
    kind: str
    name: str
    path: str
    files: tuple[DeliveredFile, ...]
    fingerprint: str
    salt: str
