"""What a whole zone agrees on: limits and the rules version, one record in the state."""

from __future__ import annotations

from typing import Annotated

import msgspec

from tallystick.machine.schema import Collection, Record

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]

PARAMETERS_KEY = "zone"


class Parameters(Record):
    """Limits of a zone; set by its genesis.

    Attributes:
        rules: version of the machine's rules.
        max_transaction_bytes: longer transactions are malformed.
        max_operations: operations in one transaction.
        max_expires_ahead_ms: how far ahead of block time a transaction may expire.
        block_operations_per_organisation: operations of one organisation in one block.
        block_operations: operations of a block that an orderer makes.
        records_per_organisation: quota of records that one organisation may create.
        recovery_wait_ms: waiting period of a recovery of keys.
    """

    rules: Count = 1
    max_transaction_bytes: Count = 1 << 20
    max_operations: Count = 1_000
    max_expires_ahead_ms: Count = 3_600_000
    block_operations_per_organisation: Count = 10_000
    block_operations: Count = 20_000
    records_per_organisation: Count = 100_000_000
    recovery_wait_ms: Count = 72 * 3_600_000


class Usage(Record):
    """How many records an organisation has created."""

    organisation: str
    records: Count = 0


class Accepted(Record):
    """The ids of the transactions that one block accepted, kept until the last of them has expired."""

    expires: Count
    ids: list[str]


PARAMETERS = Collection("parameters", Parameters, "what the whole zone agrees on")
USAGE = Collection("usage", Usage, "records created by each organisation, against its quota")
ACCEPTED = Collection(
    "accepted", Accepted, "ids of accepted transactions until they expire, by block height", bookkeeping=True
)
