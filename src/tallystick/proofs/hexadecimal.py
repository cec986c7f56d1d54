"""Bytes in JSON: lower-case hex of one length, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from tallystick.codec import MalformedError

HASH_BYTES = 32
KEY_BYTES = 32
SIGNATURE_BYTES = 64
MAX_PATH = 64


def unhex(text: str, length: int) -> bytes:
    """Return the bytes of exactly `2 * length` lower-case hex characters.

    Raises:
        MalformedError: anything else, upper case and white space included.
    """
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise MalformedError("not hex") from None
    # fromhex skips white space and takes upper case: only the one spelling that hex() gives is allowed.
    if len(data) != length or data.hex() != text:
        raise MalformedError(f"not {length} bytes of lower-case hex")
    return data


def unhex_any(text: str) -> bytes:
    """Return the bytes of lower-case hex of any length.

    Raises:
        MalformedError: anything else.
    """
    return unhex(text, len(text) // 2)


def unhex_path(path: Iterable[str]) -> list[bytes]:
    """Return the hashes of a path of at most 64 steps.

    Raises:
        MalformedError: longer, or a step is not 32 bytes of lower-case hex.
    """
    steps = [unhex(step, HASH_BYTES) for step in path]
    if len(steps) > MAX_PATH:
        raise MalformedError("path is too long")
    return steps
