"""Sealing: RFC 9180's vectors, an independent implementation of it, and key packages."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tallystick.codec import encode_json
from tallystick.dataplane import binding, build_package, open_package, open_sealed, seal, seal_package, take_fingerprint
from tallystick.dataplane.refusals import PackageError

VECTOR: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors/dataplane/hpke/x25519-sha256-aes256gcm.json").read_text(encoding="utf-8")
)
KEM_ID = b"KEM\x00\x20"
SUITE_ID = b"HPKE\x00\x20\x00\x01\x00\x02"


def extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract of RFC 9180 section 4."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand of RFC 9180 section 4, for at most one block."""
    message = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, message + b"\x01", "sha256")[:length]


def schedule(shared_point: bytes, enc: bytes, recipient: bytes, info: bytes) -> dict[str, bytes]:
    """Return what base mode derives from a Diffie-Hellman result (RFC 9180 sections 4.1 and 5.1)."""
    shared = expand(KEM_ID, extract(KEM_ID, b"", b"eae_prk", shared_point), b"shared_secret", enc + recipient, 32)
    context = b"\x00" + extract(SUITE_ID, b"", b"psk_id_hash", b"") + extract(SUITE_ID, b"", b"info_hash", info)
    secret = extract(SUITE_ID, shared, b"secret", b"")
    return {
        "shared_secret": shared,
        "key_schedule_context": context,
        "secret": secret,
        "key": expand(SUITE_ID, secret, b"key", context, 32),
        "base_nonce": expand(SUITE_ID, secret, b"base_nonce", context, 12),
    }


def test_reference_reproduces_the_rfc_vectors() -> None:
    """The reference below derives every value of the published vectors and encrypts as they do."""
    values = {name: bytes.fromhex(VECTOR[name]) for name in ("info", "skRm", "skEm", "pkRm", "pkEm", "enc")}
    point = X25519PrivateKey.from_private_bytes(values["skEm"]).exchange(
        X25519PublicKey.from_public_bytes(values["pkRm"])
    )
    derived = schedule(point, values["enc"], values["pkRm"], values["info"])
    for name, value in derived.items():
        assert value.hex() == VECTOR[name]
    for number, case in enumerate(VECTOR["encryptions"]):
        nonce = (int.from_bytes(derived["base_nonce"], "big") ^ number).to_bytes(12, "big")
        plaintext, aad = bytes.fromhex(case["pt"]), bytes.fromhex(case["aad"])
        assert AESGCM(derived["key"]).encrypt(nonce, plaintext, aad).hex() == case["ct"]


def test_what_the_reference_seals_opens() -> None:
    """A message sealed by the reference, with the vectors' own keys, opens here."""
    enc, recipient = bytes.fromhex(VECTOR["enc"]), bytes.fromhex(VECTOR["pkRm"])
    point = X25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["skEm"])).exchange(
        X25519PublicKey.from_public_bytes(recipient)
    )
    derived = schedule(point, enc, recipient, b"purpose")
    sealed = enc + AESGCM(derived["key"]).encrypt(derived["base_nonce"], b"message", b"")
    assert open_sealed(bytes.fromhex(VECTOR["skRm"]), sealed, b"purpose") == b"message"


def test_what_is_sealed_here_the_reference_opens() -> None:
    """A message sealed here is encapsulated key and ciphertext of RFC 9180."""
    private, recipient = bytes.fromhex(VECTOR["skRm"]), bytes.fromhex(VECTOR["pkRm"])
    sealed = seal(recipient, b"message", b"purpose")
    point = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(sealed[:32]))
    derived = schedule(point, sealed[:32], recipient, b"purpose")
    assert AESGCM(derived["key"]).decrypt(derived["base_nonce"], sealed[32:], b"") == b"message"


@pytest.fixture
def keys() -> tuple[bytes, bytes]:
    """A key pair, raw."""
    private = X25519PrivateKey.generate()
    return private.private_bytes_raw(), private.public_key().public_bytes_raw()


def test_sealed_message_opens_for_its_key_and_binding_alone(keys: tuple[bytes, bytes]) -> None:
    """Another key, info or additional data, or any changed byte, is refused."""
    private, public = keys
    sealed = seal(public, b"price: 100", b"info", b"aad")
    assert open_sealed(private, sealed, b"info", b"aad") == b"price: 100"
    other = X25519PrivateKey.generate().private_bytes_raw()
    for key, info, aad in ((other, b"info", b"aad"), (private, b"infoa", b"ad"), (private, b"info", b"")):
        with pytest.raises(PackageError):
            open_sealed(key, sealed, info, aad)
    for position in range(len(sealed)):
        with pytest.raises(PackageError):
            open_sealed(
                private, sealed[:position] + bytes((sealed[position] ^ 1,)) + sealed[position + 1 :], b"info", b"aad"
            )
    for length in (0, 31, 32, 47, len(sealed) - 1):
        with pytest.raises(PackageError):
            open_sealed(private, sealed[:length], b"info", b"aad")


def test_keys_that_give_no_secret_are_refused() -> None:
    """A public key of the wrong length or of low order is refused rather than sealed to."""
    for public in (b"", bytes(31), bytes(32)):
        with pytest.raises(PackageError):
            seal(public, b"x", b"info")


def test_bindings_cannot_be_confused() -> None:
    """Moving a border between parts, or to the purpose, gives another binding."""
    found = {binding(b"a", b"bc"), binding(b"ab", b"c"), binding(b"a", b"b", b"c"), binding(b"a", b"bc", b"")}
    assert len(found) == 4


def test_key_package_opens_for_its_delivery_and_agreement_alone(keys: tuple[bytes, bytes], tmp_path: Path) -> None:
    """A package comes back as it was sealed, and not for another delivery or agreement."""
    private, public = keys
    (tmp_path / "a.csv").write_text("a\n")
    package = build_package(
        take_fingerprint(tmp_path / "a.csv"), delivery="d1", agreement="agr-1", content_key=bytes(32), expires_ms=5
    )
    sealed = seal_package(package, public)
    assert open_package(sealed, private, delivery="d1", agreement="agr-1") == package
    assert package.content_key not in repr(package)
    for delivery, agreement in (("d2", "agr-1"), ("d1", "agr-2")):
        with pytest.raises(PackageError):
            open_package(sealed, private, delivery=delivery, agreement=agreement)


def test_package_that_is_not_canonical_or_lies_about_its_delivery_is_refused(
    keys: tuple[bytes, bytes], tmp_path: Path
) -> None:
    """What a dishonest provider seals is judged as strictly as anything else."""
    private, public = keys
    (tmp_path / "a.csv").write_text("a\n")
    package = build_package(
        take_fingerprint(tmp_path / "a.csv"), delivery="d1", agreement="agr-1", content_key=bytes(32), expires_ms=5
    )
    info = binding(b"tallystick/key-package-v1", b"agr-1", b"d1")
    good = encode_json(package)
    for plaintext in (
        good + b" ",
        good.replace(b'"d1"', b'"d2"'),
        good.replace(b'"v":1', b'"v":2'),
        good.replace(b'"chunks":2', b'"chunks":1'),
        good.replace(package.salt.encode(), package.salt.upper().encode() if not package.salt.isdecimal() else b"x"),
        b"{}",
        b"",
    ):
        with pytest.raises(PackageError):
            open_package(seal(public, plaintext, info), private, delivery="d1", agreement="agr-1")
