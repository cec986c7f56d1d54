"""Ed25519: the RFC's vectors, and the edges at which implementations differ."""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from nacl import bindings

from tallystick.keys import ED25519, EDDSA, SUITES, Ed25519Signer, SignatureSuite, Signer, verify
from tests.support.edwards import IDENTITY, ORDER, PRIME, SMALL_ORDER

CASES = json.loads((Path(__file__).parents[2] / "vectors" / "keys" / "rfc8032.json").read_text())["cases"]
BASE = bytes.fromhex("58" + "66" * 31)
# Points of order 1, 2, 4 and 8, and other encodings of them; each also with the sign bit set.
ODD = [*SMALL_ORDER, PRIME.to_bytes(32, "little"), (PRIME + 1).to_bytes(32, "little")]
ODD += [point[:31] + bytes([point[31] | 0x80]) for point in ODD]
SIGNER = ED25519.from_private(bytes(range(32)))
MESSAGE = b"message"
SIGNATURE = SIGNER.sign(MESSAGE)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_vectors_of_the_rfc(case: dict[str, str]) -> None:
    """Public keys and signatures are those of RFC 8032, and verify."""
    private, public, message, signature = (
        bytes.fromhex(case[name]) for name in ("private", "public", "message", "signature")
    )
    signer = ED25519.from_private(private)

    assert public == signer.public_key
    assert signature == signer.sign(message)
    assert ED25519.verify(public, message, signature)
    assert not ED25519.verify(public, message + b"x", signature)


def test_suites_are_found_by_algorithm() -> None:
    """The registry holds Ed25519 under its COSE number; an unknown number verifies nothing."""
    suite: SignatureSuite = SUITES[EDDSA]

    assert ("ed25519", -8, 32, 64) == (suite.name, suite.algorithm, suite.public_key_bytes, suite.signature_bytes)
    assert verify(SIGNER.public_key, MESSAGE, SIGNATURE)
    assert not verify(SIGNER.public_key, MESSAGE, SIGNATURE, algorithm=-7)


def test_generated_keys_differ_and_sign() -> None:
    """Every new key is another, and signs in its suite."""
    signers: list[Signer] = [ED25519.generate() for _ in range(4)]

    assert 4 == len({signer.public_key for signer in signers})
    for signer in signers:
        assert signer.suite is ED25519
        assert ED25519.verify(signer.public_key, MESSAGE, signer.sign(MESSAGE))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_private_keys_of_other_lengths_are_refused(length: int) -> None:
    """Only 32 bytes are a private key."""
    with pytest.raises(ValueError, match="32 bytes"):
        ED25519.from_private(bytes(length))


