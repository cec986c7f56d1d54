"""Rehearse a fraud: one of several that order signs another history, and shows it to a member's node.

Whoever holds a validator's keys could write this in an afternoon, so it is no secret; it is here that a zone can see
what becomes of it (`tally demo --validators 4`). What is forged is as good as one validator alone can make it: every
signature, hash and path is right, and only the signatures of the others are missing. It cannot put words into another
member's mouth, for each operation bears its author's signature: it leaves one out and puts its own in that place.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import closing
from typing import NamedTuple

import msgspec

from tallystick.codec import sha256
from tallystick.errors import PeerError, UsageError
from tallystick.keys import OpenKeys
from tallystick.machine import build_transaction, decode_transaction
from tallystick.merkle import path_in, tree_root
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.node.homes import Home, open_keys
from tallystick.node.peers.clients import PeerClients
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.heads import read_head
from tallystick.node.peers.identity import open_identity
from tallystick.node.peers.messages import HeaderSigned
from tallystick.proofs.checkpoints import sign_checkpoint
from tallystick.proofs.headers import app_hash, decode_header, decode_signatures, sign_header, transactions_root
from tallystick.proofs.receipts import build_receipt
from tallystick.proofs.transactions import history_leaf
from tallystick.store import LedgerStore

_EXPIRES_MS = 600_000


class OtherHistory(NamedTuple):
    """A history that one validator alone has signed.

    Attributes:
        height: of the block that is another one.
        size: of the history after it.
        root: of that history.
        header_signature: under the other header of that height, hex.
        checkpoint: of that history, signed.
        receipt: of the operation that is in it in another's place.
    """

    height: int
    size: int
    root: bytes
    header_signature: str
    checkpoint: bytes
    receipt: bytes


class Reaction(NamedTuple):
    """What a node that was shown another history did.

    Attributes:
        signature_kept: whether it counts the signature under the other header.
        forks: the fork proofs that it gives to anybody who asks.
    """

    signature_kept: bool
    forks: tuple[bytes, ...]


def sign_other_history(home: Home, passphrase: str, leaf: int) -> OtherHistory:
    """Sign, with a validator's real keys, a history that differs from the zone's in one operation.

    Args:
        home: of the validator.
        passphrase: of its keys.
        leaf: place of the operation that is replaced; the last one of its block.

    Raises:
        UsageError: there is no such operation, or it is not the last one of its block.
    """
    keys = open_keys(home, passphrase)
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        replaced = store.find_operation(leaf)
        block = None if replaced is None else store.find_block(replaced.height)
        if block is None or block.size != leaf + 1:
            raise UsageError(f"entry {leaf} is not the last of a block", remedy="Choose another one.")
        before = list(store.leaves(0, leaf))
        organisation = home.settings.node.organisation
        transaction = _own_transaction(store, keys, organisation, block.time, before)
    decoded = decode_transaction(transaction, store.genesis_hash)
    entry = history_leaf(block.height, 0, sha256(decoded.operations[0]), 0, block.time, decoded.id.hex())
    leaves = [*before, entry]
    root = tree_root(leaves)
    header = msgspec.structs.replace(
        decode_header(block.header),
        app_hash=app_hash(block.state_root, root, block.size).hex(),
        transactions_root=transactions_root([transaction]).hex(),
    )
    system = keys.signer("system")
    signed = sign_header(header, organisation, system)
    receipt = build_receipt(
        transaction=transaction,
        index=0,
        outcome=0,
        height=block.height,
        time=block.time,
        leaf_index=leaf,
        size=block.size,
        path=path_in(leaves, leaf),
        state_root=block.state_root,
        header=header,
        header_signatures=[signed],
    )
    checkpoint = sign_checkpoint(header.chain, block.size, root, organisation=organisation, signer=system)
    return OtherHistory(block.height, block.size, root, signed.signature, checkpoint, receipt)


def show_other_history(home: Home, passphrase: str, other: OtherHistory, to: str) -> Reaction:
    """Connect to a member's node as the validator's own node does, and show it another history.

    Args:
        home: of the validator.
        passphrase: of its keys.
        other: the history.
        to: the member.

    Raises:
        PeerError: that node does not answer.
    """
    return asyncio.run(_show(home, open_keys(home, passphrase), other, to))


async def _show(home: Home, keys: OpenKeys, other: OtherHistory, to: str) -> Reaction:
    organisation = home.settings.node.organisation
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        clients = PeerClients(open_identity(keys, organisation), Directory(store), myself=organisation)
        try:
            client = await clients.of(to)
            if client is None:
                raise PeerError(f"{to} has no address to connect to", remedy="Choose another member.")
            signed = HeaderSigned(height=other.height, organisation=organisation, signature=other.header_signature)
            await client.give_header_signatures((signed,))
            mine = read_head(store, home)
            await client.exchange(msgspec.structs.replace(mine, checkpoints=(other.checkpoint.decode(),)))
            known = await client.header_signatures(other.height)
            return Reaction(signed in known, tuple(await client.forks()))
        finally:
            await clients.close()


def signs_block(home: Home, height: int, organisation: str) -> bool:
    """Tell whether a copy has an organisation's signature under the block of a height."""
    with closing(LedgerStore(home.ledger_path, rulebook(), read_only=True)) as store:
        block = store.head_at(height)
        return block is not None and any(
            each.organisation == organisation for each in decode_signatures(block.signatures)
        )


def _own_transaction(store: LedgerStore, keys: OpenKeys, organisation: str, time_ms: int, before: list[bytes]) -> bytes:
    """Return a transaction of the validator's own, as it would have been at the time of the block."""
    service = keys.signer("service")
    return build_transaction(
        [RecordEvidence(root=secrets.token_hex(32), count=1)],
        organisation=organisation,
        key=service.public_key,
        sign=service.sign,
        external_aad=store.genesis_hash,
        expires=time_ms + _EXPIRES_MS,
        nonce=secrets.token_hex(16),
        seen_size=len(before),
        seen_root=tree_root(before),
    )
