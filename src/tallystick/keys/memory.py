"""Keys that are in memory only, for tests, tools and simulations; a `KeySource`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tallystick.errors import AccessError
from tallystick.keys.kinds import (
    ENCRYPTION,
    PRIVATE_BYTES,
    ROLE_KINDS,
    TLS,
    KeyInfo,
    PrivateKey,
    describe,
    load_private,
    new_private,
)
from tallystick.keys.suites import Signer

# Order of the group of P-256 (SP 800-186): private keys are 1 to one less.
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class MemoryKeys:
    """One key for each of some roles."""

    def __init__(self, private: Mapping[str, bytes]) -> None:
        """Take the private bytes of each role.

        Raises:
            ValueError: they are no keys.
        """
        self._infos = {role: describe(role, secret, 0) for role, secret in private.items()}
        self._keys: dict[str, PrivateKey] = {
            role: load_private(ROLE_KINDS[role], secret) for role, secret in private.items()
        }

    @classmethod
    def generate(cls, roles: Iterable[str] = tuple(ROLE_KINDS)) -> MemoryKeys:
        """Make new keys."""
        return cls({role: new_private(ROLE_KINDS[role]) for role in roles})

    @classmethod
    def from_seed(cls, seed: bytes, roles: Iterable[str] = tuple(ROLE_KINDS)) -> MemoryKeys:
        """Derive the same keys from the same seed; for tests and vectors only."""
        return cls({role: _derived(seed, role) for role in roles})

    def list(self) -> list[KeyInfo]:
        """Return all keys, sorted by role."""
        return [self._infos[role] for role in sorted(self._infos)]

    def signer(self, name: str) -> Signer:
        """Return the Ed25519 key of a role or id.

        Raises:
            AccessError: there is none.
        """
        key = self._find(name)
        if isinstance(key, (x25519.X25519PrivateKey, ec.EllipticCurvePrivateKey)):
            raise AccessError(f"the key {name} does not sign", remedy="Name a key of a ledger role.")
        return key

    def encryption_private(self, public: bytes | None = None) -> x25519.X25519PrivateKey:
        """Return the encryption key, if it is the one asked for.

        Raises:
            AccessError: it is not, or there is none.
        """
        key = self._find(ENCRYPTION)
        if not isinstance(key, x25519.X25519PrivateKey) or public not in (None, key.public_key().public_bytes_raw()):
            raise AccessError("there is no such encryption key", remedy="Use a key of this source.")
        return key

    def tls_private(self) -> ec.EllipticCurvePrivateKey:
        """Return the TLS key.

        Raises:
            AccessError: there is none.
        """
        key = self._find(TLS)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AccessError("there is no TLS key", remedy="Make one.")
        return key

    def _find(self, name: str) -> PrivateKey:
        """Return the key of a role or id."""
        for role, info in self._infos.items():
            if name in (role, info.id):
                return self._keys[role]
        raise AccessError(f"there is no key {name} in memory", remedy=f"There are: {', '.join(sorted(self._infos))}.")


def _derived(seed: bytes, role: str) -> bytes:
    """Return private bytes of the role's kind that follow from a seed."""
    private = HKDF(SHA256(), PRIVATE_BYTES, salt=None, info=b"tallystick/memory-key\x00" + role.encode()).derive(seed)
    if ROLE_KINDS[role] != "p256":
        return private
    return (int.from_bytes(private, "big") % (_P256_ORDER - 1) + 1).to_bytes(PRIVATE_BYTES, "big")
