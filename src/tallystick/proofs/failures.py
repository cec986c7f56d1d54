"""Why a proof is refused: a stable name for each kind of failure, and what to do about it.

    IntegrityError
    └── ProofError
        ├── TrustError      a trust file, or the next version of one
        ├── ReceiptError    a receipt or the proof of a record
        └── ForkProofError  a file that claims to prove two histories

Scripts depend on the names: they are never changed, only added.
"""

from __future__ import annotations

from typing import Any

from tallystick.errors import IntegrityError

_AGAIN = "Ask the organisation that gave you this file to export it again, and compare the two."
_ALARM = "Keep this file: it may be evidence. Ask another member of the zone for the same proof and compare."
_ZONE = "Check that --zone names the zone.json of the zone that this proof comes from."
_NEWER = "Get the newest zone.json from a member that you trust, compare its fingerprint, and verify again."
_TRUST = "Do not use this zone.json. Get it again from a member that you trust and compare its fingerprint."

REMEDIES: dict[str, str] = {
    "not_canonical": _AGAIN,
    "unknown_format": "This file was made by a newer version of Tallystick: upgrade, then verify again.",
    "other_zone": _ZONE,
    "unknown_version": _NEWER,
    "bad_link": _NEWER,
    "malformed_transaction": _AGAIN,
    "bad_signature": _ALARM,
    "not_in_transaction": _ALARM,
    "not_in_history": _ALARM,
    "not_in_state": _ALARM,
    "app_hash_mismatch": _ALARM,
    "field_mismatch": _ALARM,
    "bad_header_signature": _ALARM,
    "too_few_header_signatures": "Wait until more of those who order have signed this block, then export it again.",
    "cosignatures_out_of_order": _AGAIN,
    "unknown_member": _NEWER,
    "bad_cosignature": _ALARM,
    "before_handover": "Make it anew from a node of the zone: tally receipt refresh FILE",
    "other_history": _ALARM,
    "not_yet_witnessed": "Wait until more members have witnessed this part of the history, then export it again.",
    "operation_not_json": "Such an operation was refused when it came; there is nothing to prove but its hash.",
    "bad_version": _TRUST,
    "bad_members": _TRUST,
    "bad_quorum": _TRUST,
    "bad_trust_signature": _TRUST,
    "too_few_signatures": "Collect the missing signatures of the members of the version before, then try again.",
    "no_contradiction": "The two statements agree: this file proves nothing against anybody.",
    "bad_statement": "A statement in this file is not signed by whom it names: it proves nothing.",
}


class ProofError(IntegrityError):
    """A proof does not hold.

    Attributes:
        reason: one of the keys of `REMEDIES`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message, remedy=REMEDIES[reason])
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.message)


class TrustError(ProofError):
    """A trust file, or a version of it, does not follow from what came before."""


class ReceiptError(ProofError):
    """A receipt or the proof of a record does not hold."""


class ForkProofError(ProofError):
    """A file that claims to prove two histories does not."""
