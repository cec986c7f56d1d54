"""Sealing blocks where several order together: header signatures given to others, taken from them, and written.

Which signatures a block needs, and what a crash loses of them, is told in `ledger.seals`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from tallystick.errors import StorageError
from tallystick.ledger.seals import Seals, SignedHeight
from tallystick.node.core_alarm import Alarm
from tallystick.node.core_copy import Copy, Tell
from tallystick.node.record_proofs import prove_record
from tallystick.proofs.headers import decode_header, decode_signatures

log = structlog.get_logger("core")
SEAL_SECONDS = 0.03
MOST_HEIGHTS = 400
_SEAL_TRIES = 300


class Sealing:
    """Brings the header signatures of one copy together."""

    def __init__(self, copy: Copy, seals: Seals, alarm: Alarm, *, tell: Tell, on_sealed: Callable[[], None]) -> None:
        """Prepare.

        Args:
            copy: this node's.
            seals: the signatures of its headers.
            alarm: told who signs other headers than this copy's.
            tell: tells news; of this node's signatures, and how far the history is sealed.
            on_sealed: called when it is sealed further.
        """
        self._copy = copy
        self._seals = seals
        self._alarm = alarm
        self._tell = tell
        self._on_sealed = on_sealed
        self._arrived = asyncio.Event()

    def made(self, height: int, header: bytes, signatures: bytes) -> None:
        """Take note of a block that is on disk; where this node validates, give its signature to the others."""
        self._seals.made(height, header, signatures)
        self._arrived.set()
        if self._copy.part == "validator":
            for signed in decode_signatures(signatures):
                self._tell("header_signature", [height, signed.organisation, signed.signature])

    async def run(self) -> None:
        """Write the header signatures of others as they come, and tell how far the history is sealed.

        It returns at once where this node does not validate.
        """
        seals = self._seals
        told = seals.sealed
        while self._copy.part == "validator":
            await self._arrived.wait()
            self._arrived.clear()
            await asyncio.sleep(SEAL_SECONDS)
            try:
                seals.flush()
            except StorageError as error:
                log.error("signatures_not_kept", message=error.message, remedy=error.remedy)
                self._arrived.set()
                await asyncio.sleep(1)
            if seals.sealed > told:
                told = seals.sealed
                self._on_sealed()
                self._tell("sealed", {"height": told})
            self._alarm.tell_contradictions(seals.contradictions)

    # --- requests ----------------------------------------------------------------------------------------------------

    async def take(self, body: list[Any]) -> int:
        """Take signatures of headers, and who brought them; return how many are good and new."""
        sender, rows = body
        given = [SignedHeight(*row) for row in rows]
        bad = self._seals.bad
        taken = sum(self._seals.add(each, first_hand=each.organisation == sender) for each in given)
        self._arrived.set()
        for _ in range(self._seals.bad - bad):
            self._copy.measures.refused("header_signature", "bad_signature")
        return taken

    async def known(self, first: int) -> list[SignedHeight]:
        """Return the signatures that this copy has of headers from a height on."""
        last = self._copy.store.last_block()
        return [] if last is None else self._seals.known(first, min(last.height, first + MOST_HEIGHTS))

    async def prove(self, body: list[str]) -> dict[str, Any]:
        """Return a record, or its absence, with its proof under the last header, once that is sealed."""
        collection, key = body
        copy = self._copy
        found = await prove_record(copy.state, copy.store, collection, key)
        height = decode_header(found["header"]).height
        for _ in range(_SEAL_TRIES):
            if self._seals.sealed >= height:
                break
            # Others who order have not all signed the last block yet.
            await asyncio.sleep(SEAL_SECONDS)
        block = copy.store.head_at(height)
        return found if block is None else {**found, "header_signatures": block.signatures}
