"""Witnessing: what other nodes sign about the history is compared with this copy, and what agrees is kept or cosigned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tallystick.ledger.trustkeeper import SignedVersion
from tallystick.ledger.witness import ForkError, SizedCosignature
from tallystick.node.core_alarm import Alarm
from tallystick.node.core_copy import Copy, Signed
from tallystick.proofs.checkpoints import Cosignature

_MOST_AGREED = 256


class Witnessing:
    """Judges the checkpoints, cosignatures and trust signatures that one node is shown."""

    def __init__(self, copy: Copy, signed: Signed, alarm: Alarm, *, on_checkpoint: Callable[[], None]) -> None:
        """Prepare.

        Args:
            copy: this node's.
            signed: what the members have signed about it.
            alarm: keeps the proof where one of them shows another history.
            on_checkpoint: called when a checkpoint of others was compared and kept.
        """
        self._copy = copy
        self._trust = signed.trust
        self._witness = signed.witness
        self._alarm = alarm
        self._on_checkpoint = on_checkpoint
        # Checkpoints of others that agree with this copy, oldest first: each comes from several nodes, several times.
        self._agreed: dict[bytes, None] = {}

    async def checkpoint(self, note: bytes) -> SizedCosignature | None:
        """Check the orderer's checkpoint, and cosign it unless this node orders itself."""
        distrust = self._alarm.distrust
        if distrust is not None:
            raise distrust
        if note in self._agreed:
            return None
        try:
            if self._copy.orders:
                if self._witness.check(note) is not None:
                    self._agreed[note] = None
                    if len(self._agreed) > _MOST_AGREED:
                        del self._agreed[next(iter(self._agreed))]
                return None
            made = self._witness.cosign(note)
        except ForkError as error:
            self._alarm.keep(error)
            raise
        # The loop that writes tiles puts the checkpoint behind them.
        self._on_checkpoint()
        return made

    async def cosignature(self, body: list[Any]) -> bool:
        """Take another node's cosignature."""
        size, root, fields = body
        try:
            given = SizedCosignature(size, root, Cosignature(**fields))
            return self._witness.add(given)
        except ForkError as error:
            self._alarm.keep(error)
            raise

    async def trust_signature(self, body: list[Any]) -> bool:
        """Take another node's signature under a version of the trust file."""
        return self._trust.add(SignedVersion(*body))
