"""Fork proofs out of a block that a replica refuses: the orderer included what its author had seen differently.

Such a block is never kept, so what the proof needs (the block's roots, the place of the transaction in its history) is
computed beside this copy's state and forgotten again.
"""

from __future__ import annotations

from collections.abc import Sequence

from tallystick.codec import MalformedError, sha256
from tallystick.machine import Block, BlockResult, LedgerState, TransactionResult, execute_block
from tallystick.merkle import EMPTY_ROOT, consistency_path, inclusion_path, leaf_hash, node_hash
from tallystick.merkle.log import Node, range_hash
from tallystick.modules import rulebook
from tallystick.node.history import history_nodes
from tallystick.proofs.forks import build_seen_fork
from tallystick.proofs.headers import decode_header, decode_signatures
from tallystick.proofs.statements import header_statement
from tallystick.proofs.transactions import split_transaction
from tallystick.store import LedgerStore, TileLog


def prove_seen_fork(
    state: LedgerState,
    store: LedgerStore,
    tiles: TileLog,
    header: bytes,
    signatures: bytes,
    transactions: Sequence[bytes],
) -> bytes | None:
    """Return the proof that the orderer included a transaction whose author had seen another history.

    Args:
        state: of this copy, after the block before.
        store: this copy.
        tiles: its log.
        header: of the refused block; its signatures, its place and its transactions are good.
        signatures: of it, by those who order; canonical JSON.
        transactions: of the block.

    Returns:
        the proof; None where all authors saw this history, or the header does not say what the block does: the
        orderer's signature then is under no history at all.
    """
    decoded = decode_header(header)
    try:
        result = execute_block(state, Block(decoded.height, decoded.time, tuple(transactions)), rulebook())
    except MalformedError:
        return None
    if result.app_hash.hex() != decoded.app_hash:
        return None
    found = next((done for done in result.results if _saw_another(store, done)), None)
    if found is None or found.transaction is None:
        return None
    node = _nodes_with(result, state.frontier.size, history_nodes(tiles, store, state.frontier.size))
    frame, operations = split_transaction(found.transaction.raw)
    seen = found.transaction.payload.seen
    statement = header_statement(
        decoded, decode_signatures(signatures)[0], result.state_root, result.history_root, result.size
    )
    below = seen.size <= found.first_leaf
    prefix_root = EMPTY_ROOT
    if below and seen.size:
        prefix_root = range_hash(0, seen.size, node)
    return build_seen_fork(
        state.chain,
        statement,
        transaction=frame,
        leaf={
            "height": decoded.height,
            "index": 0,
            "operation": sha256(operations[0]).hex(),
            "outcome": found.outcomes[0].code,
            "time": decoded.time,
        },
        leaf_index=found.first_leaf,
        leaf_path=inclusion_path(found.first_leaf, result.size, node),
        prefix_root=prefix_root if below else None,
        path=consistency_path(seen.size, result.size, node) if below and seen.size else (),
    )


def _saw_another(store: LedgerStore, done: TransactionResult) -> bool:
    """Tell whether a recorded transaction's author had seen another history than this copy's."""
    if done.transaction is None or done.refused is not None:
        return False
    seen = done.transaction.payload.seen
    root = store.history_root(seen.size)
    return root is None or root.hex() != seen.root


def _nodes_with(result: BlockResult, size: int, node: Node) -> Node:
    """Return what gives the hashes of the history with a block's leaves behind its first `size`."""
    fresh = [leaf_hash(leaf) for leaf in result.leaves]

    def combined(level: int, index: int) -> bytes:
        if (index + 1) << level <= size:
            return node(level, index)
        if level == 0:
            return fresh[index - size]
        return node_hash(combined(level - 1, 2 * index), combined(level - 1, 2 * index + 1))

    return combined
