"""Who validates, as the ledger says: the difference that a block makes to the engine's set of validators.

Which records name the validators is for a module to say; this room asks through a Protocol.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from tallystick.machine import BlockResult, Reader, State
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.generated import crypto_keys_pb2 as keys

Powers = Mapping[bytes, int]
"""Ed25519 consensus keys with their power, which is above zero."""


class ValidatorSource(Protocol):
    """Reads from the state who validates, and who did."""

    @property
    def collections(self) -> frozenset[str]:
        """The collections that the answer depends on."""

    def validators(self, state: State, height: int) -> Powers:
        """Return who votes on the blocks after one, as far as the engine was told with it; it may be in the past."""


class After:
    """Committed records with the writes of a block over them: the state after a block that is not on disk yet."""

    def __init__(self, reader: Reader, result: BlockResult) -> None:
        self._reader = reader
        self._writes = {(collection, key): value for collection, key, value in result.writes}

    def read(self, collection: str, key: str) -> bytes | None:
        """Return the bytes of a record, or None."""
        where = (collection, key)
        return self._writes[where] if where in self._writes else self._reader.read(collection, key)

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield (key, bytes) of the keys that start with `prefix`, in order of their UTF-8 bytes."""
        found: dict[str, bytes | None] = dict(self._reader.scan(collection, prefix))
        found.update(
            (key, value) for (name, key), value in self._writes.items() if name == collection and key.startswith(prefix)
        )
        for key in sorted(found, key=str.encode):
            value = found[key]
            if value is not None:
                yield key, value


def changes(source: ValidatorSource | None, reader: Reader, result: BlockResult) -> list[abci.ValidatorUpdate]:
    """Return what a block changes about the validators: new power for each, zero for those who leave; by key."""
    if source is None or source.collections.isdisjoint(result.written):
        return []
    height = result.block.height
    return difference(
        source.validators(State(reader), height - 1), source.validators(State(After(reader, result)), height)
    )


def difference(before: Powers, after: Powers) -> list[abci.ValidatorUpdate]:
    """Return what leads from some validators to others.

    A change that would leave nobody is not made: a chain without validators could never make another block.
    """
    if not after:
        return []
    keys_changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    return [update(key, after.get(key, 0)) for key in keys_changed]


def update(key: bytes, power: int) -> abci.ValidatorUpdate:
    """Return one validator as the engine is told of it."""
    return abci.ValidatorUpdate(pub_key=keys.PublicKey(ed25519=key), power=power)
