"""An engine that begins in the middle, behind a ledger that is there: the engines' own state sync, with an empty snapshot.

The engines know a way to begin at a height without the blocks before it: one offers a snapshot of the application's state
at that height, a light client finds the header and the validators, and blocks follow from the next one on. Here the
application's state needs no copying: the ledger of the node that asks has that block already, and later ones. So the
snapshot is a name, the app hash after a block, and what is checked is that this ledger has that very app hash there.

Rules:

- A height is offered only while some member's node asks for it (`want`): which one suits depends on how far that ledger is.
- It is taken only by an engine that is behind its ledger (`EngineHeight`), at a height below the ledger's last, with the
  app hash that the ledger has after that block. The engine has found that app hash signed by more than two thirds.
- Once it is taken, the engine is as far as that block (`Info`), and what follows up to the ledger's last block is answered
  from the ledger, as for any engine that is behind (`replay`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import structlog

from tallystick.codec import tagged_hash
from tallystick.errors import IntegrityError
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.replay import EngineHeight, History

log = structlog.get_logger("engine")
# Of all formats of snapshots that the engines exchange, the one that holds nothing.
FORMAT = 1_001
# How long a height stays on offer after it was asked for, and how many are: the engine itself tells of ten at most.
ON_OFFER_SECONDS = 600.0
MOST_ON_OFFER = 8


class _Wanted(NamedTuple):
    """What a member's node has asked for."""

    height: int
    until: float


class Beginnings:
    """Heights at which an engine may begin: those that this node offers to others, and the one that its own takes."""

    def __init__(self, history: History, engine: EngineHeight, clock_s: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            history: the ledger's blocks.
            engine: how far this node's own engine is.
            clock_s: seconds that never go back.
        """
        self._history = history
        self._engine = engine
        self._clock_s = clock_s
        self._wanted: dict[str, _Wanted] = {}
        self._taking: int | None = None

    # --- giving ------------------------------------------------------------------------------------------------------

    def want(self, asker: str, height: int) -> None:
        """Offer a height from now on, and for some minutes, instead of what this member's node had asked for before.

        Raises:
            IntegrityError: the ledger does not have the block.
        """
        self._history.kept_block(height)
        self._wanted.pop(asker, None)
        while len(self._wanted) >= MOST_ON_OFFER:
            del self._wanted[next(iter(self._wanted))]
        self._wanted[asker] = _Wanted(height, self._clock_s() + ON_OFFER_SECONDS)

    def offers(self) -> list[abci.Snapshot]:
        """Return what is on offer."""
        now = self._clock_s()
        self._wanted = {asker: wanted for asker, wanted in self._wanted.items() if wanted.until > now}
        return [self._snapshot(height) for height in sorted({wanted.height for wanted in self._wanted.values()})]

    def chunk(self, height: int) -> bytes | None:
        """Return the one chunk of a snapshot, which is the app hash, or None where this ledger has no such block."""
        return self._find_app_hash(height)

    def _snapshot(self, height: int) -> abci.Snapshot:
        app_hash = self._history.kept_block(height).app_hash
        return abci.Snapshot(height=height, format=FORMAT, chunks=1, hash=_name(height, app_hash))

    # --- taking ------------------------------------------------------------------------------------------------------

    def offered(self, snapshot: abci.Snapshot, app_hash: bytes, last: int) -> abci.ResponseOfferSnapshot.Result:
        """Take a height as this engine's beginning, or not.

        Args:
            snapshot: what others offer.
            app_hash: after that block, as the engine found it signed.
            last: height of this ledger.
        """
        answer = abci.ResponseOfferSnapshot
        self._taking = None
        if self._engine.height is None:
            return answer.ABORT
        if snapshot.height >= last:
            # The ledger's last block is left for the engine to bring, so that it is behind until it has brought one.
            return answer.REJECT
        held = self._find_app_hash(snapshot.height)
        if held is None or held != app_hash or snapshot.hash != _name(snapshot.height, held) or snapshot.chunks != 1:
            log.warning("beginning_refused", height=snapshot.height, signed=app_hash.hex(), held=(held or b"").hex())
            return answer.REJECT
        self._taking = snapshot.height
        return answer.ACCEPT

    def apply(self, chunk: bytes, sender: str) -> abci.ResponseApplySnapshotChunk:
        """Let the engine be as far as the height that was taken."""
        answer = abci.ResponseApplySnapshotChunk
        if self._taking is None:
            return answer(result=answer.ABORT)
        if chunk != self._find_app_hash(self._taking):
            return answer(result=answer.RETRY, refetch_chunks=[0], reject_senders=[sender] if sender else [])
        self._engine.set(self._taking)
        log.info("engine_begins_in_the_middle", height=self._taking)
        self._taking = None
        return answer(result=answer.ACCEPT)

    def _find_app_hash(self, height: int) -> bytes | None:
        try:
            return self._history.kept_block(height).app_hash
        except IntegrityError:
            return None


def _name(height: int, app_hash: bytes) -> bytes:
    """Return what a snapshot is known by, which is the same at every honest node."""
    return tagged_hash(b"tallystick/engine-beginning", height.to_bytes(8, "big"), app_hash)
