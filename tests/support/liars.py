"""Nodes that lie: a server with a member's own TLS key that answers other nodes whatever a test tells it to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tallystick.codec import encode_json
from tallystick.keys import OpenKeys, Signer
from tallystick.machine import Block, State, build_transaction, execute_block
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.modules.organisations.queries import get_zone, ordering
from tallystick.node.homes import Home
from tallystick.node.peers.client import MSGPACK_TYPE
from tallystick.node.peers.directory import Directory
from tallystick.node.peers.heads import read_head
from tallystick.node.peers.identity import open_identity
from tallystick.node.peers.messages import Head, SignedBlock, encode_block, encode_list
from tallystick.node.peers.server import Answer, Call, Endpoint, PeerServer
from tallystick.proofs.headers import (
    Header,
    decode_header,
    decode_signatures,
    encode_header,
    encode_signatures,
    header_hash,
    sign_header,
    transactions_root,
)
from tallystick.store import LedgerStore


class Liar:
    """Answers as a member's node.

    Attributes:
        blocks: what it gives, as if they were all that there are.
        asked: heights that blocks were asked from, in order.
        address: where it listens.
    """

    def __init__(
        self,
        home: Home,
        keys: OpenKeys,
        blocks: Sequence[SignedBlock],
        head: Callable[[Head], Head] = lambda head: head,
    ) -> None:
        """Prepare.

        Args:
            home: of the member; its copy says who is who.
            keys: the member's, unlocked.
            blocks: to give; the first has height 1.
            head: makes the head that it shows out of the one that its copy has.
        """
        self.blocks = list(blocks)
        self.asked: list[int] = []
        self.address = ""
        self._home = home
        self._head = head
        self._store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
        identity = open_identity(keys, home.settings.node.organisation)
        self._server = PeerServer(identity.server_context(), Directory(self._store), self._endpoints())

    def _endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/blocks", self._give),
            Endpoint("GET", "/head", self._show),
            Endpoint("POST", "/cosignatures", self._show, most=1 << 21),
            Endpoint("GET", "/forks", self._nothing),
            Endpoint("POST", "/forks", self._nothing, most=1 << 24),
            Endpoint("GET", "/notes", self._nothing),
        ]

    async def _give(self, call: Call) -> Answer:
        start = call.number("from", 0, 2**53)
        self.asked.append(start)
        given = self.blocks[start - 1 : start - 1 + call.number("limit", 100, 1_000)]
        return Answer(b"".join(encode_block(*block) for block in given), "application/octet-stream")

    async def _show(self, call: Call) -> Answer:
        return Answer(encode_json(self._head(read_head(self._store, self._home))))

    async def _nothing(self, call: Call) -> Answer:
        return Answer(encode_list([]), MSGPACK_TYPE)

    async def __aenter__(self) -> Liar:
        await self._server.start("127.0.0.1:0")
        self.address = f"127.0.0.1:{self._server.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()
        self._store.close()


def blocks_of(home: Home) -> list[SignedBlock]:
    """Return all blocks of a home."""
    store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
    try:
        return [SignedBlock(block.header, block.signatures, list(block.transactions)) for block in store.blocks(1)]
    finally:
        store.close()


def resigned(
    block: SignedBlock, signer: Signer, transactions: list[bytes] | None = None, **changes: Any
) -> SignedBlock:
    """Return a block with another header or other transactions, signed again.

    Args:
        block: the true one.
        signer: who signs.
        transactions: instead of its own; their root goes into the header.
        changes: other fields of the header.
    """
    if transactions is not None:
        changes = {"transactions_root": transactions_root(transactions).hex()} | changes
    header = msgspec.structs.replace(decode_header(block.header), **changes)
    name = decode_signatures(block.signatures)[0].organisation
    signatures = encode_signatures([sign_header(header, name, signer)])
    return SignedBlock(encode_header(header), signatures, block.transactions if transactions is None else transactions)


def next_block(
    home: Home, signer: Signer, transactions: Sequence[bytes], time: int, *, by: str | None = None
) -> SignedBlock:
    """Return a block that continues a home's history in every respect, signed; the home does not get it.

    Args:
        home: whose core does not run.
        signer: the orderer's.
        transactions: of the block.
        time: of the block, ms.
        by: who signs; by default the one that orders.
    """
    store = LedgerStore(home.ledger_path, rulebook())
    try:
        state = store.load_state()
        block = Block(state.height + 1, time, tuple(transactions))
        result = execute_block(state, block, rulebook())
        header = Header(
            app_hash=result.app_hash.hex(),
            chain=state.chain,
            height=block.height,
            previous=store.last_header_hash().hex(),
            time=time,
            transactions_root=transactions_root(transactions).hex(),
        )
        (name,) = ordering(get_zone(State(store))) if by is None else (by,)
        signatures = encode_signatures([sign_header(header, name, signer)])
        return SignedBlock(encode_header(header), signatures, list(transactions))
    finally:
        store.close()


def hash_of(block: SignedBlock) -> str:
    """Return the hash of a block's header, hex."""
    return header_hash(decode_header(block.header)).hex()


def evidence_of(home: Home, keys: OpenKeys, root: str, *, time: int, seen: tuple[int, bytes] | None = None) -> bytes:
    """Return a transaction that records evidence, signed by a home's organisation.

    Args:
        home: of the author.
        keys: its keys.
        root: of the evidence, hex; makes the transaction another one.
        time: now, ms.
        seen: the history that the author saw; by default its copy's.
    """
    store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
    last = store.last_block()
    genesis = store.genesis_hash
    store.close()
    assert last is not None
    size, history_root = seen or (last.size, last.history_root)
    signer = keys.signer("service")
    return build_transaction(
        [RecordEvidence(root=root, count=1)],
        organisation=home.settings.node.organisation,
        key=signer.public_key,
        sign=signer.sign,
        external_aad=genesis,
        expires=time + 600_000,
        nonce=root[:32],
        seen_size=size,
        seen_root=history_root,
    )
