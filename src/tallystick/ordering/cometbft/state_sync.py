"""The engines' state sync, of two kinds: a whole ledger in chunks, or nothing but the height at which an engine begins.

A ledger without blocks takes the one of another (`snapshots`). One that has some keeps them; its engine, where that is
behind, may begin in the middle (`beginnings`). Both kinds are given to whoever asks.
"""

from __future__ import annotations

from tallystick.machine import LedgerState
from tallystick.ordering.cometbft import beginnings as middle
from tallystick.ordering.cometbft.beginnings import Beginnings
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.snapshots import Applied, NoSnapshots, SnapshotExchange


class StateSync:
    """Gives both kinds of snapshots, and takes the kind that this ledger needs."""

    def __init__(self, snapshots: SnapshotExchange | None, beginnings: Beginnings | None) -> None:
        """Prepare.

        Args:
            snapshots: makes and takes snapshots; None for none.
            beginnings: heights at which engines may begin; None for none but the first.
        """
        self._snapshots: SnapshotExchange = snapshots or NoSnapshots()
        self._beginnings = beginnings

    def block_committed(self, state: LedgerState) -> None:
        """Take a snapshot if one is due."""
        self._snapshots.block_committed(state)

    def offers(self) -> list[abci.Snapshot]:
        """Return what this node can give."""
        others = [] if self._beginnings is None else self._beginnings.offers()
        return [*self._snapshots.offers(), *others]

    def chunk(self, request: abci.RequestLoadSnapshotChunk) -> bytes:
        """Return one chunk; nothing where there is none."""
        if request.format == middle.FORMAT and self._beginnings is not None:
            return self._beginnings.chunk(request.height) or b""
        return self._snapshots.chunk(request.height, request.format, request.chunk) or b""

    def offered(self, height: int, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot.Result:
        """Begin to take a snapshot of the kind that a ledger of a height needs, if its description is a good one."""
        answer = abci.ResponseOfferSnapshot
        if not height:
            return self._snapshots.offered(request.snapshot, request.app_hash)
        if self._beginnings is None:
            return answer.ABORT
        if request.snapshot.format != middle.FORMAT:
            return answer.REJECT_FORMAT
        return self._beginnings.offered(request.snapshot, request.app_hash, height)

    def apply(self, height: int, request: abci.RequestApplySnapshotChunk) -> Applied:
        """Take one chunk; return the answer and, after the last one of a whole ledger, the restored state."""
        if height and self._beginnings is not None:
            return self._beginnings.apply(request.chunk, request.sender), None
        return self._snapshots.apply(request.index, request.chunk, request.sender)
