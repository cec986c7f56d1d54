"""The history as a node has it in `log/`: the hashes of its tree, and how far this node has signed it.

Hashes come from the tiles, and from the ledger for what is not in tiles yet.
"""

from __future__ import annotations

from tallystick.codec import MalformedError
from tallystick.errors import StorageError
from tallystick.merkle import TileReader, leaf_hash, root_from_hashes
from tallystick.merkle.log import Node
from tallystick.proofs.checkpoints import verify_checkpoint
from tallystick.store import LedgerStore, TileLog
from tallystick.store.tilelog import CHECKPOINT


def history_nodes(tiles: TileLog, store: LedgerStore, size: int) -> Node:
    """Return what gives the hash of a perfect subtree in the history of `size` entries.

    Tiles are written a moment after the block that they are of; nobody should have to wait for that to be shown a proof.
    """
    reader = TileReader(tiles.read, size)

    def node(level: int, index: int) -> bytes:
        try:
            return reader.node(level, index)
        except StorageError:
            leaves = store.leaves(index << level, (index + 1) << level)
            return root_from_hashes([leaf_hash(leaf) for leaf in leaves])

    return node


def published_size(tiles: TileLog, chain: str, organisation: str, system_key: bytes) -> int:
    """Return the size of the checkpoint in `log/` if this node's own key signed it; 0 where there is no such.

    It is written after the ledger. One that is larger than the ledger tells that the ledger has lost blocks: its file is
    an older copy, or a disk lost what it had acknowledged.
    """
    note = tiles.read(CHECKPOINT)
    if note is None:
        return 0
    try:
        return verify_checkpoint(note, chain, {organisation: system_key}).size
    except MalformedError:
        return 0
