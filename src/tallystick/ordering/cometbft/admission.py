"""What waits at this node for a block: what one would take now, and of each organisation only up to its share.

Rules:

- Admission is a node's own affair: it reads the node's clock, and another node may answer otherwise. It keeps the zone
  from spending blocks on what execution would refuse, but nothing relies on it.
- `seen` is checked here: an author who saw another history is told so at once. A proposal with such a transaction is
  not voted for (`voting`).
- A share is what one organisation may have waiting, and never more than is still free. Without it, those that flood
  would have the engine's mempool to themselves, whether through this node or through other validators'. Who is beyond it
  is told so before its signature is looked at.
- An author may have seen a block that is on its way here. What names a history longer than this one waits, and is
  proposed once this ledger has that root; after two blocks without it, it is dropped.
- Where blocks take long because they are full, shares shrink, and grow again when they are quick: what one organisation
  may put between another and its block is about a second's work on this machine, be it fast or slow. They begin small.
- Only a signature shows whose a transaction is, so bad ones count for nobody. Other validators' engines may send any
  number of them; beyond an allowance, what comes from elsewhere is checked no more for a while. Its author's own
  validator proposes it in its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

from tallystick.machine import KnownRights, LedgerState, Parameters, Rulebook, State, Transaction
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
from tallystick.ordering.fairness import Share, Shares

# What one organisation, and all together, may have waiting in this node's mempool.
SHARE = Share(transactions=2_000, bytes=4 << 20)
WHOLE = Share(transactions=18_000, bytes=32 << 20)
# Shares begin at this, and are never made smaller than that. A block is slow above so many ms, and quick below half of that.
FIRST = Share(transactions=500, bytes=2 << 20)
LEAST = Share(transactions=100, bytes=1 << 20)
SLOW_MS = 1_000
# What the engine's section `mempool` must say: more room than is ever given out.
MEMPOOL_SETTINGS: dict[str, Any] = {"size": 20_000, "max_txs_bytes": 256 << 20}
# Bad signatures that are looked at in a row, and how many more each second.
BAD_SIGNATURES = 1_000
BAD_SIGNATURES_A_SECOND = 100
_SWEEP_MS = 60_000
_MAX_ROOTS = 4_096
# So many blocks an author may be ahead of this ledger.
_BLOCKS_AHEAD = 2


class HistoryRoots(Protocol):
    """Answers what the history's root was."""

    def history_root(self, size: int) -> bytes | None:
        """Return the root of the history at a size where a block ended, or None."""


