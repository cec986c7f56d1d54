"""Byte ranges of HTTP (RFC 9110 section 14): one range of bytes; anything else is answered with the whole."""

from __future__ import annotations

from typing import NamedTuple

_DIGITS = frozenset("0123456789")


class UnsatisfiableError(ValueError):
    """The range begins behind the end."""


class ByteRange(NamedTuple):
    """What part is asked for.

    Attributes:
        start: offset of the first byte.
        end: offset after the last.
        partial: whether it was asked for as a range.
    """

    start: int
    end: int
    partial: bool


def wanted_range(header: str | None, if_range: str | None, tag: str, size: int) -> ByteRange:
    """Return what part of a thing of `size` bytes is asked for.

    A header that is malformed, of another unit or of several ranges is ignored, as the RFC allows; so is a range that
    holds only for another version of the thing.

    Args:
        header: value of Range.
        if_range: value of If-Range.
        tag: the thing's entity tag.
        size: its bytes, at least one.

    Raises:
        UnsatisfiableError: the range holds no byte of it.
    """
    whole = ByteRange(0, size, False)
    if header is None or (if_range is not None and if_range != tag):
        return whole
    unit, equals, span = header.partition("=")
    first, dash, last = span.strip().partition("-")
    if unit.strip().lower() != "bytes" or not equals or not dash or len(span) > 40:
        return whole
    if not _DIGITS.issuperset(first + last) or not first + last:
        return whole
    if not first:
        count = min(int(last), size)
        if count == 0:
            raise UnsatisfiableError
        return ByteRange(size - count, size, True)
    start = int(first)
    if last and int(last) < start:
        return whole
    if start >= size:
        raise UnsatisfiableError
    return ByteRange(start, min(int(last) + 1, size) if last else size, True)
