"""Times on the ledger are integers: milliseconds since 1970-01-01T00:00:00Z. These two turn them into text and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tallystick.codec.canonical import MalformedError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(time_ms: int) -> str:
    """Return `2024-05-01T12:00:00.000Z` for a ledger time.

    Raises:
        MalformedError: not within the years 1 to 9999; the ledger's integers reach further than calendars do.
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        raise MalformedError("a time beyond the year 9999") from None
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_iso_time(text: str) -> int:
    """Return the ledger time of an ISO 8601 text with an offset (`Z` or `+08:00`).

    Raises:
        MalformedError: not such a text.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedError("not an ISO 8601 time") from None
    if moment.tzinfo is None:
        raise MalformedError("a time needs an offset such as Z")
    return (moment - _EPOCH) // timedelta(milliseconds=1)
