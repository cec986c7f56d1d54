"""What the client raises: what a node refused, as the same error that the node itself raised, and what it caught.

Rules:

- A node's refusal keeps its stable name (`name`), its sentence and its remedy; a rejection keeps its number.
- Text of a node is cut to printable lines before it is shown: the node is not trusted.
- What this client found out by checking is an `IntegrityError` with a `reason` that is never renamed:

    HistoryError  old_header        older than what this client has seen already
                  time_went_back    later in the history, but earlier by its time
                  not_consistent    the node cannot show that the one history begins with the other
                  forked_history    the orderer signed two histories; `proof` shows it to anybody
    ViewError     changed_view      an answer differs from the record on the ledger, in the field that is named
                  hidden_record     the node says that there is none, and the ledger has it
                  other_record      the node proves something else than what it was asked for
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from tallystick.dataplane.refusals import SHOWN_CHARACTERS, printable_line
from tallystick.errors import (
    AccessError,
    ConfigurationError,
    IntegrityError,
    NodeError,
    PeerError,
    QueueFullError,
    RejectedError,
    StorageError,
    UsageError,
)
from tallystick.views import Problem, Rejection

_MOST_RETRY_S = 3_600
_KEEP = "Keep this answer: it may be evidence. Ask another member's node for the same, and tell the zone."


class NotFoundError(UsageError):
    """There is no such thing in the node's copy of the ledger."""

    name: ClassVar[str] = "not_found"


class NotWitnessedError(PeerError):
    """An operation is recorded, but too few members have witnessed it yet."""

    name: ClassVar[str] = "not_yet_witnessed"


class HistoryError(IntegrityError):
    """A history does not go on from the one that this client has seen.

    Attributes:
        reason: see the rules of this module.
        proof: a fork proof that anyone with the trust file can check, or empty where none can be made.
    """

    def __init__(self, reason: str, message: str, proof: bytes = b"") -> None:
        remedy = "Keep the proof and give it to the other members: `error.proof`." if proof else _KEEP
        super().__init__(message, remedy=remedy)
        self.reason = reason
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.message, self.proof)


class ViewError(IntegrityError):
    """What a node says of a record is not what the ledger has.

    Attributes:
        reason: see the rules of this module.
        field: of the answer that differs, or empty.
    """

    def __init__(self, reason: str, message: str, field: str = "") -> None:
        super().__init__(message, remedy=_KEEP)
        self.reason = reason
        self.field = field

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.message, self.field)


_BY_STATUS: dict[int, type[NodeError]] = {
    400: UsageError,
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    405: UsageError,
    413: UsageError,
    415: UsageError,
    422: IntegrityError,
    429: QueueFullError,
    507: StorageError,
}
# Statuses stand for more than one family of errors where the name tells which.
_BY_NAME: dict[str, type[NodeError]] = {
    "malformed": UsageError,
    "storage": StorageError,
    "source_changed": StorageError,
    "disk_full": StorageError,
    "configuration": ConfigurationError,
    "notyetwitnessed": NotWitnessedError,
    "not_yet_witnessed": NotWitnessedError,
}


def refusal(status: int, body: bytes) -> NodeError | RejectedError:
    """Return the error that a node's refusal stands for.

    Args:
        status: of the answer.
        body: of the answer; anything, for the node is not trusted.
    """
    try:
        if status == 409:
            return _rejected(msgspec.json.decode(body, type=Rejection))
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return not_understood(f"it answered with status {status} and no reason")
    kind = _BY_NAME.get(problem.error) or _BY_STATUS.get(status, PeerError)
    message = printable_line(problem.message)
    if problem.path:
        message = f"{message} (at {printable_line(problem.path)})"
    remedy = printable_line(problem.remedy)
    if kind is QueueFullError:
        return QueueFullError(message, remedy=remedy, retry_after_s=min(max(problem.retry_after_s, 1), _MOST_RETRY_S))
    return named(kind(message, remedy=remedy), problem.error)


def job_refusal(status: int, problem: dict[str, Any] | None) -> NodeError | RejectedError:
    """Return the error that a failed job stands for."""
    return refusal(status, msgspec.json.encode(problem or {}))


def named(error: NodeError, name: str) -> NodeError:
    """Return an error that carries the stable name which the node gave it."""
    if not isinstance(getattr(error, "name", None), str):
        vars(error)["name"] = printable_line(name)
    return error


def not_understood(what: str) -> PeerError:
    """Return the error for an answer that no node of this version gives."""
    return PeerError(
        f"the node's answer cannot be understood: {what}",
        remedy="Check the address, and that node and client are of versions that fit.",
    )


def _rejected(found: Rejection) -> RejectedError:
    error = RejectedError(found.code, printable_line(found.name), printable_line(found.message))
    error.fields = {
        printable_line(name): value if isinstance(value, int) else value[:SHOWN_CHARACTERS]
        for name, value in found.fields.items()
    }
    return error
