"""Publishing the history as it grows: tiles under `log/`, and a signed checkpoint where this node orders.

Tiles are derived from the ledger and written behind it: a disk that refuses them stops no block. The checkpoint in
`log/` comes after the tiles that it speaks of.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import structlog

from tallystick.errors import StorageError
from tallystick.node.core_copy import Copy, Signed, Tell

log = structlog.get_logger("core")
# At least so long between two checkpoints, and longer in a large zone: each is compared, kept and cosigned by every member.
ALONE_SECONDS = 0.25
TOGETHER_SECONDS = 0.5
SECONDS_A_MEMBER = 0.04


class Publishing:
    """Writes one copy's history under `log/`."""

    def __init__(self, copy: Copy, signed: Signed, *, tell: Tell) -> None:
        """Take up what is published.

        Args:
            copy: this node's.
            signed: what the members have signed about it.
            tell: tells news; of each checkpoint that this node signs.
        """
        self._copy = copy
        self._store = copy.store
        self._tiles = copy.tiles
        self._signed = signed
        self._tell = tell
        self._leaves: list[bytes] = []
        self._published = self._store.latest_checkpoint()
        # Size of the checkpoint in `log/`; written again at each start.
        self._written = -1
        self._grown = asyncio.Event()
        self._signed_at = -math.inf

    def grew(self, leaves: Sequence[bytes]) -> None:
        """Take the leaves of a block that is on disk."""
        self._leaves += leaves
        self._grown.set()

    def wake(self) -> None:
        """Look again at what there is to publish."""
        self._grown.set()

    async def run(self) -> None:
        """Write tiles as the history grows and, where this node orders, sign a checkpoint of it; never return."""
        while True:
            await self._grown.wait()
            self._grown.clear()
            leaves, self._leaves = self._leaves, []
            last = self._store.last_block()
            sealed = self._store.head_at(self._signed.seals.sealed)
            try:
                await asyncio.to_thread(self._write_tiles, leaves, last.size if last else 0)
                published = self._published[0] if self._published else 0
                new = sealed is not None and published < sealed.size and self._ordered_at(sealed.size)
                if sealed is not None and new and self._is_time():
                    # Who was away may come upon an empty block first; a checkpoint is of the first block of its size.
                    first = self._store.block_of_size(sealed.size) or sealed
                    note = self._signed.witness.publish(first.size, first.history_root, first.height)
                    self._published = self._store.latest_checkpoint()
                    self._tell("checkpoint", note)
                self._write_checkpoint()
            except StorageError as error:
                log.error("publishing_failed", message=error.message, remedy=error.remedy)
                self._grown.set()
                await asyncio.sleep(1)
            await asyncio.sleep(TOGETHER_SECONDS if self._copy.part == "validator" else ALONE_SECONDS)

    def _is_time(self) -> bool:
        """Tell whether another checkpoint may be signed now; else this is asked again when it may."""
        loop = asyncio.get_running_loop()
        wait_s = self._signed_at + SECONDS_A_MEMBER * len(self._signed.trust.derived.latest.members) - loop.time()
        if wait_s > 0:
            loop.call_later(wait_s, self._grown.set)
            return False
        self._signed_at = loop.time()
        return True

    def _ordered_at(self, size: int) -> bool:
        """Tell whether this node orders, and did at a size of the history: a seat counts from the next size on."""
        copy = self._copy
        return copy.orders and copy.organisation in self._signed.trust.derived.version_at(size).validators

    def _write_tiles(self, leaves: list[bytes], size: int) -> None:
        if self._tiles.broken:
            self._tiles.resume(size, self._store.leaves, begin=self._store.base_edge())
            return
        self._tiles.append(leaves)
        self._tiles.flush()

    def _write_checkpoint(self) -> None:
        """Put the latest signed checkpoint into `log/`, for tools that read it, once the tiles are as far."""
        latest = self._store.latest_checkpoint()
        if latest is None or latest[0] <= self._written or latest[0] > self._tiles.size:
            return
        if self._tiles.write_checkpoint(latest[3]):
            self._written = latest[0]
