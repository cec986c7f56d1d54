"""SHA-256 (FIPS 180-4), plain and with a domain tag in front."""

from __future__ import annotations

import hashlib


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256 of `data`."""
    return hashlib.sha256(data).digest()


def tagged_hash(tag: bytes, *parts: bytes) -> bytes:
    """Hash `parts` so that neither the tag nor the borders between parts can be confused.

    SHA-256 over: one byte of tag length, the tag, then each part behind its length as 8 bytes, big-endian.

    Args:
        tag: 1 to 255 ASCII bytes that name the purpose; different purposes never share one.
        parts: any number of byte strings.

    Returns:
        32 bytes.
    """
    hasher = hashlib.sha256(bytes((len(tag),)) + tag)
    for part in parts:
        hasher.update(len(part).to_bytes(8, "big"))
        hasher.update(part)
    return hasher.digest()
