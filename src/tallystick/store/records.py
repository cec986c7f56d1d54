"""Records: the state as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tallystick.store.opening import OpenLedger

_CACHED_RECORDS = 20_000


class Records(OpenLedger):
    """Reads records (`machine.Reader`); who writes keeps those that were read last."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        super().__init__(path, read_only=read_only)
        self._cache: dict[tuple[str, str], bytes | None] = {}
        self._caching = not read_only

    def read(self, collection: str, key: str) -> bytes | None:
        """Return the canonical bytes of a record, or None (`machine.Reader`)."""
        where = (collection, key)
        if self._caching and where in self._cache:
            return self._cache[where]
        row = self._connection.execute("SELECT value FROM records WHERE collection = ? AND key = ?", where).fetchone()
        value = None if row is None else row[0].encode()
        if self._caching and value is not None:
            if len(self._cache) >= _CACHED_RECORDS:
                self._cache.clear()
            self._cache[where] = value
        return value

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield (key, bytes) of the keys that start with `prefix`, in order of their UTF-8 bytes (`machine.Reader`)."""
        # SQLite's BINARY collation compares UTF-8 bytes; U+10FFFF ends every key with the prefix.
        rows = self._connection.execute(
            "SELECT key, value FROM records WHERE collection = ? AND key >= ? AND key < ? ORDER BY key",
            (collection, prefix, prefix + "\U0010ffff"),
        )
        for key, value in rows:
            yield key, value.encode()

    def all_records(self) -> Iterator[tuple[str, str, bytes]]:
        """Yield every record as (collection, key, bytes), in order of collection and key."""
        for collection, key, value in self._connection.execute(
            "SELECT collection, key, value FROM records ORDER BY collection, key"
        ):
            yield collection, key, value.encode()
