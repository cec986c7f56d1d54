"""Reading from this node's own copy what other nodes are told: the head, blocks, fork proofs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tallystick.errors import NotHeldError
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.node.homes import Home
from tallystick.node.peers.messages import (
    MAX_BLOCKS_BYTES,
    MAX_FORKS,
    Countersigned,
    Head,
    Witnessed,
    encode_block,
)
from tallystick.proofs.headers import decode_signatures
from tallystick.store import LedgerStore

RECENT_CHECKPOINTS = 4
RECENT_VERSIONS = 4
_MOST_SIGNATURES = 2_000
_RECENT_ANSWERS, _SHARED_BYTES = 4, 1 << 20


def read_head(store: LedgerStore, home: Home) -> Head:
    """Return what this node knows of the top of the history.

    Args:
        store: its copy.
        home: where the mark of a restored copy is.
    """
    last = store.last_block()
    notes = store.query("SELECT size, root, note FROM checkpoints ORDER BY size DESC LIMIT ?", (RECENT_CHECKPOINTS,))
    cosignatures = [
        Witnessed(organisation=name, root=root.hex(), signature=signature.hex(), size=size, time=time_s)
        for size, root, _ in notes
        for name, time_s, signature in store.cosignatures(size)
    ]
    trust = store.query(
        "SELECT version, organisation, signature FROM trust_signatures "
        "WHERE version > (SELECT max(version) FROM trust) - ? ORDER BY version DESC, organisation",
        (RECENT_VERSIONS,),
    )
    signatures = [
        Countersigned(organisation=name, signature=signature.hex(), version=version)
        for version, name, signature in trust
    ]
    return Head(
        height=0 if last is None else last.height,
        size=0 if last is None else last.size,
        root=(EMPTY_ROOT if last is None else last.history_root).hex(),
        checkpoints=tuple(note for _, _, note in notes),
        cosignatures=tuple(cosignatures[:_MOST_SIGNATURES]),
        trust_signatures=tuple(signatures[:_MOST_SIGNATURES]),
        forks=store.query("SELECT count(*) FROM forks")[0][0],
        restored=home.is_restored,
    )


def latest_checkpoint_size(store: LedgerStore) -> int:
    """Return the size of the largest checkpoint that this node holds; 0 where it holds none."""
    latest = store.latest_checkpoint()
    return 0 if latest is None else latest[0]


def recent_forks(store: LedgerStore) -> list[bytes]:
    """Return the first few fork proofs; one is enough to convince anybody."""
    return store.forks()[:MAX_FORKS]


class BlockReader:
    """Reads blocks on a thread, so that a node that catches up does not hold up the others.

    What is new is wanted by all that follow this node, at the same moment: it is read and encoded once. Blocks never
    change, so that what was read before is at worst shorter than what is there by now.
    """

    def __init__(self, path: Path) -> None:
        """Open the ledger for reading."""
        self._store = LedgerStore(path, rulebook(), read_only=True)
        self._lock = asyncio.Lock()
        # (start, limit) -> answer, of the last few since the history grew.
        self._recent: dict[tuple[int, int], bytes] = {}

    def grown(self) -> None:
        """Hear that there is more to read."""
        self._recent.clear()

    async def read(self, start: int, limit: int, needed: Callable[[int], int] = lambda _: 1) -> bytes:
        """Return encoded blocks from a height on: at least one if there is one, else as many as fit.

        Args:
            start: height of the first.
            limit: at most so many.
            needed: tells for a height without how many signatures that block, and those after it, do not go out yet.

        Raises:
            NotHeldError: this copy began later, and older blocks have not come yet.
        """
        async with self._lock:
            known = self._recent.get((start, limit))
            if known is not None:
                return known
            found = await asyncio.to_thread(self._read, start, limit, needed)
            # What somebody catches up with is long, and nobody else's.
            if 0 < len(found) <= _SHARED_BYTES:
                self._recent[start, limit] = found
                while len(self._recent) > _RECENT_ANSWERS:
                    del self._recent[next(iter(self._recent))]
            return found

    def _read(self, start: int, limit: int, needed: Callable[[int], int]) -> bytes:
        parts: list[bytes] = []
        total = 0
        base = self._store.base
        if base is not None and start <= base.height:
            raise NotHeldError(
                f"blocks up to {base.height} are not held by this node yet",
                remedy="Ask another member's node for them.",
            )
        for block in self._store.blocks(start, start + limit - 1):
            least = needed(block.height)
            if least > 1 and len(decode_signatures(block.signatures)) < least:
                break
            data = encode_block(block.header, block.signatures, block.transactions)
            if parts and total + len(data) > MAX_BLOCKS_BYTES:
                break
            parts.append(data)
            total += len(data)
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._store.close()
