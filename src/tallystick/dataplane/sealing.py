"""Sealing to a recipient: HPKE base mode (RFC 9180) with DHKEM(X25519, HKDF-SHA256), HKDF-SHA256 and AES-256-GCM.

What is sealed is the 32-byte encapsulated key and then the ciphertext. Only single messages are sealed, so everything
that a message is bound to goes into `info`, as RFC 9180 section 8.1 recommends: a purpose and the parts behind their
lengths, which keeps one purpose's messages from opening as another's. Sealing hides and binds; it does not say who
sealed. That comes from where a message is found: on the ledger, or on a connection whose peer is known.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from tallystick.dataplane.refusals import PackageError

PUBLIC_KEY_BYTES: Final = 32
OVERHEAD_BYTES: Final = 48
_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def binding(purpose: bytes, *parts: bytes) -> bytes:
    """Return the `info` of a message: its purpose and what it belongs to, with borders that cannot be moved.

    Args:
        purpose: 1 to 255 ASCII bytes; different uses never share one.
        parts: any byte strings, such as ids.
    """
    return bytes((len(purpose),)) + purpose + b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def seal(public_key: bytes, plaintext: bytes, info: bytes, aad: bytes = b"") -> bytes:
    """Seal a message to a recipient.

    Args:
        public_key: the recipient's X25519 key, 32 bytes.
        plaintext: the message.
        info: what it is bound to; see `binding`.
        aad: more that it is bound to, folded into the `info` of RFC 9180.

    Raises:
        PackageError: not a key that anything can be sealed to.
    """
    try:
        key = X25519PublicKey.from_public_bytes(public_key)
        return _SUITE.encrypt(plaintext, key, _bound(info, aad))
    except ValueError as error:
        raise PackageError(
            "the recipient's encryption key is not a usable X25519 key",
            remedy="Ask the recipient to register a new encryption key.",
        ) from error


def open_sealed(private_key: bytes, sealed: bytes, info: bytes, aad: bytes = b"") -> bytes:
    """Open a sealed message.

    Args:
        private_key: X25519, 32 bytes.
        sealed: what `seal` returned.
        info: as it was sealed with.
        aad: as it was sealed with.

    Raises:
        PackageError: altered, sealed to another key, or bound to something else.
    """
    key = X25519PrivateKey.from_private_bytes(private_key)
    try:
        return _SUITE.decrypt(sealed, key, _bound(info, aad))
    except (InvalidTag, ValueError) as error:
        raise PackageError(
            "a sealed message does not open: it was altered, is for another key or belongs to something else",
            remedy="Check that this node holds the encryption key that is registered, then ask for it again.",
        ) from error


def _bound(info: bytes, aad: bytes) -> bytes:
    return binding(b"tallystick/info+aad", info, aad) if aad else info
