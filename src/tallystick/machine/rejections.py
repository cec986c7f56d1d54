"""Numbered refusals. A number, once published, keeps its meaning for ever."""

from __future__ import annotations

from dataclasses import dataclass

from tallystick.errors import RejectedError


@dataclass(frozen=True, slots=True)
class Rejection:
    """One way to be refused; call it to make the error that is raised.

    Attributes:
        code: stable number.
        name: stable snake_case name.
        message: one sentence; `{field}` is filled from the typed fields.
    """

    code: int
    name: str
    message: str

    def __call__(self, **fields: str | int) -> RejectedError:
        """Return the error with its fields filled in."""
        return RejectedError(self.code, self.name, self.message.format(**fields), **fields)


# 1 to 9: the transaction leaves nothing on the history.
MALFORMED = Rejection(1, "malformed", "the transaction is not in its one canonical form: {reason}")
BAD_SIGNATURE = Rejection(2, "bad_signature", "the signature does not match the key, the content and this zone")
EXPIRED = Rejection(3, "expired", "the transaction expired before this block")
REPEATED = Rejection(4, "repeated", "the transaction was already accepted")
EXPIRES_TOO_LATE = Rejection(5, "expires_too_late", "the transaction expires more than {limit_ms} ms ahead")
UNKNOWN_KEY = Rejection(6, "unknown_key", "the key is not one that {organisation} holds in this zone at this height")
ORGANISATION_SUSPENDED = Rejection(7, "organisation_suspended", "{organisation} is suspended")
BLOCK_CAP = Rejection(8, "block_cap", "{organisation} has reached its {limit} operations of this block")
WRONG_HISTORY = Rejection(9, "wrong_history", "the author saw another history than this one at size {size}")
# From 10: the operation is recorded with this outcome.
MALFORMED_OPERATION = Rejection(10, "malformed_operation", "the operation is not in its one canonical form: {reason}")
ROLE_MISSING = Rejection(11, "role_missing", "this needs a key with the role {role}")
ABORTED = Rejection(12, "aborted", "operation {index} of the same atomic transaction was rejected")
QUOTA_EXCEEDED = Rejection(13, "quota_exceeded", "{organisation} has reached its quota of {limit} records")

MACHINE_REJECTIONS: tuple[Rejection, ...] = (
    MALFORMED,
    BAD_SIGNATURE,
    EXPIRED,
    REPEATED,
    EXPIRES_TOO_LATE,
    UNKNOWN_KEY,
    ORGANISATION_SUSPENDED,
    BLOCK_CAP,
    WRONG_HISTORY,
    MALFORMED_OPERATION,
    ROLE_MISSING,
    ABORTED,
    QUOTA_EXCEEDED,
)
