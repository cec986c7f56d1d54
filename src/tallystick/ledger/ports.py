"""What the ledger needs from the store and from ordering; declared here, given by the node."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from tallystick.errors import NodeError, RejectedError
from tallystick.machine import Outcome


class BlockRow(Protocol):
    """A block as the store gives it."""

    @property
    def height(self) -> int:
        """From 1."""

    @property
    def time(self) -> int:
        """Block time, ms."""

    @property
    def header(self) -> bytes:
        """Canonical JSON."""

    @property
    def signatures(self) -> bytes:
        """Of the header, by those who order: canonical JSON, `proofs.headers.decode_signatures`."""

    @property
    def state_root(self) -> bytes:
        """After the block."""

    @property
    def history_root(self) -> bytes:
        """After the block."""

    @property
    def size(self) -> int:
        """Of the history after the block."""


class OperationRow(Protocol):
    """One operation of the history as the store gives it."""

    @property
    def leaf(self) -> int:
        """Index in the history."""

    @property
    def height(self) -> int:
        """Its block."""

    @property
    def time(self) -> int:
        """Block time, ms."""

    @property
    def transaction_id(self) -> bytes:
        """32 bytes."""

    @property
    def transaction(self) -> bytes:
        """Raw bytes."""

    @property
    def position(self) -> int:
        """Index in its transaction."""

    @property
    def outcome(self) -> int:
        """0, or the number of the rejection."""


# (size, root, height of the block whose header commits to it, the note) of a signed root of the history.
CheckpointRow = tuple[int, bytes, int, str]


class SubmittedRow(Protocol):
    """What became of a submitted transaction."""

    @property
    def id(self) -> bytes:
        """Transaction id."""

    @property
    def height(self) -> int:
        """Block that holds it."""

    @property
    def first_leaf(self) -> int:
        """History index of its first operation."""

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """One for each operation."""


class Store(Protocol):
    """The ledger's copy on disk."""

    chain: str
    genesis: bytes
    genesis_hash: bytes

    def read(self, collection: str, key: str) -> bytes | None:
        """Return a record's bytes."""

    def scan(self, collection: str, prefix: str = "") -> Iterator[tuple[str, bytes]]:
        """Yield records by key."""

    def last_block(self) -> BlockRow | None:
        """Return the last block."""

    def block_of_size(self, size: int) -> BlockRow | None:
        """Return the first block after which the history had this size."""

    def signed_headers_down_from(self, height: int) -> Iterator[tuple[int, bytes, bytes]]:
        """Yield (height, header, signatures) of blocks, from a height downwards."""

    def put_signatures(self, rows: Sequence[tuple[int, bytes]]) -> None:
        """Replace the signatures of headers by more."""

    def history_root(self, size: int) -> bytes | None:
        """Return the root at a size where a block ended."""

    def unknown_below(self) -> int:
        """Return the size under which this copy need not know the history's roots."""

    def check_held(self, leaf: int) -> None:
        """Refuse to speak of an operation that is older than this copy."""

    def find_operation(self, leaf: int) -> OperationRow | None:
        """Return one operation."""

    def find_transaction(self, identifier: bytes) -> tuple[int, int | None, bytes] | None:
        """Return (height, first leaf, bytes)."""

    def events_after(self, sequence: int, limit: int) -> list[tuple[int, int, str]]:
        """Return events behind a sequence number."""

    def last_event_before(self, height: int) -> int:
        """Return the sequence number of the last event before a block."""

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a SELECT of this program's own."""

    def checkpoints_from(self, size: int) -> Iterator[CheckpointRow]:
        """Yield checkpoints of at least a size, smallest first."""

    def latest_checkpoint(self) -> CheckpointRow | None:
        """Return the largest checkpoint."""

    def add_checkpoint(self, size: int, root: bytes, height: int, note: str) -> None:
        """Keep a checkpoint."""

    def cosignatures(self, size: int) -> list[tuple[str, int, bytes]]:
        """Return (organisation, seconds, signature) of a checkpoint."""

    def add_cosignature(self, size: int, organisation: str, time_s: int, signature: bytes) -> None:
        """Keep a cosignature."""

    def trust_entries(self) -> list[tuple[bytes, list[tuple[str, bytes]]]]:
        """Return (entry without signatures, [(organisation, signature)]) of every version."""

    def add_trust(self, version: int, entry: bytes) -> None:
        """Keep a version of the trust file."""

    def add_trust_signature(self, version: int, organisation: str, signature: bytes) -> None:
        """Keep a signature under it."""

    def add_fork(self, proof: bytes) -> None:
        """Keep a fork proof."""

    def forks(self) -> list[bytes]:
        """Return the fork proofs."""


class Ordering(Protocol):
    """Where transactions go."""

    async def submit(self, transactions: Sequence[bytes]) -> Sequence[SubmittedRow | RejectedError | NodeError]:
        """Submit; return what became of each, in order, when all are on disk or refused."""
