"""Blocks that this node did not order: each way in which they come into its copy, and what is checked first.

A replica takes them one by one (`apply`); an empty copy begins from a snapshot (`begin`) and gets the older ones later
(`older`); a restored orderer takes back its own (`recover`); a validator whose ledger is too far behind follows first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Any

import structlog

from tallystick.errors import PeerError
from tallystick.machine import BlockResult
from tallystick.modules import rulebook
from tallystick.node.beginning import SnapshotError, TrustPendingError, begin_from_snapshot, tidy
from tallystick.node.core_alarm import Alarm, not_trusted
from tallystick.node.core_copy import Copy
from tallystick.node.core_engine import CoreEngine
from tallystick.node.older import OlderBlocks, find_other_history
from tallystick.ordering import Replica, ReplicaError, Solo
from tallystick.store import LedgerStore

log = structlog.get_logger("core")
# Who is to blame for a block that is not good, by the reason's name; the source for all others. These are found only
# after the orderer's signature of the header, and what it covers, were found good.
_BLAME = {
    "app_hash_mismatch": "orderer",
    "refused_transaction": "orderer",
    "time_went_back": "orderer",
    "wrong_previous": "orderer",
    "wrong_seen": "orderer",
    "time_ahead": "clock",
}


class Following:
    """Takes the blocks of others into one node's copy.

    Attributes:
        begun: height of the block that this copy has just begun from, or 0; its core then ends.
    """

    def __init__(
        self,
        copy: Copy,
        engine: CoreEngine,
        alarm: Alarm,
        *,
        on_block: Callable[[BlockResult, bytes, bytes], None],
        leave: Callable[[], None],
    ) -> None:
        """Prepare.

        Args:
            copy: this node's.
            engine: follows, where this node is a replica.
            alarm: raised where a block proves the orderer wrong.
            on_block: told of each block after it is on disk.
            leave: lets this core end, since its node plays another part.
        """
        self._copy = copy
        self._engine = engine
        self._alarm = alarm
        self._on_block = on_block
        self._leave = leave
        self._older_blocks = OlderBlocks(copy.home, copy.store)
        self.begun = 0

    async def apply(self, body: list[Any]) -> dict[str, Any]:
        """Check and keep the next block of the history that this copy follows.

        The body is header, signature and transactions, and whether another block follows at once.

        Returns:
            height and size after it; or, for a block that is not good, `refused` (the reason's name), `message`,
            `remedy`, and who is to `blame`: the `orderer` for what it signed, the `clock` where times are too far
            apart, the `source` for anything that says nothing about who signed it.
        """
        engine, alarm = self._engine.engine, self._alarm
        if alarm.raised is not None:
            return _refusal("alarm", alarm.raised, "This node does not follow the orderer any more.", "orderer")
        header, signatures, transactions, *more = body
        if not isinstance(engine, Replica):
            raise PeerError("this node orders and takes no blocks", remedy="Only a restored orderer catches up.")
        try:
            result = await engine.apply(header, signatures, transactions, synced=not any(more))
        except ReplicaError as error:
            self._copy.measures.refused("block", error.reason)
            blame = _BLAME.get(error.reason, "source")
            if blame == "orderer":
                alarm.sound(error)
            if error.reason == "wrong_seen":
                await alarm.keep_seen(header, signatures, transactions)
            return _refusal(error.reason, error.message, error.remedy, blame)
        return {"height": result.block.height, "size": result.size}

    async def begin(self, body: list[bytes]) -> dict[str, Any]:
        """Begin this empty copy from a snapshot whose chunks are in the home; all of it is checked first.

        The node then starts anew, as if it had always been so.
        """
        copy = self._copy
        if not isinstance(self._engine.engine, Replica) or copy.store.last_block() is not None or self.begun:
            raise PeerError("this copy has begun already", remedy="Only an empty copy begins from a snapshot.")
        description, trust = body
        try:
            begun = await asyncio.to_thread(begin_from_snapshot, copy.home, description, trust, now_ms=copy.clock_ms())
        except SnapshotError as error:
            reason = "trust_pending" if isinstance(error, TrustPendingError) else "snapshot"
            return _refusal(reason, error.message, error.remedy, "source")
        self.begun = begun.height
        self._leave()
        return {"height": begun.height, "size": begun.head.size}

    async def older(self, _: Any) -> dict[str, int]:
        """Put older blocks, which were executed beside the ledger, into it: one step; the height reached is told."""
        store = self._copy.store
        base = store.base
        if base is None:
            return {"height": self._copy.state.height, "base": 0}
        reached = self._older_blocks.step()
        if store.base is None:
            with closing(LedgerStore(store.path, rulebook(), read_only=True)) as view:
                other = await asyncio.to_thread(find_other_history, view, base)
            if other is not None:
                self._alarm.sound(
                    not_trusted(f"{other[0]} had seen another history than this copy's (block {other[1]})")
                )
            tidy(self._copy.home, store)
        return {"height": reached, "base": base.height}

    async def recover(self, body: list[Any]) -> dict[str, int]:
        """Take back a block that this orderer itself had made before it was restored from an older backup."""
        copy, engine = self._copy, self._engine.engine
        if not isinstance(engine, Solo) or not copy.home.is_restored:
            raise PeerError("this node is not a restored orderer", remedy="Only a restored orderer takes back blocks.")
        header, signatures, transactions = body
        follower = Replica(
            copy.state,
            copy.store,
            rulebook(),
            self._engine.verifier,
            validators=lambda: {copy.organisation: copy.system.public_key},
            clock_ms=copy.clock_ms,
            previous=copy.store.last_header_hash(),
            on_block=self._on_block,
        )
        result = await follower.apply(header, signatures, transactions)
        engine.continue_from(copy.store.last_header_hash())
        return {"height": result.block.height, "size": result.size}

    async def follow_first(self, height: int) -> bool:
        """Follow the others up to a height, as a replica; only then does this validator's engine begin."""
        log.warning("ledger_follows_first", height=self._copy.state.height, until=height)
        self._copy.home.rebuilding_path.write_text(f"{height}\n")
        self._leave()
        return True


def _refusal(reason: str, message: str, remedy: str, blame: str) -> dict[str, Any]:
    return {"refused": reason, "message": message, "remedy": remedy, "blame": blame}