class Admission:
    """Judges transactions against the last committed block; holds what waits, oldest first."""

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
        self._waiting: dict[bytes, Transaction] = {}
        # Those whose authors have seen more than this ledger has, and its height when they came.
        self._ahead: dict[bytes, int] = {}
        self._full = share or SHARE
        self._shares = Shares(Share(*map(min, self._full, FIRST)), WHOLE)
        self._committed_at = clock_ms()
        self._was_short = False
        self._allowance = float(BAD_SIGNATURES)
        self._allowed_at = clock_ms()
        self._known_roots: dict[int, bytes | None] = {}
        self._swept = state.time
        self._rights = self._read_rights()

    @property
    def waiting(self) -> int:
        """How many transactions were admitted and are in no block yet."""
        return len(self._waiting)

    def identifiers(self) -> Collection[bytes]:
        """Return the ids of what waits."""
        return self._waiting.keys()

    def candidates(self) -> list[Transaction]:
        """Return what waits and may be proposed now, oldest first."""
        if not self._ahead:
            return list(self._waiting.values())
        return [item for key, item in self._waiting.items() if key not in self._ahead]

    def judge(self, transaction: Transaction, parameters: Parameters, *, may_be_ahead: bool = False) -> None:
        """Check what needs the state; the signature is checked by the caller.

        Args:
            transaction: to be judged.
            parameters: of the zone.
            may_be_ahead: whether its author may have seen a longer history than this one.

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
        ahead = may_be_ahead and payload.seen.size > state.frontier.size
        if not ahead and not self.has_seen_this(transaction):
            raise WRONG_HISTORY(size=payload.seen.size)
        rights = self._rights.of(transaction.key)
        if rights is None or rights.organisation != payload.organisation:
            raise UNKNOWN_KEY(organisation=payload.organisation)
        if rights.suspended:
            raise ORGANISATION_SUSPENDED(organisation=rights.organisation)

    def _read_rights(self) -> KnownRights:
        """Return the rights of keys as of the last block."""
        return KnownRights(self._rulebook.authority, State(self._state.reader, self._state.tree))

    def has_seen_this(self, transaction: Transaction) -> bool:
        """Tell whether the history that an author has seen is this ledger's."""
        seen = transaction.payload.seen
        root = self._root_at(seen.size)
        return root is not None and root.hex() == seen.root

    def has_room(self, transaction: Transaction) -> bool:
        """Tell whether a transaction's organisation may have it waiting; what waits already has its place."""
        return transaction.id in self._waiting or self._has_room(transaction)

    def _has_room(self, transaction: Transaction) -> bool:
        has_room = self._shares.has_room(transaction.payload.organisation, len(transaction.raw))
        self._was_short = self._was_short or not has_room
        return has_room

    def waits(self, transaction: Transaction) -> bool:
        """Tell whether these very bytes wait already.

        Raises:
            RejectedError: another form of the transaction does, with another signature.
        """
        known = self._waiting.get(transaction.id)
        if known is None:
            return False
        if known.raw != transaction.raw:
            raise REPEATED()
        return True

    def admit(self, transaction: Transaction) -> bool:
        """Let a good transaction wait; return False where its organisation has its share waiting already.

        Raises:
            RejectedError: another form of it waits already, with another signature.
        """
        if self.waits(transaction):
            return True
        if not self._has_room(transaction):
            return False
        self._shares.add(transaction.payload.organisation, len(transaction.raw))
        self._waiting[transaction.id] = transaction
        if transaction.payload.seen.size > self._state.frontier.size:
            self._ahead[transaction.id] = self._state.height
        return True

    def drop(self, identifiers: Iterable[bytes]) -> None:
        """Let transactions wait no more."""
        for identifier in identifiers:
            known = self._waiting.pop(identifier, None)
            if known is not None:
                self._shares.remove(known.payload.organisation, len(known.raw))
                self._ahead.pop(identifier, None)

    def engine_began(self) -> None:
        """Let nothing wait: the mempool of an engine that begins is empty."""
        self.drop(tuple(self._waiting))

    # --- bad signatures ----------------------------------------------------------------------------------------------

    def may_look(self) -> bool:
        """Tell whether signatures of unknown transactions are checked now, or too many were bad of late."""
        now = self._clock_ms()
        earned = max(0, now - self._allowed_at) * BAD_SIGNATURES_A_SECOND / 1_000
        self._allowance = min(float(BAD_SIGNATURES), self._allowance + earned)
        self._allowed_at = now
        return self._allowance >= 1

    def was_bad(self) -> None:
        """Count a bad signature."""
        self._allowance -= 1

    # --- blocks ------------------------------------------------------------------------------------------------------

    def block_committed(self, identifiers: Iterable[bytes]) -> None:
        """Go on from the next block.

        Args:
            identifiers: of the transactions that were in it, refused ones included.
        """
        done = tuple(identifiers)
        self.drop(done)
        self._adapt(len(done))
        state = self._state
        self._rights = self._read_rights()
        self._look_at_those_ahead()
        if state.time - self._swept > _SWEEP_MS:
            self._swept = state.time
            # What no proposer took, for whatever reason; after its expiry nobody waits for it any more.
            self.drop([key for key, known in self._waiting.items() if known.payload.expires < state.time])

    def _look_at_those_ahead(self) -> None:
        """Find out which of the longer histories that authors had seen is this one by now."""
        for identifier, since in tuple(self._ahead.items()):
            transaction = self._waiting[identifier]
            if transaction.payload.seen.size > self._state.frontier.size:
                if self._state.height >= since + _BLOCKS_AHEAD:
                    self.drop([identifier])
            elif self.has_seen_this(transaction):
                del self._ahead[identifier]
            else:
                self.drop([identifier])

    def _adapt(self, transactions: int) -> None:
        """Make shares smaller behind a block that was slow and full, and larger behind a quick one that was not enough."""
        now = self._clock_ms()
        took, self._committed_at = now - self._committed_at, now
        share = self._shares.share
        if took > SLOW_MS and 2 * transactions >= share.transactions:
            self._shares.share = Share(
                *(max(min(low, now), 7 * now // 10) for low, now in zip(LEAST, share, strict=True))
            )
        elif took < SLOW_MS // 2 and transactions and self._was_short:
            self._shares.share = Share(*(min(most, 6 * now // 5) for most, now in zip(self._full, share, strict=True)))
        self._was_short = False

    def _root_at(self, size: int) -> bytes | None:
        if size > self._state.frontier.size:
            return None
        if size not in self._known_roots:
            if len(self._known_roots) >= _MAX_ROOTS:
                self._known_roots.clear()
            self._known_roots[size] = self._roots.history_root(size)
        return self._known_roots[size]
