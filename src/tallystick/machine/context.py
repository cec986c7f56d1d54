"""What an operation may know besides the state: where it stands in the history, and who signed it."""

from __future__ import annotations

from typing import Any

import msgspec

from tallystick.codec import short_id
from tallystick.machine.parameters import Parameters
from tallystick.machine.schema import Collection
from tallystick.machine.state import State


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of one operation; the only source of time in the machine.

    Attributes:
        chain: chain id of the zone.
        height: of the block.
        time: block time, milliseconds since the epoch.
        organisation: who signed.
        key: the signing key, lower-case hex.
        roles: the roles that the key holds.
        transaction: id, 32 bytes.
        index: position of the operation in its transaction.
        parameters: what the zone agrees on at this height.
    """

    chain: str
    height: int
    time: int
    organisation: str
    key: str
    roles: tuple[str, ...]
    transaction: bytes
    index: int
    parameters: Parameters

    def new_id(self, state: State, collection: Collection[Any], prefix: str, length: int = 4) -> str:
        """Return an unused short id for this operation, lengthened by a character until it is free.

        Args:
            state: where it must be free.
            collection: where the record will be put.
            prefix: such as `req`.
            length: characters to begin with; more where many records are expected.
        """
        seed = self.transaction + self.index.to_bytes(4, "big")
        identifier = short_id(prefix, seed, length)
        while state.has(collection, identifier):
            length += 1
            identifier = short_id(prefix, seed, length)
        return identifier
