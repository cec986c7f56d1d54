"""Bundles: many transactions in one piece of bytes, as they are kept and as they travel.

The form is that of each transaction behind its length, 4 bytes, big-endian, all of it in one zlib stream (RFC 1950):
transactions of one zone have most of their bytes in common, and a bundle takes about a third of what they take.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tallystick.codec.canonical import MalformedError

MAX_BUNDLE_BYTES = 8 << 20
# No signed transaction is as short as would allow more.
MAX_TRANSACTIONS = 1 << 16
# What a bundle takes beside its transactions.
STREAM_BYTES = 16
# One of several bundles is closed when it has so many bytes of transactions. Four times as many would save 3 bytes in 200,
# and take four times as long to be taken apart where one transaction is read.
CLOSED_AT_BYTES = 64 << 10
_LENGTH_BYTES = 4
# Higher ones take twice as long for a few bytes less.
_LEVEL = 1


class Bundle(NamedTuple):
    """A bundle, and what is in it.

    Attributes:
        transactions: in their order.
        encoded: its bytes.
    """

    transactions: Sequence[bytes]
    encoded: bytes


def encode_bundle(transactions: Iterable[bytes]) -> bytes:
    """Return the bytes of a bundle."""
    parts: list[bytes] = []
    for raw in transactions:
        parts += (len(raw).to_bytes(_LENGTH_BYTES, "big"), raw)
    return zlib.compress(b"".join(parts), _LEVEL)


def cut_bundles(transactions: Iterable[bytes]) -> Iterator[Bundle]:
    """Yield transactions in as many bundles as they need."""
    part: list[bytes] = []
    size = 0
    for raw in transactions:
        part.append(raw)
        size += len(raw)
        if size >= CLOSED_AT_BYTES:
            yield Bundle(part, encode_bundle(part))
            part, size = [], 0
    if part:
        yield Bundle(part, encode_bundle(part))


def bundled_bytes(raw: bytes) -> int:
    """Return how much of a bundle a transaction takes at most."""
    # What cannot be compressed is stored: 5 bytes more for each 16 KiB or less.
    return _LENGTH_BYTES + len(raw) + 5 * (1 + len(raw) // (16 << 10))


def decode_bundle(bundle: bytes, *, most: int = MAX_TRANSACTIONS) -> list[bytes]:
    """Return the transactions of a bundle; what they are is not looked at.

    Args:
        bundle: its bytes.
        most: how many it may hold. A few bytes may become very many; the rest is not taken apart.

    Raises:
        MalformedError: it holds none or too many, is more than 8 MiB, or does not end where the last one ends.
    """
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(bundle, MAX_BUNDLE_BYTES)
    except zlib.error:
        data = b""
    if not stream.eof or stream.unused_data:
        raise MalformedError("not a bundle of transactions")
    transactions: list[bytes] = []
    offset, end = 0, len(data)
    while offset < end:
        start = offset + _LENGTH_BYTES
        offset = start + int.from_bytes(data[offset:start], "big")
        if offset == start or offset > end:
            raise MalformedError("not a bundle of transactions")
        if len(transactions) == most:
            raise MalformedError(f"a bundle of more than {most} transactions")
        transactions.append(data[start:offset])
    if not transactions:
        raise MalformedError("a bundle without transactions")
    return transactions
