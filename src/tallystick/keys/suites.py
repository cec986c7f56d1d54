"""Signature suites: how a public key, a message and a signature belong together.

A suite is found by its COSE algorithm number (RFC 9053), so that another one (SM2, a hardware key) is one more entry of
`SUITES` and no other room changes. `verify` answers yes or no to any input whatever: what arrives from outside is not
an error of this node.

Ed25519 (RFC 8032) is checked by libsodium, which is strict: public keys and R of small order, points that are not in
their canonical encoding and S of the group order or more are all refused, so that nobody can turn one signature into
another. A suite that is slacker or stricter on one node than on another would split the zone; the tests hold the edges.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType
from typing import NoReturn, Protocol

from nacl import bindings
from nacl.exceptions import BadSignatureError

EDDSA = -8
# Below this many signatures, starting threads costs more than they save.
_WORTH_THREADS = 64

Check = tuple[bytes, bytes, bytes]


class Signer(Protocol):
    """Something that holds a private key and signs with it: a file, memory, later a device."""

    @property
    def public_key(self) -> bytes:
        """The public key that its signatures are checked with."""

    @property
    def suite(self) -> SignatureSuite:
        """The suite it signs in."""

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`."""


class SignatureSuite(Protocol):
    """One way of signing."""

    @property
    def name(self) -> str:
        """Lower-case name, as in key files."""

    @property
    def algorithm(self) -> int:
        """COSE algorithm number."""

    @property
    def public_key_bytes(self) -> int:
        """Length of a public key."""

    @property
    def signature_bytes(self) -> int:
        """Length of a signature."""

    def generate(self) -> Signer:
        """Make a new key from the system's randomness."""

    def from_private(self, private: bytes) -> Signer:
        """Return the signer of private key bytes; raises ValueError if they are none."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is one of `message` by `public_key`; never raises."""

    def verify_many(self, checks: Sequence[Check], *, threads: int | None = None) -> list[bool]:
        """Return the answers to many (public key, message, signature), in their order."""


class Ed25519Signer:
    """Signs with an Ed25519 private key held in memory."""

    __slots__ = ("_public", "_secret")

    def __init__(self, seed: bytes) -> None:
        """Take the 32-byte private key of RFC 8032.

        Raises:
            ValueError: another length.
        """
        if len(seed) != bindings.crypto_sign_SEEDBYTES:
            raise ValueError("an Ed25519 private key has 32 bytes")
        self._public, self._secret = bindings.crypto_sign_seed_keypair(seed)

    @property
    def public_key(self) -> bytes:
        """The public key, 32 bytes."""
        return self._public

    @property
    def suite(self) -> SignatureSuite:
        """Ed25519."""
        return ED25519

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message`, 64 bytes; the same for the same message."""
        return bindings.crypto_sign(message, self._secret)[: bindings.crypto_sign_BYTES]

    def __repr__(self) -> str:
        return f"Ed25519Signer({self._public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled")


class Ed25519Suite:
    """Ed25519 of RFC 8032, through libsodium."""

    name = "ed25519"
    algorithm = EDDSA
    public_key_bytes = bindings.crypto_sign_PUBLICKEYBYTES
    signature_bytes = bindings.crypto_sign_BYTES

    def generate(self) -> Ed25519Signer:
        """Make a new key from the system's randomness."""
        return Ed25519Signer(os.urandom(bindings.crypto_sign_SEEDBYTES))

    def from_private(self, private: bytes) -> Ed25519Signer:
        """Return the signer of a 32-byte private key.

        Raises:
            ValueError: another length.
        """
        return Ed25519Signer(private)

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is one of `message` by `public_key`; never raises.

        Args:
            public_key: 32 bytes; anything else verifies nothing. The binding reads 32 whatever is there.
            message: what was signed.
            signature: 64 bytes; anything else is no signature.
        """
        try:
            if len(public_key) != 32 or len(signature) != 64:
                return False
            bindings.crypto_sign_open(signature + message, public_key)
        except (BadSignatureError, TypeError):
            return False
        return True

    def verify_many(self, checks: Sequence[Check], *, threads: int | None = None) -> list[bool]:
        """Return the answers to many (public key, message, signature), in their order.

        libsodium works outside the interpreter's lock, so that threads help. Not for use beside code that executes:
        it would wait for the lock.

        Args:
            checks: what to verify.
            threads: how many to use; by default as many as this machine has processors.
        """
        count = min(threads or os.cpu_count() or 1, len(checks) // (_WORTH_THREADS // 2))
        if count <= 1:
            return [self.verify(*check) for check in checks]
        size = -(-len(checks) // count)
        parts = [checks[start : start + size] for start in range(0, len(checks), size)]
        with ThreadPoolExecutor(count, thread_name_prefix="verify") as pool:
            answers = pool.map(lambda part: [self.verify(*check) for check in part], parts)
            return [answer for part in answers for answer in part]


ED25519 = Ed25519Suite()
SUITES: Mapping[int, SignatureSuite] = MappingProxyType({suite.algorithm: suite for suite in (ED25519,)})


def verify(public_key: bytes, message: bytes, signature: bytes, *, algorithm: int = EDDSA) -> bool:
    """Tell whether a signature is good in the suite of a COSE algorithm; an unknown one verifies nothing."""
    suite = SUITES.get(algorithm)
    return suite is not None and suite.verify(public_key, message, signature)
