"""Salted commitments, as verifiers need them; the maths is in `tallystick.merkle.commitments`."""

from tallystick.merkle.commitments import (
    Disclosure,
    LeafSalts,
    commit_fields,
    commit_hashes,
    commitment_leaf,
    disclose,
    disclose_field,
    field_hash,
    leaf,
    leaf_salt,
    verify_disclosure,
    verify_field,
    verify_fields,
)

__all__ = [
    "Disclosure",
    "LeafSalts",
    "commit_fields",
    "commit_hashes",
    "commitment_leaf",
    "disclose",
    "disclose_field",
    "field_hash",
    "leaf",
    "leaf_salt",
    "verify_disclosure",
    "verify_field",
    "verify_fields",
]
