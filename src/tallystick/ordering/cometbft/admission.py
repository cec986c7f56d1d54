"""Who gets into this node's mempool: what a block would take now, and each organisation only up to its share.

Rules:

- Admission is a node's own affair: it reads the node's clock, and another node may answer otherwise. It keeps the zone
  from spending blocks on what execution would refuse, but nothing relies on it.
- `seen` is checked here: an author who saw another history is told so at once. A proposal with such a transaction is
  not voted for (`app`).
- A share is what one organisation may have waiting. Without it, one that floods would have the engine's mempool to
  itself, whether through this node or through another validator's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from tallystick.machine import LedgerState, Parameters, Rulebook, State, Transaction
from tallystick.machine.rejections import (
    BLOCK_CAP,
    EXPIRED,
    EXPIRES_TOO_LATE,
    MALFORMED,
    ORGANISATION_SUSPENDED,
    REPEATED,
    UNKNOWN_KEY,
    WRONG_HISTORY,
)
from tallystick.ordering.cometbft.proposals import may_ever_fit

_SWEEP_MS = 60_000
_MAX_ROOTS = 4_096


class Share(NamedTuple):
    """What one organisation may have waiting in this node's mempool.

    Attributes:
        transactions: how many.
        bytes: of how many bytes together.
    """

    transactions: int = 2_000
    bytes: int = 16 << 20


class HistoryRoots(Protocol):
    """Answers what the history's root was."""

    def history_root(self, size: int) -> bytes | None:
        """Return the root of the history at a size where a block ended, or None."""


class _Waiting(NamedTuple):
    raw: bytes
    organisation: str
    expires: int


class Admission:
    """Judges transactions against the last committed block; keeps count of what waits."""

    def __init__(
        self,
        state: LedgerState,
        roots: HistoryRoots,
        rulebook: Rulebook,
        *,
        clock_ms: Callable[[], int],
        share: Share | None = None,
    ) -> None:
        """Prepare.

        Args:
            state: the ledger's, which changes as blocks are committed.
            roots: of the history.
            rulebook: who may sign.
            clock_ms: UTC time, ms.
            share: of one organisation.
        """
        self._state = state
        self._roots = roots
        self._rulebook = rulebook
        self._clock_ms = clock_ms
        self._share = share or Share()
        self._waiting: dict[bytes, _Waiting] = {}
        self._counts: dict[str, int] = {}
        self._bytes: dict[str, int] = {}
        self._known_roots: dict[int, bytes | None] = {}
        self._swept = state.time
        self._view = State(state.reader, state.tree)

    @property
    def waiting(self) -> int:
        """How many transactions were admitted and are in no block yet."""
        return len(self._waiting)

    def judge(self, transaction: Transaction, parameters: Parameters) -> None:
        """Check what needs the state; the signature is checked by the caller.

        Raises:
            RejectedError: a block would refuse it now.
        """
        payload = transaction.payload
        state = self._state
        if not may_ever_fit(transaction, parameters):
            if len(transaction.operations) > parameters.block_operations_per_organisation:
                limit = parameters.block_operations_per_organisation
                raise BLOCK_CAP(organisation=payload.organisation, limit=limit)
            raise MALFORMED(reason="longer than the zone allows")
        now = max(self._clock_ms(), state.time)
        if payload.expires < now:
            raise EXPIRED()
        if payload.expires > now + parameters.max_expires_ahead_ms:
            raise EXPIRES_TOO_LATE(limit_ms=parameters.max_expires_ahead_ms)
        if transaction.id in state.accepted:
            raise REPEATED()
        if not self.has_seen_this(transaction):
            raise WRONG_HISTORY(size=payload.seen.size)
        rights = self._rulebook.authority.find_rights(self._view, transaction.key.hex())
        if rights is None or rights.organisation != payload.organisation:
            raise UNKNOWN_KEY(organisation=payload.organisation)
        if rights.suspended:
            raise ORGANISATION_SUSPENDED(organisation=rights.organisation)

    def has_seen_this(self, transaction: Transaction) -> bool:
        """Tell whether the history that an author has seen is this ledger's."""
        seen = transaction.payload.seen
        root = self._root_at(seen.size)
        return root is not None and root.hex() == seen.root

    def admit(self, transaction: Transaction) -> bool:
        """Count a good transaction as waiting; return False where its organisation has its share waiting already.

        Raises:
            RejectedError: another form of it waits already, with another signature.
        """
        known = self._waiting.get(transaction.id)
        if known is not None:
            # The engine forgets what its mempool had no room for, and asks again when the same bytes come again.
            if known.raw != transaction.raw:
                raise REPEATED()
            return True
        organisation = transaction.payload.organisation
        count = self._counts.get(organisation, 0) + 1
        size = self._bytes.get(organisation, 0) + len(transaction.raw)
        if count > self._share.transactions or size > self._share.bytes:
            return False
        self._counts[organisation] = count
        self._bytes[organisation] = size
        self._waiting[transaction.id] = _Waiting(transaction.raw, organisation, transaction.payload.expires)
        return True

    def drop(self, identifiers: Iterable[bytes]) -> None:
        """Count transactions as waiting no more."""
        for identifier in identifiers:
            known = self._waiting.pop(identifier, None)
            if known is None:
                continue
            self._counts[known.organisation] -= 1
            self._bytes[known.organisation] -= len(known.raw)
            if not self._counts[known.organisation]:
                del self._counts[known.organisation], self._bytes[known.organisation]

    def block_committed(self, identifiers: Iterable[bytes]) -> None:
        """Go on from the next block.

        Args:
            identifiers: of the transactions that were in it, refused ones included.
        """
        self.drop(identifiers)
        state = self._state
        self._view = State(state.reader, state.tree)
        if state.time - self._swept > _SWEEP_MS:
            self._swept = state.time
            # The engine may have dropped what this admitted; after its expiry nobody waits for it any more.
            self.drop([key for key, known in self._waiting.items() if known.expires < state.time])

    def _root_at(self, size: int) -> bytes | None:
        if size > self._state.frontier.size:
            return None
        if size not in self._known_roots:
            if len(self._known_roots) >= _MAX_ROOTS:
                self._known_roots.clear()
            self._known_roots[size] = self._roots.history_root(size)
        return self._known_roots[size]
