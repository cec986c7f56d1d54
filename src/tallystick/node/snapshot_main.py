"""Taking a snapshot, in a process of its own: `python -m tallystick.node.snapshot_main HOME`.

It reads the ledger as it is now in one SQL read, while the core goes on writing, and needs no key.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import closing
from pathlib import Path

import structlog

from tallystick.errors import NodeError, PeerError
from tallystick.machine import Beginning
from tallystick.modules import rulebook
from tallystick.node.homes import Home
from tallystick.node.logs import set_up_logs
from tallystick.ordering.snapshots import write_snapshot
from tallystick.proofs.headers import decode_signatures, quorum
from tallystick.store import LedgerStore, TileLog
from tallystick.store.snapshot import LedgerSnapshots

log = structlog.get_logger("snapshot")
_SEAL_SECONDS = 15.0
_LOOK_SECONDS = 0.05
# The node's own work goes first.
_NICENESS = 5


def take_snapshot(home: Home) -> int:
    """Write a snapshot of a home's ledger into its folder `snapshots`; return its height.

    Raises:
        NodeError: there is no block yet, or its header is not signed by enough of those who order.
        OSError: the disk refuses.
    """
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        tiles = TileLog(home.log_path)
        with LedgerSnapshots(store, tiles.read).reading() as reading:
            begins = reading.beginning
            made = write_snapshot(
                home.snapshots_path,
                reading.records,
                lambda: _sealed(home, store, begins),
                chain=store.chain,
                genesis=store.genesis_hash.hex(),
            )
    return made.height


def _sealed(home: Home, store: LedgerStore, begins: Beginning) -> Beginning:
    """Return where the snapshot begins with enough signatures; others' may still be on their way.

    Raises:
        PeerError: they do not come.
    """
    versions = [version for version in home.read_trust().versions if version.height < begins.height]
    needed = quorum(len(versions[-1].validators))
    deadline = time.monotonic() + _SEAL_SECONDS
    while time.monotonic() < deadline:
        block = store.head_at(begins.height)
        if block is not None and len(decode_signatures(block.signatures)) >= needed:
            return begins._replace(signatures=block.signatures)
        time.sleep(_LOOK_SECONDS)
    raise PeerError(
        f"block {begins.height} is not signed by {needed} of those who order", remedy="Ask again once they are back."
    )


def main() -> int:
    """Take one; return the exit code."""
    try:
        home = Home(Path(sys.argv[1]))
        set_up_logs(home.settings.log)
        os.nice(_NICENESS)
        height = take_snapshot(home)
    except NodeError as error:
        log.error("snapshot_not_taken", message=error.message, remedy=error.remedy)
        return 3
    except OSError as error:
        log.error("snapshot_not_taken", message=str(error), remedy="Free disk space.")
        return 3
    log.info("snapshot_taken", height=height)
    return 0


if __name__ == "__main__":
    sys.exit(main())
