"""TLS between nodes: certificates that a node makes for itself, and keys that are trusted because they are registered.

Rules:

- **A peer is its key.** What counts is the pin: SHA-256 of the DER SubjectPublicKeyInfo (as in RFC 7469) of the key that
  the peer proved to hold in the handshake. Pins are registered on the ledger; names in certificates are not looked at,
  and no certificate authority is trusted for anything. Dates are, as TLS libraries do: a node renews in time.
- **The transport anchor authenticates nothing.** Python's `ssl` shows a peer's certificate only if it leads to an anchor
  it was given. So all nodes issue their certificates under one anchor whose private key is public: anybody can make a
  certificate that passes, for a key of their own. This is wanted. It lets strangers reach the endpoints that are open
  to applicants, lets peers renew when they like, and leaves the decision to the pins. Never add the anchor to a
  system's trust store.
- A renewed certificate keeps its key, so its pin. To rotate the key: prepare the next one, register its pin beside the
  old one, switch, then withdraw the old pin.
- TLS 1.3 only, no session tickets: each connection proves the key anew.
"""

from __future__ import annotations

import ssl
import time
import weakref
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tallystick.dataplane.refusals import WrongPeerError
from tallystick.dataplane.sidecars import write_secret
from tallystick.errors import AccessError, StorageError

VALIDITY: Final = timedelta(days=90)
RENEW_AFTER: Final = timedelta(days=60)
# A peer's clock may be behind; dates authenticate nothing here and must not get in the way of a young certificate.
BACKDATED: Final = timedelta(days=2)
_ANCHOR_NAME: Final = "Tallystick transport anchor (authenticates nothing)"

PinCheck = Callable[[str], bool]
"""`expected(pin)`: whether a peer's pin is one to talk to; asked in every handshake."""


def spki_pin(certificate: bytes) -> str:
    """Return the pin of a certificate's key: SHA-256 of its SubjectPublicKeyInfo, hex.

    Args:
        certificate: DER.
    """
    return _pin_of_key(x509.load_der_x509_certificate(certificate).public_key())


cached_pin = lru_cache(maxsize=256)(spki_pin)


def _pin_of_key(key: object) -> str:
    # Every public key of `cryptography` has this method; the library offers no common type for them.
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()  # type: ignore[attr-defined]


