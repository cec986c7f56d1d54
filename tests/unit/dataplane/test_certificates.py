"""Certificates, pins, renewal and rotation."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tallystick.codec import sha256
from tallystick.dataplane import TlsIdentity, spki_pin
from tallystick.errors import AccessError

DAY = 86_400
START = 1_700_000_000.0


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def certificate_of(folder: Path) -> x509.Certificate:
    """Return the certificate in a folder."""
    return x509.load_pem_x509_certificate((folder / "tls-certificate.pem").read_bytes())


def test_pin_is_the_hash_of_the_public_key(tmp_path: Path) -> None:
    """A pin is SHA-256 of the SubjectPublicKeyInfo, as in RFC 7469."""
    identity = TlsIdentity(tmp_path, "hospital", b"p")
    certificate = certificate_of(tmp_path)
    der = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert identity.pin == sha256(der).hex() == spki_pin(certificate.public_bytes(Encoding.DER))


def test_key_is_encrypted_and_private(tmp_path: Path) -> None:
    """The key file is readable by its owner alone and opens with its password alone."""
    TlsIdentity(tmp_path, "hospital", b"p")
    key = tmp_path / "tls-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in key.read_bytes()
    with pytest.raises(AccessError, match="does not open"):
        TlsIdentity(tmp_path, "hospital", b"q")


def test_certificate_renews_at_two_thirds_and_keeps_its_pin(tmp_path: Path) -> None:
    """90 days of validity, a new certificate after 60, the same key."""
    clock = Clock()
    identity = TlsIdentity(tmp_path, "hospital", b"p", clock=clock)
    first, pin = certificate_of(tmp_path), identity.pin
    assert identity.expires_s == START + 90 * DAY
    clock.now = START + 60 * DAY - 10
    assert identity.renew_if_due() is False
    clock.now = START + 60 * DAY + 10
    assert identity.renew_if_due() is True
    assert certificate_of(tmp_path).serial_number != first.serial_number
    assert (identity.pin, identity.expires_s) == (pin, START + 150 * DAY + 10)


def test_clock_set_back_and_damaged_certificate_make_a_new_one(tmp_path: Path) -> None:
    """A certificate that begins in the future, is damaged or of another key is replaced at the next start."""
    clock = Clock()
    pin = TlsIdentity(tmp_path, "hospital", b"p", clock=clock).pin
    clock.now = START - 30 * DAY
    assert TlsIdentity(tmp_path, "hospital", b"p", clock=clock).expires_s == START + 60 * DAY
    (tmp_path / "tls-certificate.pem").write_text("damaged")
    assert TlsIdentity(tmp_path, "hospital", b"p", clock=clock).pin == pin
    other = TlsIdentity(tmp_path / "other", "bank", b"p", clock=clock)
    (tmp_path / "tls-certificate.pem").write_bytes((tmp_path / "other/tls-certificate.pem").read_bytes())
    TlsIdentity(tmp_path, "hospital", b"p", clock=clock)
    assert spki_pin(certificate_of(tmp_path).public_bytes(Encoding.DER)) == pin != other.pin


def test_key_rotates_in_two_steps(tmp_path: Path) -> None:
    """The next key's pin is known before it is used, and preparing twice gives the same."""
    identity = TlsIdentity(tmp_path, "hospital", b"p")
    old = identity.pin
    with pytest.raises(AccessError):
        identity.switch_to_next_key()
    pin = identity.prepare_next_key()
    assert identity.prepare_next_key() == identity.next_pin == pin != old
    assert identity.pin == old
    assert identity.switch_to_next_key() == identity.pin == pin
    assert identity.next_pin is None
    assert spki_pin(certificate_of(tmp_path).public_bytes(Encoding.DER)) == pin
