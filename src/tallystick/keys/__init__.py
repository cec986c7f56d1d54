"""Signature suites, and where private keys are kept.

Rules of this room:

- A private key is written to a disk only encrypted, and never shown, logged or pickled.
- There is no default passphrase and no key without one.
- Whether a signature is good has one answer on every node: suites are strict, and verifying never raises.
- Other rooms ask for a key by its role and get something that signs or decrypts; where it is kept is none of their
  business.

`README.md` is the specification of the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tallystick.lazy import lazy_names

if TYPE_CHECKING:
    from tallystick.keys.files import make_private_folder, read_private, write_private
    from tallystick.keys.fingerprints import fingerprint, parse_fingerprint
    from tallystick.keys.kinds import (
        ENCRYPTION,
        LEDGER_ROLES,
        RECOVERY,
        ROLE_KINDS,
        TLS,
        KeyInfo,
        KeySource,
        PrivateKey,
        public_bytes,
    )
    from tallystick.keys.memory import MemoryKeys
    from tallystick.keys.passphrases import check_new_passphrase, find_passphrase, read_passphrase_file
    from tallystick.keys.stores import KeyStore, OpenKeys, open_exported
    from tallystick.keys.suites import (
        ED25519,
        EDDSA,
        SUITES,
        Check,
        Ed25519Signer,
        Ed25519Suite,
        SignatureSuite,
        Signer,
        verify,
    )
else:
    __getattr__ = lazy_names(
        __name__,
        {
            "tallystick.keys.files": ("make_private_folder", "read_private", "write_private"),
            "tallystick.keys.fingerprints": ("fingerprint", "parse_fingerprint"),
            "tallystick.keys.kinds": (
                "ENCRYPTION",
                "LEDGER_ROLES",
                "RECOVERY",
                "ROLE_KINDS",
                "TLS",
                "KeyInfo",
                "KeySource",
                "PrivateKey",
                "public_bytes",
            ),
            "tallystick.keys.memory": ("MemoryKeys",),
            "tallystick.keys.passphrases": ("check_new_passphrase", "find_passphrase", "read_passphrase_file"),
            "tallystick.keys.stores": ("KeyStore", "OpenKeys", "open_exported"),
            "tallystick.keys.suites": (
                "ED25519",
                "EDDSA",
                "SUITES",
                "Check",
                "Ed25519Signer",
                "Ed25519Suite",
                "SignatureSuite",
                "Signer",
                "verify",
            ),
        },
    )

__all__ = [
    "ED25519",
    "EDDSA",
    "ENCRYPTION",
    "LEDGER_ROLES",
    "RECOVERY",
    "ROLE_KINDS",
    "SUITES",
    "TLS",
    "Check",
    "Ed25519Signer",
    "Ed25519Suite",
    "KeyInfo",
    "KeySource",
    "KeyStore",
    "MemoryKeys",
    "OpenKeys",
    "PrivateKey",
    "SignatureSuite",
    "Signer",
    "check_new_passphrase",
    "find_passphrase",
    "fingerprint",
    "make_private_folder",
    "open_exported",
    "parse_fingerprint",
    "public_bytes",
    "read_passphrase_file",
    "read_private",
    "verify",
    "write_private",
]
