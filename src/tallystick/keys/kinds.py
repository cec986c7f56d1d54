"""Kinds of keys, the roles that use them, and what every source of keys offers.

kind      private bytes       public bytes                                     roles
ed25519   32, RFC 8032 seed   32                                               the ledger's roles, recovery
x25519    32, RFC 7748        32                                               encryption
p256      32, scalar          SubjectPublicKeyInfo, DER (its SHA-256 is a pin) tls
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tallystick.codec import short_id
from tallystick.codec.cards import ROLES
from tallystick.keys.suites import ED25519, Signer

LEDGER_ROLES = ROLES
RECOVERY = "recovery"
ENCRYPTION = "encryption"
TLS = "tls"
ROLE_KINDS: Mapping[str, str] = MappingProxyType(
    dict.fromkeys((*LEDGER_ROLES, RECOVERY), "ed25519") | {ENCRYPTION: "x25519", TLS: "p256"}
)
PRIVATE_BYTES = 32
_ID_CHARACTERS = 10

PrivateKey = Signer | x25519.X25519PrivateKey | ec.EllipticCurvePrivateKey


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What anybody may know about a key.

    Attributes:
        id: its role and ten characters that follow from the public key, such as `service-4hpy7eq19z`.
        kind: `ed25519`, `x25519` or `p256`.
        role: one of `ROLE_KINDS`.
        public: public key, hex.
        created: when, in ms.
        retired: since when it is no longer used for anything new, in ms; 0 while it is.
        offline: the private key is no longer here but in a file of its own, which was exported.
    """

    id: str
    kind: str
    role: str
    public: str
    created: int
    retired: int = 0
    offline: bool = False


class KeySource(Protocol):
    """Where a node finds its private keys: a store that was unlocked, or memory."""

    def list(self) -> list[KeyInfo]:
        """Return all keys, sorted by role, time and id."""

    def signer(self, name: str) -> Signer:
        """Return the Ed25519 key of an id, or the newest of a role that is in use."""

    def encryption_private(self, public: bytes | None = None) -> x25519.X25519PrivateKey:
        """Return the newest encryption key in use, or the one of a public key, also when retired."""

    def tls_private(self) -> ec.EllipticCurvePrivateKey:
        """Return the newest TLS key in use."""


def new_private(kind: str) -> bytes:
    """Return the bytes of a new private key from the system's randomness."""
    if kind == "p256":
        return ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(PRIVATE_BYTES, "big")
    return os.urandom(PRIVATE_BYTES)


def load_private(kind: str, private: bytes) -> PrivateKey:
    """Return the private key of its bytes.

    Raises:
        ValueError: they are no key of that kind.
    """
    if len(private) != PRIVATE_BYTES:
        raise ValueError("a private key has 32 bytes")
    if kind == "ed25519":
        return ED25519.from_private(private)
    if kind == "x25519":
        return x25519.X25519PrivateKey.from_private_bytes(private)
    if kind == "p256":
        return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())
    raise ValueError("unknown kind of key")


def public_bytes(key: PrivateKey) -> bytes:
    """Return the public key that belongs to a private one, in the form of its kind."""
    if isinstance(key, x25519.X25519PrivateKey):
        return key.public_key().public_bytes_raw()
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return key.public_key


def describe(role: str, private: bytes, created: int) -> KeyInfo:
    """Return what is public about a new private key.

    Args:
        role: one of `ROLE_KINDS`.
        private: bytes of the role's kind.
        created: time in ms.

    Raises:
        ValueError: they are no such key.
    """
    kind = ROLE_KINDS[role]
    public = public_bytes(load_private(kind, private))
    return KeyInfo(id=key_id(role, public), kind=kind, role=role, public=public.hex(), created=created)


def key_id(role: str, public: bytes) -> str:
    """Return the id of a key in a role."""
    return short_id(role, public, _ID_CHARACTERS)
