"""What can go wrong between two nodes, by name.

PeerError ├── PeerUnreachableError   unreachable     nobody answered, or not in time
          ├── PeerRefusedError       (its own word)  the other node refuses, with its reason
          ├── NotOrdererError        not_orderer     the node does not order
          ├── WrongPeerError         wrong_peer      another TLS key than the registered one (data plane)
          ├── PeerBusyError          peer_busy       too much at a time (data plane)
          └── PeerAnswerError        peer_answer     an answer that the protocol does not foresee (data plane)
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from tallystick.codec import MalformedError, encode_json
from tallystick.dataplane.refusals import PeerAnswerError, PeerBusyError, printable_line, refusal_name
from tallystick.errors import AccessError, IntegrityError, NodeError, PeerError, RejectedError, StorageError, UsageError


class PeerUnreachableError(PeerError):
    """The other node does not answer; what was sent may or may not have arrived.

    Attributes:
        sent: whether the connection was made, so that the other side may have acted.
    """

    name: ClassVar[str] = "unreachable"
    sent: bool = False


class PeerRefusedError(PeerError):
    """The other node was reached and refuses.

    Attributes:
        status: of its answer.
        word: the name that it gave its refusal.
    """

    status: int = 0
    word: str = "refused"

    @property
    def name(self) -> str:
        """The other node's word for it."""
        return self.word


class NotOrdererError(PeerError):
    """Transactions were sent to a node that does not order."""

    name: ClassVar[str] = "not_orderer"


class UnregisteredError(AccessError):
    """The connection's TLS key is registered by no active member."""

    name: ClassVar[str] = "unregistered"


class TooManyError(PeerBusyError):
    """One peer, or all strangers together, ask too much at a time."""

    name: ClassVar[str] = "too_many"


_STATUS: tuple[tuple[type[NodeError], int], ...] = (
    (NotOrdererError, 421),
    (TooManyError, 429),
    (AccessError, 403),
    (UsageError, 404),
    (IntegrityError, 409),
    (StorageError, 503),
    (PeerError, 503),
)


def status_of(error: NodeError | RejectedError) -> int:
    """Return the HTTP status of an error that a node answers with."""
    if isinstance(error, RejectedError):
        return 409
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 503)


def error_body(error: NodeError | RejectedError, **more: str | int) -> bytes:
    """Return the JSON {error, message, remedy} of an error."""
    if isinstance(error, RejectedError):
        remedy = "The rules of the zone refuse it; see the message."
        return encode_json({"error": error.name, "code": error.code, "message": error.message, "remedy": remedy})
    return encode_json({"error": refusal_name(error), "message": error.message, "remedy": error.remedy, **more})


def rebuild_refusal(who: str, status: int, data: bytes) -> PeerError:
    """Return the error behind an answer that is not 2xx; the other side's text is shortened to one printable line."""
    said: dict[str, Any] = {}
    try:
        decoded = msgspec.json.decode(data)
        said = decoded if isinstance(decoded, dict) else {}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    word = printable_line(said.get("error", "")) or f"status {status}"
    message = f"{who} refuses: {printable_line(said.get('message', '')) or word}"
    remedy = printable_line(said.get("remedy", "")) or "Ask that organisation's operator."
    if status == 421:
        return NotOrdererError(message, remedy=remedy)
    if status in (429, 503):
        return PeerBusyError(message, remedy=remedy)
    refused = PeerRefusedError(message, remedy=remedy)
    refused.status, refused.word = status, word
    return refused


def odd_answer(who: str, what: str) -> PeerAnswerError:
    """Return the error for an answer that the protocol does not foresee."""
    return PeerAnswerError(f"{who} answers {what}", remedy="Check that both nodes run a current version.")


def malformed(error: MalformedError) -> bytes:
    """Return the JSON error of a request in bad form."""
    return encode_json(
        {"error": "malformed", "message": error.reason, "remedy": "Send the one canonical form of the request."}
    )
