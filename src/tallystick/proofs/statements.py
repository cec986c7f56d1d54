"""Signed statements about the history: that it has a root at a size.

Three kinds: a member's signature of a checkpoint, its cosignature, and a header by one that orders, opened to its roots.
Two that cannot both be true make a fork proof (see `forks`).
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from tallystick.keys import ED25519, Signer
from tallystick.merkle import EMPTY_ROOT
from tallystick.proofs.checkpoints import Cosignature, checkpoint_body, verify_cosignature
from tallystick.proofs.failures import ForkProofError
from tallystick.proofs.forms import Natural
from tallystick.proofs.headers import Header, HeaderSignature, app_hash, check_header, verify_signature
from tallystick.proofs.hexadecimal import HASH_BYTES, SIGNATURE_BYTES, unhex
from tallystick.proofs.trust import TrustFile


class CheckpointStatement(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="checkpoint"
):
    """A member's plain signature (note type 0x01) of a checkpoint."""

    organisation: str
    root: str
    signature: str
    size: Natural


class CosignatureStatement(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="cosignature"
):
    """A member's cosignature (note type 0x04) of a checkpoint; `time` in seconds."""

    organisation: str
    root: str
    signature: str
    size: Natural
    time: Natural


class HeaderStatement(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="header"
):
    """A header signed by one that orders, opened to the roots and the size behind its app hash."""

    header: Header
    organisation: str
    root: str
    signature: str
    size: Natural
    state_root: str


Statement: TypeAlias = CheckpointStatement | CosignatureStatement | HeaderStatement


def checkpoint_statement(chain: str, size: int, root: bytes, *, organisation: str, signer: Signer) -> Statement:
    """Sign a checkpoint and return it as a statement."""
    signature = signer.sign(checkpoint_body(chain, size, root)).hex()
    return CheckpointStatement(organisation=organisation, root=root.hex(), signature=signature, size=size)


def cosignature_statement(size: int, root: bytes, cosignature: Cosignature) -> Statement:
    """Return a cosignature as a statement."""
    return CosignatureStatement(
        organisation=cosignature.organisation,
        root=root.hex(),
        signature=cosignature.signature,
        size=size,
        time=cosignature.time,
    )


def header_statement(
    header: Header, signed: HeaderSignature, state_root: bytes, history_root: bytes, size: int
) -> HeaderStatement:
    """Return a signed header with what its app hash commits to as a statement."""
    return HeaderStatement(
        header=header,
        organisation=signed.organisation,
        root=history_root.hex(),
        signature=signed.signature,
        size=size,
        state_root=state_root.hex(),
    )


def check_statement(statement: Statement, trust: TrustFile) -> str:
    """Return the organisation that made a statement, after checking its signature.

    Raises:
        ForkProofError: it had no right to make it, or did not sign it.
        MalformedError: a root or signature is not hex of its length.
    """
    version = trust.version_at(statement.size)
    root = unhex(statement.root, HASH_BYTES)
    if statement.size == 0 and root != EMPTY_ROOT:
        raise ForkProofError("bad_statement", "an empty history has one root only")
    if isinstance(statement, HeaderStatement):
        header = check_header(statement.header)
        opened = app_hash(unhex(statement.state_root, HASH_BYTES), root, statement.size).hex()
        good = header.chain == trust.chain and header.app_hash == opened
        ordering = version.validators.get(statement.organisation)
        if not good or ordering is None or not verify_signature(header, statement.signature, ordering):
            raise ForkProofError(
                "bad_statement", f"the header is not by {statement.organisation}, which orders, or not of these roots"
            )
        return statement.organisation
    key = version.members.get(statement.organisation)
    if key is None:
        raise ForkProofError("bad_statement", f"{statement.organisation} was no member at size {statement.size}")
    body = checkpoint_body(trust.chain, statement.size, root)
    if isinstance(statement, CosignatureStatement):
        cosignature = Cosignature(
            organisation=statement.organisation, signature=statement.signature, time=statement.time
        )
        good = verify_cosignature(body, cosignature, key)
    else:
        good = ED25519.verify(key, body, unhex(statement.signature, SIGNATURE_BYTES))
    if not good:
        raise ForkProofError("bad_statement", f"the statement is not signed by {statement.organisation}")
    return statement.organisation
