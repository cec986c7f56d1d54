"""What a decided block is to the ledger: its result, the zone's header, and what it says of validators."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from tallystick.codec.bundles import Bundle
from tallystick.machine import Block, BlockResult, TransactionResult
from tallystick.ordering.cometbft.generated import abci_pb2 as abci


class Sealed(NamedTuple):
    """The zone's header of a block, and this node's signature under it.

    Attributes:
        header: canonical bytes.
        signatures: canonical JSON, `proofs.headers.encode_signatures`.
    """

    header: bytes
    signatures: bytes


class Misbehaviour(NamedTuple):
    """What the engine found a validator guilty of.

    Attributes:
        kind: `duplicate_vote` or `light_client_attack`.
        validator: address, hex.
        height: where it happened.
        power: of the validator.
    """

    kind: str
    validator: str
    height: int
    power: int


class Executed(NamedTuple):
    """A decided block that was executed and is not on disk.

    Attributes:
        result: what it did, with all transactions of the engine's block.
        bundles: those of the engine's block.
        misbehaviour: what the block says of validators.
    """

    result: BlockResult
    bundles: Sequence[Bundle]
    misbehaviour: tuple[Misbehaviour, ...]


class Committed(NamedTuple):
    """A block that is on disk, for listeners.

    Attributes:
        result: what it did, with the transactions that reached the history alone.
        sealed: its header.
        decided: one for each transaction of the engine's block, refused ones included.
    """

    result: BlockResult
    sealed: Sealed
    decided: Sequence[TransactionResult]


def without_refused(result: BlockResult) -> BlockResult:
    """Return a result without the transactions that left nothing on the history."""
    if all(done.refused is None for done in result.results):
        return result
    both = zip(result.block.transactions, result.results, strict=True)
    kept = [(raw, done) for raw, done in both if done.refused is None]
    block = Block(result.block.height, result.block.time, tuple(raw for raw, _ in kept))
    return dataclasses.replace(result, block=block, results=[done for _, done in kept])


def milliseconds(time: Timestamp) -> int:
    """Return the time of an engine's block as the ledger has it."""
    return time.seconds * 1_000 + time.nanos // 1_000_000


def misbehaviour_in(found: Sequence[abci.Misbehavior]) -> tuple[Misbehaviour, ...]:
    """Return what a block says of validators."""
    kinds = {abci.DUPLICATE_VOTE: "duplicate_vote", abci.LIGHT_CLIENT_ATTACK: "light_client_attack"}
    return tuple(
        Misbehaviour(kinds.get(item.type, "unknown"), item.validator.address.hex(), item.height, item.validator.power)
        for item in found
    )
