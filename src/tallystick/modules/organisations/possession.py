r"""Proofs of possession: a new key signs that it is meant for one organisation of one zone.

Without it an organisation could register somebody else's public key and so keep its holder from ever registering it.
The signed bytes are a tag and the tagged hash of chain id, organisation id and key. A key that a recovery announces, and
one that an engine votes with, sign under tags of their own: proofs are public once recorded, and who stole a security key
must not be able to register the announced keys first with `add_key`, and so block the recovery.
"""

from __future__ import annotations

from tallystick.codec import MalformedError, check_hash, tagged_hash
from tallystick.machine import verify_signature
from tallystick.modules.organisations.records import KEY_ROLES
from tallystick.modules.organisations.rejections import BAD_KEY, BAD_PROOF, BAD_ROLES

PROOF_TAG = b"tallystick/key-proof-v1\x00"
RECOVERY_PROOF_TAG = b"tallystick/recovery-key-proof-v1\x00"
CONSENSUS_PROOF_TAG = b"tallystick/consensus-key-proof-v1\x00"

_HEX = frozenset("0123456789abcdef")
_SIGNATURE_CHARACTERS = 128


def possession_message(chain: str, organisation: str, key: str, *, recovery: bool = False) -> bytes:
    """Return what a new key signs.

    Args:
        chain: chain id of the zone.
        organisation: id of the organisation that registers the key.
        key: the public key, lower-case hex.
        recovery: it is announced by `start_recovery`; otherwise for `add_key` and `rotate_key`.
    """
    tag = RECOVERY_PROOF_TAG if recovery else PROOF_TAG
    return tag + tagged_hash(b"tallystick/key-proof", chain.encode(), organisation.encode(), bytes.fromhex(key))


def check_key(key: str, field: str = "key") -> None:
    """Check the form of a public key.

    Raises:
        RejectedError: `bad_key`, naming the field.
    """
    try:
        check_hash(key)
    except MalformedError:
        raise BAD_KEY(field=field) from None


def check_roles(roles: tuple[str, ...]) -> None:
    """Check that roles are known, sorted and not repeated.

    Raises:
        RejectedError: `bad_roles`.
    """
    if not roles or list(roles) != sorted(dict.fromkeys(roles)) or not all(role in KEY_ROLES for role in roles):
        raise BAD_ROLES()


def check_proof_form(proof: str) -> None:
    """Check that a proof is 64 bytes in lower-case hex.

    Raises:
        RejectedError: `bad_proof`.
    """
    if len(proof) != _SIGNATURE_CHARACTERS or not _HEX.issuperset(proof):
        raise BAD_PROOF()


def check_possession(chain: str, organisation: str, key: str, proof: str, *, recovery: bool = False) -> None:
    """Check that a new key signed for this organisation and zone, and for this purpose.

    Raises:
        RejectedError: `bad_proof`.
    """
    message = possession_message(chain, organisation, key, recovery=recovery)
    if not verify_signature(bytes.fromhex(key), message, bytes.fromhex(proof)):
        raise BAD_PROOF()


def consensus_possession_message(chain: str, organisation: str, key: str) -> bytes:
    """Return what a consensus key signs to be announced by an organisation of a zone."""
    digest = tagged_hash(b"tallystick/key-proof", chain.encode(), organisation.encode(), bytes.fromhex(key))
    return CONSENSUS_PROOF_TAG + digest


def check_consensus_possession(chain: str, organisation: str, key: str, proof: str) -> None:
    """Check that a consensus key signed for this organisation and zone.

    Raises:
        RejectedError: `bad_proof`.
    """
    message = consensus_possession_message(chain, organisation, key)
    if not verify_signature(bytes.fromhex(key), message, bytes.fromhex(proof)):
        raise BAD_PROOF()
