"""The two roots of every error that Tallystick raises on purpose.

    TallystickError
    ├── RejectedError      deterministic: the same bytes are refused everywhere, by number
    └── NodeError          operational: this machine, this file, this peer; always with a remedy
        ├── ConfigurationError
        ├── StorageError
        ├── PeerError
        │   └── QueueFullError
        ├── AccessError
        ├── IntegrityError
        └── UsageError

Rules: a `RejectedError` never carries library text, a time, a path or anything else that could differ between two
machines. A `NodeError` always says what to do next. Only these reach a user; nothing else is shown but its name.
"""

from __future__ import annotations

from typing import Any, ClassVar


class TallystickError(Exception):
    """Anything that Tallystick refuses or cannot do."""


class RejectedError(TallystickError):
    """The ledger's rules refuse something; every honest node refuses it with the same number.

    Attributes:
        code: stable number, unique over all modules (machine 1-99, organisations 1000s, catalogue 2000s,
            agreements 3000s, deliveries 4000s, evidence 5000s); never renumbered.
        name: the stable snake_case name of that number.
        fields: values that explain the refusal; strings and integers only, all taken from the input or the state.
    """

    def __init__(self, code: int, name: str, message: str, **fields: str | int) -> None:
        super().__init__(message)
        self.code = code
        self.name = name
        self.message = message
        self.fields: dict[str, str | int] = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_rejected, (self.code, self.name, self.message, self.fields)


def _rebuild_rejected(code: int, name: str, message: str, fields: dict[str, str | int]) -> RejectedError:
    return RejectedError(code, name, message, **fields)


class NodeError(TallystickError):
    """Something of this node went wrong; `remedy` tells its operator what to do.

    Attributes:
        message: what was wrong, and where (a path, an address, a setting).
        remedy: the next thing to try, as a full sentence or a command.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_node, (type(self), self.message, self.remedy)


def _rebuild_node(kind: type[NodeError], message: str, remedy: str) -> NodeError:
    return kind(message, remedy=remedy)


class ConfigurationError(NodeError):
    """A setting is missing, unknown or of the wrong form."""


class StorageError(NodeError):
    """The disk, the database or a file cannot be used as it is."""


class NotHeldError(StorageError):
    """What is asked for is older than the block that this copy began from, and has not come yet."""

    name: ClassVar[str] = "not_held"


class PeerError(NodeError):
    """Another node, or the network between, did not do its part."""


class QueueFullError(PeerError):
    """An organisation has as much waiting to be ordered as it may; nothing of what it sent now was taken.

    Attributes:
        retry_after_s: seconds after which half of what waits is likely to be gone, 1 to 30.
    """

    name: ClassVar[str] = "queue_full"

    def __init__(self, message: str, *, remedy: str, retry_after_s: int = 1) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_queue_full, (self.message, self.remedy, self.retry_after_s)


def _rebuild_queue_full(message: str, remedy: str, retry_after_s: int) -> QueueFullError:
    return QueueFullError(message, remedy=remedy, retry_after_s=retry_after_s)


class AccessError(NodeError):
    """A key, passphrase, API key or certificate is missing or not allowed to do this."""


class IntegrityError(NodeError):
    """Something that was checked is not what it claims to be: a proof, a receipt, a copy, a delivery."""


class UsageError(NodeError):
    """What was asked for does not make sense as asked."""