def test_every_flipped_bit_is_refused() -> None:
    """No bit of key, message or signature can change."""
    parts = (SIGNER.public_key, MESSAGE, SIGNATURE)
    for which, part in enumerate(parts):
        for bit in range(8 * len(part)):
            changed = bytearray(part)
            changed[bit // 8] ^= 1 << bit % 8
            check = (*parts[:which], bytes(changed), *parts[which + 1 :])

            assert not ED25519.verify(*check)


@pytest.mark.parametrize(
    ("key", "message", "signature"),
    [
        (b"", MESSAGE, SIGNATURE),
        (SIGNER.public_key[:31], MESSAGE, SIGNATURE),
        (SIGNER.public_key + b"\x00", MESSAGE, SIGNATURE),
        (SIGNER.public_key, MESSAGE, b""),
        (SIGNER.public_key, MESSAGE, SIGNATURE[:63]),
        (SIGNER.public_key, MESSAGE, SIGNATURE + b"\x00"),
        (SIGNER.public_key, MESSAGE[1:], SIGNATURE + MESSAGE[:1]),
        (b"\xff" * 32, MESSAGE, SIGNATURE),
        (SIGNER.public_key, MESSAGE, bytes(64)),
        (SIGNER.public_key, MESSAGE, b"\xff" * 64),
        (SIGNER.public_key.hex(), MESSAGE, SIGNATURE),
        ("k" * 32, MESSAGE, SIGNATURE),
        (SIGNER.public_key, "message", SIGNATURE),
        (None, None, None),
        (SIGNER.public_key, MESSAGE, 64),
    ],
)
def test_nonsense_is_no_signature(key: bytes, message: bytes, signature: bytes) -> None:
    """Other lengths, other types and no points are answered with False, never with an error."""
    assert ED25519.verify(key, message, signature) is False


def test_s_of_the_group_order_or_more_is_refused() -> None:
    """A signature has one form: S plus the group order, which some libraries accept, is refused."""
    r, s = SIGNATURE[:32], int.from_bytes(SIGNATURE[32:], "little")
    for multiple in range(1, 16):
        if s + multiple * ORDER < 2**256:
            assert not ED25519.verify(SIGNER.public_key, MESSAGE, r + (s + multiple * ORDER).to_bytes(32, "little"))


@pytest.mark.parametrize("key", ODD, ids=bytes.hex)
def test_keys_of_small_order_are_refused(key: bytes) -> None:
    """A key of small order, for which anyone can sign anything, verifies nothing."""
    forged = BASE + (1).to_bytes(32, "little")
    for message in (b"", MESSAGE, b"anything"):
        assert not ED25519.verify(key, message, forged)
        assert not ED25519.verify(key, message, IDENTITY + bytes(32))


def test_forgery_under_the_identity_is_real() -> None:
    """The forged signature above satisfies the bare equation: another library accepts it."""
    Ed25519PublicKey.from_public_bytes(IDENTITY).verify(BASE + (1).to_bytes(32, "little"), MESSAGE)


def test_r_of_small_order_is_refused() -> None:
    """A signer cannot make a signature whose R is of small order, though it satisfies the equation."""
    digest = bytearray(hashlib.sha512(bytes(range(32))).digest()[:32])
    digest[0] &= 248
    digest[31] = digest[31] & 63 | 64
    scalar = int.from_bytes(digest, "little")
    challenge = int.from_bytes(hashlib.sha512(IDENTITY + SIGNER.public_key + MESSAGE).digest(), "little") % ORDER
    signature = IDENTITY + (challenge * scalar % ORDER).to_bytes(32, "little")

    Ed25519PublicKey.from_public_bytes(SIGNER.public_key).verify(signature, MESSAGE)
    assert not ED25519.verify(SIGNER.public_key, MESSAGE, signature)


def test_points_are_accepted_in_their_canonical_encoding_only() -> None:
    """Keys with y of the prime or more are refused."""
    for y in range(PRIME, 2**255):
        for sign in (0, 0x80):
            key = bytearray(y.to_bytes(32, "little"))
            key[31] |= sign
            assert not ED25519.verify(bytes(key), MESSAGE, SIGNATURE)


@pytest.mark.parametrize("count", [0, 1, 3, 63, 64, 65, 200])
@pytest.mark.parametrize("threads", [None, 1, 2, 7])
def test_many_are_answered_in_their_order(count: int, threads: int | None) -> None:
    """Answers to many come in the order of the questions, on any number of threads."""
    checks, expected = [], []
    for number in range(count):
        message = number.to_bytes(4, "big")
        good = number % 3 != 0
        checks.append((SIGNER.public_key, message, SIGNER.sign(message if good else b"other")))
        expected.append(good)

    assert expected == ED25519.verify_many(checks, threads=threads)


def test_private_keys_do_not_show() -> None:
    """A signer's text has only the public key, and it cannot be pickled or copied."""
    private = bytes(range(32))
    signer = Ed25519Signer(private)

    assert private.hex() not in repr(signer)
    assert f"Ed25519Signer({signer.public_key.hex()})" == repr(signer)
    for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            refuse(signer)


def test_lengths_are_those_of_the_library() -> None:
    """The lengths that are checked before the library reads are the library's."""
    assert (32, 64, 32) == (
        bindings.crypto_sign_PUBLICKEYBYTES,
        bindings.crypto_sign_BYTES,
        bindings.crypto_sign_SEEDBYTES,
    )
