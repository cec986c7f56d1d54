"""Checking one signature: the only thing of keys that the machine and the modules may use."""

from __future__ import annotations

from tallystick.keys import ED25519


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is an Ed25519 signature (RFC 8032) of `message` by `public_key`.

    Args:
        public_key: 32 bytes; any other length, or a point that is none, is simply no key.
        message: what was signed.
        signature: 64 bytes.
    """
    return ED25519.verify(public_key, message, signature)
