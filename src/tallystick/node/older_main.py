"""Executing older blocks, in a process of its own: `python -m tallystick.node.older_main HOME`.

It reads batches of blocks from standard input, each batch behind its length (4 bytes, big-endian), from the first block
that it lacks on, and answers each with one line of JSON: the height that it has reached, and why it went no further. The
line that it begins with tells the height from a run before. Every block is checked as any replica checks it; the copy
that this node serves is not touched, and the core puts the rows there once they have come to the block it began from.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import structlog

from tallystick.codec import MalformedError
from tallystick.errors import NodeError
from tallystick.machine import BlockResult, State
from tallystick.modules import genesis_writes, rulebook
from tallystick.modules.organisations.queries import validators
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home
from tallystick.node.logs import set_up_logs
from tallystick.node.older import COMPLETE
from tallystick.node.peers.messages import decode_blocks
from tallystick.ordering import InlineVerifier, Replica, ReplicaError
from tallystick.store import LedgerStore, TileLog
from tallystick.store.base import Base

log = structlog.get_logger("older")
_NICENESS = 10


class OlderReplay:
    """A ledger beside the ledger, from the first block to the one that this copy began from."""

    def __init__(self, home: Home) -> None:
        """Take up what a run before has left.

        Raises:
            NodeError: this copy has everything, or the files cannot be used.
        """
        self._home = home
        with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as ledger:
            base = ledger.base
            self._base: Base | None = base
            self._last_header = b""
            if base is not None:
                block = ledger.head_at(base.height)
                self._last_header = b"" if block is None else block.header
            path = home.older_path / "ledger.db"
            path.parent.mkdir(exist_ok=True)
            if not path.exists():
                genesis = ledger.genesis
                LedgerStore.create(
                    path, rulebook(), chain=ledger.chain, genesis=genesis, records=genesis_writes(genesis)
                )
        self._store = LedgerStore(path, rulebook())
        self._tiles = TileLog(home.older_path / "log")
        last = self._store.last_block()
        self._tiles.resume(last.size if last else 0, self._store.leaves, last.history_root if last else None)
        state = self._store.load_state(
            self._tiles.frontier(), max_cached_bytes=home.settings.ledger.state_cache_mib << 20
        )
        self._replica = Replica(
            state,
            self._store,
            rulebook(),
            InlineVerifier(),
            validators=lambda: {each.organisation: bytes.fromhex(each.key) for each in validators(State(self._store))},
            clock_ms=lambda: time.time_ns() // 1_000_000,
            previous=self._store.last_header_hash(),
            on_block=self._made,
        )

    @property
    def height(self) -> int:
        """Of the last block that was executed."""
        return self._replica.state.height

    def _made(self, result: BlockResult, header: bytes, signatures: bytes) -> None:
        self._tiles.append(result.leaves)

    async def take(self, batch: bytes) -> str:
        """Execute blocks; return why not all of them were taken, or "".

        Raises:
            NodeError: the disk refuses.
        """
        try:
            blocks = decode_blocks(batch)
        except MalformedError as error:
            return error.reason
        for left, block in zip(range(len(blocks) - 1, -1, -1), blocks, strict=True):
            if self.complete:
                break
            try:
                await self._replica.apply(*block, synced=left == 0)
            except ReplicaError as error:
                return error.message
        self._tiles.flush()
        if self.complete:
            return self._finish()
        return ""

    @property
    def complete(self) -> bool:
        """Whether it has come to the block that this copy began from."""
        return self._base is not None and self.height >= self._base.height

    def _finish(self) -> str:
        """Mark all of it as complete, if it is this copy's past."""
        last = self._store.last_block()
        if last is None or last.header != self._last_header:
            return "the older blocks lead to another block than the one that this copy began from"
        write_atomically(self._home.older_path / COMPLETE, b"")
        return ""

    def close(self) -> None:
        """Close the files; the write-ahead log is put into the file, for another process to read."""
        self._store.close()


async def serve(home: Home, questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer batches until the other side closes, or all is there."""
    replay = OlderReplay(home)

    def tell(refused: str = "") -> None:
        line = {"complete": replay.complete, "height": replay.height, "refused": refused}
        answers.write(json.dumps(line).encode() + b"\n")
        answers.flush()

    try:
        if replay.complete:
            replay._finish()
        tell()
        while head := questions.read(4):
            tell(await replay.take(questions.read(int.from_bytes(head, "big"))))
    finally:
        replay.close()


def main() -> int:
    """Serve; return the exit code."""
    try:
        home = Home(Path(sys.argv[1]))
        set_up_logs(home.settings.log)
        os.nice(_NICENESS)
        asyncio.run(serve(home, sys.stdin.buffer, sys.stdout.buffer))
    except NodeError as error:
        log.error("older_blocks_stopped", message=error.message, remedy=error.remedy)
        return 3
    except BrokenPipeError:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
