"""Trees and proofs: the history's log, its tiles, and the state tree. Pure; README.md is the specification.

Rules of this room:

- It imports nothing but `errors` and `codec`, reads no clock and no file; where stored data is needed, the caller
  passes a function that reads it.
- Functions that verify return a verdict and never raise. Functions that build raise ValueError for a caller's mistake,
  and a NodeError where stored data is missing or damaged.
- How a tree is kept (buckets, caches, tiles) never affects a root or a proof.
"""

from tallystick.merkle.log import (
    EMPTY_ROOT,
    Frontier,
    consistency_path,
    inclusion_path,
    leaf_hash,
    node_hash,
    path_in,
    root_from_hashes,
    root_from_path,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from tallystick.merkle.state import StateTree, StateUpdate
from tallystick.merkle.state_buckets import BucketLoader, prefix_range
from tallystick.merkle.state_hash import EMPTY, state_key, state_leaf
from tallystick.merkle.state_proof import StateProof, verify_state_proof
from tallystick.merkle.tile_builder import Edge, TileBuilder
from tallystick.merkle.tiles import (
    TILE_WIDTH,
    Tile,
    TileFiles,
    TileReader,
    TileSource,
    decode_entries,
    encode_entries,
    entries_path,
    tile_path,
    tiles_for,
)

__all__ = [
    "EMPTY",
    "EMPTY_ROOT",
    "TILE_WIDTH",
    "BucketLoader",
    "Edge",
    "Frontier",
    "StateProof",
    "StateTree",
    "StateUpdate",
    "Tile",
    "TileBuilder",
    "TileFiles",
    "TileReader",
    "TileSource",
    "consistency_path",
    "decode_entries",
    "encode_entries",
    "entries_path",
    "inclusion_path",
    "leaf_hash",
    "node_hash",
    "path_in",
    "prefix_range",
    "root_from_hashes",
    "root_from_path",
    "state_key",
    "state_leaf",
    "tile_path",
    "tiles_for",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
    "verify_state_proof",
]
