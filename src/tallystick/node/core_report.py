"""What a core says of itself: what it is, how far it has come, and what it has measured."""

from __future__ import annotations

from typing import Any

from tallystick.node.core_alarm import Alarm
from tallystick.node.core_copy import Copy, Signed
from tallystick.node.core_engine import CoreEngine
from tallystick.ordering import Replica
from tallystick.views import Measured


class CoreReport:
    """Reads the state of one core, and changes nothing."""

    def __init__(self, copy: Copy, signed: Signed, engine: CoreEngine, alarm: Alarm) -> None:
        """Prepare.

        Args:
            copy: this node's.
            signed: what the members have signed about it.
            engine: the core's.
            alarm: the core's.
        """
        self._copy = copy
        self._signed = signed
        self._engine = engine
        self._alarm = alarm

    async def status(self, _: Any) -> dict[str, Any]:
        """Return what this node is and how it does."""
        copy, trust, seals, alarm = self._copy, self._signed.trust, self._signed.seals, self._alarm
        engine, watch = self._engine.engine, self._engine.watch
        last, base = copy.store.last_block(), copy.store.base
        return {
            "organisation": copy.organisation,
            "role": copy.part,
            "height": copy.state.height,
            "time": copy.state.time,
            "size": last.size if last else 0,
            "root": last.history_root if last else b"",
            "witnessed": self._witnessed_size(),
            "begun": base.height if base else 0,
            "older": copy.store.older_height() if base else 0,
            "trust_version": trust.trust.latest.number,
            "trust_pending": len(trust.derived.entries) - len(trust.trust.entries),
            "waiting": 0 if isinstance(engine, Replica) else engine.waiting,
            "queues": {} if isinstance(engine, Replica) else engine.queues(),
            "sealed": seals.sealed,
            "lacking": seals.lacking,
            "engine": None if watch is None else watch.health,
            "misbehaviour": copy.misbehaviour.found,
            "held": copy.home.is_restored and copy.part == "orderer",
            "alarm": alarm.raised,
            "suspicion": alarm.suspicion,
        }

    async def measured(self, _: Any) -> Measured:
        """Return what this core has measured since it started."""
        return self._copy.measures.measured()

    def _witnessed_size(self) -> int:
        """Return the size of the history that as many have signed as the zone asks for."""
        version = self._signed.trust.derived.latest
        if version.needed or len(version.validators) == 1:
            return self._signed.witness.witnessed_size()
        # Nobody but those who order has to sign.
        sealed = self._copy.store.head_at(self._signed.seals.sealed)
        return 0 if sealed is None else sealed.size
