"""What the office refuses, each with a name that a program can rely on; every one is a `NodeError` with a remedy.

IntegrityError  ├── NoteRefusedError       note_refused        a note that is not for this node, or cannot be read
                ├── NoteMismatchError      note_mismatch       values that are not what was committed to
                ├── CardMismatchError      card_mismatch       a fingerprint that is not the card's
                ├── DeliveryMismatchError  delivery_mismatch   a delivery that is not what the ledger says
                └── EvidenceError          evidence_refused    a file and a proof that do not prove it
AccessError     ├── ApiKeyError            api_key_refused     an API key that is wrong, expired or revoked
                └── NotInForceError        not_in_force        an agreement that nothing may be delivered under now
UsageError      └── NotFoundError          not_found           something that is not there
"""

from __future__ import annotations

from typing import ClassVar

from tallystick.errors import AccessError, IntegrityError, UsageError


class NoteRefusedError(IntegrityError):
    """A note is not for this node, not from whom it says, or cannot be read."""

    name: ClassVar[str] = "note_refused"


class NoteMismatchError(IntegrityError):
    """The values in a note are not those that its sender committed to on the ledger."""

    name: ClassVar[str] = "note_mismatch"


class CardMismatchError(IntegrityError):
    """The fingerprint that was typed is not that of the card that was sent in."""

    name: ClassVar[str] = "card_mismatch"


class DeliveryMismatchError(IntegrityError):
    """What a provider hands out is not the delivery that is on the ledger."""

    name: ClassVar[str] = "delivery_mismatch"


class EvidenceError(IntegrityError):
    """A file and a proof do not prove what they claim."""

    name: ClassVar[str] = "evidence_refused"


class ApiKeyError(AccessError):
    """An API key is missing, wrong, expired or revoked."""

    name: ClassVar[str] = "api_key_refused"


class NotInForceError(AccessError):
    """Nothing may be delivered under an agreement now."""

    name: ClassVar[str] = "not_in_force"


class NotFoundError(UsageError):
    """There is no such thing in this node's copy."""

    name: ClassVar[str] = "not_found"


def not_found(what: str, name: str, command: str) -> NotFoundError:
    """Return the error for something that is not there, with the command that lists what is."""
    return NotFoundError(f"there is no {what} {name}", remedy=f"List them with `{command}`.")
