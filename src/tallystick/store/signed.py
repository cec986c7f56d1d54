"""What others signed: checkpoints and who witnessed them, versions of the trust file, fork proofs."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.store.opening import OpenLedger

_KEPT_CHECKPOINTS = 2_000


class Signed(OpenLedger):
    """Reads and writes what does not follow from the blocks."""

    def add_checkpoint(self, size: int, root: bytes, height: int, note: str) -> None:
        """Keep a signed checkpoint; forget the oldest beyond a few thousand, which newer ones extend."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?, ?)", (size, root, height, note))
            oldest = connection.execute(
                "SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?", (_KEPT_CHECKPOINTS,)
            ).fetchone()
            if oldest is not None:
                connection.execute("DELETE FROM checkpoints WHERE size <= ?", oldest)
                connection.execute("DELETE FROM cosignatures WHERE size <= ?", oldest)

    def add_cosignature(self, size: int, organisation: str, time_s: int, signature: bytes) -> None:
        """Keep a verified cosignature of a checkpoint."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO cosignatures VALUES (?, ?, ?, ?)", (size, organisation, time_s, signature)
            )

    def checkpoints_from(self, size: int) -> Iterator[tuple[int, bytes, int, str]]:
        """Yield (size, root, height, note) of checkpoints of at least a size, smallest first."""
        yield from self._connection.execute(
            "SELECT size, root, height, note FROM checkpoints WHERE size >= ? ORDER BY size", (size,)
        )

    def latest_checkpoint(self) -> tuple[int, bytes, int, str] | None:
        """Return (size, root, height, note) of the largest checkpoint, or None."""
        row: tuple[int, bytes, int, str] | None = self._connection.execute(
            "SELECT size, root, height, note FROM checkpoints ORDER BY size DESC LIMIT 1"
        ).fetchone()
        return row

    def cosignatures(self, size: int) -> list[tuple[str, int, bytes]]:
        """Return (organisation, time in seconds, signature) of a checkpoint's cosignatures, by organisation."""
        return self._connection.execute(
            "SELECT organisation, time_s, signature FROM cosignatures WHERE size = ? ORDER BY organisation", (size,)
        ).fetchall()

    def trust_entries(self) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
        """Return (entry without signatures, [(organisation, signature)]) of every version of the trust file."""
        versions = self._connection.execute("SELECT version, entry FROM trust ORDER BY version").fetchall()
        return [
            (
                entry.encode(),
                self._connection.execute(
                    "SELECT organisation, signature FROM trust_signatures WHERE version = ? ORDER BY organisation",
                    (version,),
                ).fetchall(),
            )
            for version, entry in versions
        ]

    def add_trust(self, version: int, entry: bytes) -> None:
        """Keep a version of the trust file, without signatures."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO trust VALUES (?, ?)", (version, entry.decode()))

    def add_trust_signature(self, version: int, organisation: str, signature: bytes) -> None:
        """Keep a verified signature under a version of the trust file."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO trust_signatures VALUES (?, ?, ?)", (version, organisation, signature)
            )

    def add_fork(self, proof: bytes) -> None:
        """Keep a fork proof."""
        with self._transaction() as connection:
            connection.execute("INSERT OR IGNORE INTO forks(proof) VALUES (?)", (proof.decode(),))

    def forks(self) -> list[bytes]:
        """Return the fork proofs, oldest first."""
        rows = self._connection.execute("SELECT proof FROM forks ORDER BY id").fetchall()
        return [row[0].encode() for row in rows]
