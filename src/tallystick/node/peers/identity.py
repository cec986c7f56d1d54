"""The node's TLS identity, made of the `tls` key in its key store.

The key store holds the key; TLS libraries want it in a file. So a copy is kept in `keys/tls/<pin>/`, encrypted with a
password that follows from the key itself: who can read it there could read it in the store already.

Dates in certificates are not looked at on either side: a peer is its registered key, and a node whose clock or renewal
failed must still be able to catch up.
"""

from __future__ import annotations

import ssl

from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tallystick.codec import sha256, tagged_hash
from tallystick.dataplane.certificates import PinCheck, TlsIdentity
from tallystick.dataplane.sidecars import write_secret
from tallystick.keys import OpenKeys

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python's ssl does not name.
_NO_CHECK_TIME = 0x200000


class NodeIdentity(TlsIdentity):
    """A TLS identity whose contexts look at keys and never at dates."""

    def server_context(self) -> ssl.SSLContext:
        """Return a context that asks peers for a certificate and takes any, or none."""
        return _dateless(super().server_context())

    def client_context(self, expected: PinCheck) -> ssl.SSLContext:
        """Return a context that ends every handshake with a peer whose pin is not expected."""
        return _dateless(super().client_context(expected))


def _dateless(context: ssl.SSLContext) -> ssl.SSLContext:
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    return context


def open_identity(keys: OpenKeys, organisation: str) -> NodeIdentity:
    """Return the identity of a node's `tls` key.

    Args:
        keys: the node's, unlocked.
        organisation: id that goes into the certificate, for people who look at it.

    Raises:
        AccessError: there is no `tls` key.
        StorageError: the copy cannot be written.
    """
    private = keys.tls_private()
    scalar = private.private_numbers().private_value.to_bytes(32, "big")
    password = tagged_hash(b"tallystick/tls-file", scalar).hex().encode()
    pin = sha256(bytes.fromhex(keys.find("tls").public)).hex()
    folder = keys.folder / "tls" / pin[:16]
    path = folder / "tls-key.pem"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        encryption = BestAvailableEncryption(password)
        write_secret(path, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    return NodeIdentity(folder, organisation, password)
