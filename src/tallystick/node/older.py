"""Older blocks of a copy that began from a snapshot: from the file in which they were executed into the ledger.

`older_main` fetches nothing and executes everything: it is given blocks from the first on, checks each as any replica
does, and writes them to a ledger and a log of their own under `older/`. When that has come to the block that this copy
began from, and it is the same one, the mark `complete` is written, and the core puts the rows into `ledger.db`, a few at
a time (`OlderBlocks`). The tiles are moved before the last rows: with these the ledger says that it has everything.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import structlog

from tallystick.codec import MalformedError
from tallystick.errors import IntegrityError
from tallystick.machine import decode_transaction
from tallystick.node.homes import Home
from tallystick.store import LedgerStore
from tallystick.store.base import Base
from tallystick.store.older import OlderRows

log = structlog.get_logger("core")
COMPLETE = "complete"
_PARTIAL = ".p"


class OlderBlocks:
    """Puts older blocks into the ledger; used by the core alone."""

    def __init__(self, home: Home, store: LedgerStore) -> None:
        self._home = home
        self._store = store
        self._rows: OlderRows | None = None

    @property
    def ready(self) -> bool:
        """Whether all older blocks have been executed and lead to where this copy began."""
        return (self._home.older_path / COMPLETE).exists()

    def step(self) -> int:
        """Put in the next few blocks; return the height reached.

        Raises:
            StorageError: the disk refuses; the step is as good as not begun.
            IntegrityError: what was executed is not this ledger's past.
        """
        if self._rows is None:
            self._rows = OlderRows(self._store, self._home.older_path / "ledger.db")
            _move_tiles(self._home.older_path / "log", self._home.log_path)
        try:
            reached = self._rows.step()
        except IntegrityError:
            self._close()
            shutil.rmtree(self._home.older_path, ignore_errors=True)
            raise
        if self._store.base is None:
            self._close()
            log.info("older_blocks_complete", height=reached)
        return reached

    def _close(self) -> None:
        if self._rows is not None:
            self._rows.close()
        self._rows = None


def _move_tiles(source: Path, target: Path) -> None:
    """Move full tiles and bundles, which never change, to where they are missing."""
    for folder, _, files in os.walk(source / "tile"):
        where = Path(folder)
        if where.suffix == _PARTIAL:
            continue
        goal = target / where.relative_to(source)
        goal.mkdir(parents=True, exist_ok=True)
        for name in files:
            if name.isdigit() and not (goal / name).exists():
                shutil.copyfile(where / name, goal / f"{name}.new")
                (goal / f"{name}.new").replace(goal / name)


def find_other_history(store: LedgerStore, base: Base) -> tuple[str, int] | None:
    """Return (organisation, height) of a transaction whose author had seen another history before this copy began.

    What was included after that block and could not be compared then is compared now, once the older blocks are there.
    """
    for block in store.blocks(base.height + 1):
        for raw in block.transactions:
            try:
                seen = decode_transaction(raw, store.genesis_hash).payload
            except MalformedError:
                continue
            root = store.history_root(seen.seen.size) if seen.seen.size < base.size else b""
            if root is None or (root and root.hex() != seen.seen.root):
                return seen.organisation, block.height
    return None