@lru_cache(maxsize=1)
def _anchor() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return the transport anchor; its private key follows from a constant, for everybody."""
    number = int.from_bytes(sha256(b"tallystick/transport-anchor-v1").digest(), "big")
    key = ec.derive_private_key(number % (2**255), ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _ANCHOR_NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    return key, certificate


def issue_certificate(key: ec.EllipticCurvePrivateKey, name: str, now_s: float) -> x509.Certificate:
    """Return a certificate of 90 days for a P-256 key, for both ends of a connection.

    Args:
        key: the node's TLS key.
        name: organisation id, for people who look at it.
        now_s: seconds since the epoch.
    """
    anchor_key, anchor = _anchor()
    start = datetime.fromtimestamp(int(now_s), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(anchor.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATED)
        .not_valid_after(start + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(anchor_key.public_key()), critical=False)
        .sign(anchor_key, hashes.SHA256())
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


class TlsIdentity:
    """A node's TLS key and certificate, kept in a folder, the key encrypted; and the contexts that use them."""

    def __init__(
        self, folder: Path, organisation: str, password: bytes, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Open the identity, making key and certificate if there are none.

        Args:
            folder: where `tls-key.pem` and `tls-certificate.pem` are, or will be.
            organisation: id that goes into the certificate.
            password: that the key is encrypted with.
            clock: seconds since the epoch.

        Raises:
            AccessError: the password does not open the key.
            StorageError: the files cannot be read or written.
        """
        self._key_path = folder / "tls-key.pem"
        self._next_path = folder / "tls-next-key.pem"
        self._certificate_path = folder / "tls-certificate.pem"
        self._organisation = organisation
        self._password = password
        self._clock = clock
        self._contexts: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._key_path.exists():
                self._write_key(self._key_path, ec.generate_private_key(ec.SECP256R1()))
            self.renew_if_due()
        except OSError as error:
            raise StorageError(
                f"the TLS key and certificate in {folder} cannot be used: {error.strerror}",
                remedy="Check the folder's owner, permissions and free space.",
            ) from error

    @property
    def pin(self) -> str:
        """Pin of the key in use."""
        return _pin_of_key(self._read_key(self._key_path).public_key())

    @property
    def next_pin(self) -> str | None:
        """Pin of the key that was prepared for rotation."""
        return _pin_of_key(self._read_key(self._next_path).public_key()) if self._next_path.exists() else None

    @property
    def expires_s(self) -> float:
        """When the certificate ends, seconds since the epoch."""
        return self._read_certificate().not_valid_after_utc.timestamp()

    def renew_if_due(self) -> bool:
        """Issue a new certificate for the same key if there is none, two thirds of its time are over, or it is not fit.

        Contexts that were handed out use it for their next connection.

        Returns:
            whether one was issued.
        """
        key = self._read_key(self._key_path)
        now_s = self._clock()
        if self._certificate_path.exists():
            try:
                certificate = self._read_certificate()
            except ValueError:
                certificate = None
            if certificate is not None and _pin_of_key(certificate.public_key()) == _pin_of_key(key.public_key()):
                issued_s = certificate.not_valid_before_utc.timestamp() + BACKDATED.total_seconds()
                if issued_s - BACKDATED.total_seconds() <= now_s < issued_s + RENEW_AFTER.total_seconds():
                    return False
        issued = issue_certificate(key, self._organisation, now_s)
        write_secret(self._certificate_path, issued.public_bytes(Encoding.PEM))
        for context in self._contexts:
            self._load(context)
        return True

    def prepare_next_key(self) -> str:
        """Make the key to rotate to, if there is none yet, and return its pin, to be registered before switching."""
        if not self._next_path.exists():
            self._write_key(self._next_path, ec.generate_private_key(ec.SECP256R1()))
        return _pin_of_key(self._read_key(self._next_path).public_key())

    def switch_to_next_key(self) -> str:
        """Use the prepared key from now on and return its pin.

        A crash between the two steps leaves a certificate of the old key, which the next start replaces.

        Raises:
            AccessError: none was prepared.
        """
        if not self._next_path.exists():
            raise AccessError("there is no next TLS key", remedy="Prepare one and register its pin first.")
        self._next_path.replace(self._key_path)
        self.renew_if_due()
        return self.pin

    def server_context(self) -> ssl.SSLContext:
        """Return a context that asks peers for a certificate and takes any, or none: see `peer_pin` in `server`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.num_tickets = 0
        return self._prepared(context)

    def client_context(self, expected: PinCheck) -> ssl.SSLContext:
        """Return a context that ends every handshake with a peer whose pin is not expected, before a byte is sent.

        Args:
            expected: asked anew for each connection.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        pinned_object, pinned_socket = _pinned_classes(expected)
        context.sslobject_class = pinned_object
        context.sslsocket_class = pinned_socket
        return self._prepared(context)

    def _prepared(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=_anchor()[1].public_bytes(Encoding.DER))
        self._load(context)
        self._contexts.add(context)
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._certificate_path, self._key_path, password=self._password)

    def _read_certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self._certificate_path.read_bytes())

    def _read_key(self, path: Path) -> ec.EllipticCurvePrivateKey:
        try:
            key = load_pem_private_key(path.read_bytes(), self._password)
        except (ValueError, TypeError) as error:
            raise AccessError(
                f"the TLS key {path} does not open", remedy="Give the passphrase that it was made with."
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AccessError(f"{path} is not a P-256 key", remedy="Restore the key from a backup.")
        return key

    def _write_key(self, path: Path, key: ec.EllipticCurvePrivateKey) -> None:
        encryption = BestAvailableEncryption(self._password)
        write_secret(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


class UnexpectedPinError(ssl.SSLCertVerificationError):
    """The handshake succeeded, with a key that is not one of the expected ones."""


def _pinned_classes(expected: PinCheck) -> tuple[type[ssl.SSLObject], type[ssl.SSLSocket]]:
    """Return what a context makes its connections of: the library's own, with the pin checked in the handshake.

    asyncio, uvloop and blocking sockets all call `do_handshake` before any data is exchanged, so every client library
    that accepts a context is held to the pin.
    """

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _check_pin(self.getpeercert(True), expected)

    class PinnedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _check_pin(self.getpeercert(True), expected)

    return PinnedObject, PinnedSocket


def _check_pin(certificate: bytes | None, expected: PinCheck) -> None:
    if certificate is None or not expected(cached_pin(certificate)):
        shown = "none" if certificate is None else cached_pin(certificate)
        raise UnexpectedPinError(1, f"unexpected TLS key pin {shown}")


def wrong_peer(address: str) -> WrongPeerError:
    """Return the refusal of a peer whose key is not a registered one."""
    return WrongPeerError(
        f"the node at {address} does not hold a TLS key that its organisation has registered",
        remedy="Check the address; if it is right, ask that organisation whether it has registered its new TLS key.",
    )
