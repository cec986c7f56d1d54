"""Transactions decoded and with their signatures checked, each once: at admission, proposal and execution alike.

What is kept is only whether bytes are good, which never changes; it is a cache of answers, forgotten from the oldest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tallystick.codec import MalformedError
from tallystick.errors import RejectedError
from tallystick.machine import Transaction, decode_transaction
from tallystick.machine.rejections import BAD_SIGNATURE, MALFORMED
from tallystick.ordering.verifier import InlineVerifier, SignatureVerifier

MAX_KEPT_BYTES = 64 << 20
# Decoding makes some twenty objects beside the bytes; counted so that many small ones do not add up unseen.
_OVERHEAD_BYTES = 2_048
# So many are checked in this process.
_FEW = 4


class Checked(NamedTuple):
    """A transaction after what can be checked without the state.

    Attributes:
        decoded: the transaction, or why it is none.
        signed: whether its signature is good; False for what is malformed.
    """

    decoded: Transaction | MalformedError
    signed: bool

    def refused(self) -> RejectedError | None:
        """Return why no ledger of this zone can ever take it, or None."""
        if isinstance(self.decoded, MalformedError):
            return MALFORMED(reason=self.decoded.reason)
        return None if self.signed else BAD_SIGNATURE()


class TransactionChecker:
    """Checks transactions of one zone."""

    def __init__(self, genesis_hash: bytes, verifier: SignatureVerifier) -> None:
        """Prepare a checker.

        Args:
            genesis_hash: bound into every signature.
            verifier: checks signatures; closed by whoever made it.
        """
        self._genesis_hash = genesis_hash
        self._verifier = verifier
        self._inline = InlineVerifier()
        # Good transactions only: bad ones cost their sender the same every time, and fill nothing here.
        self._good: dict[bytes, Transaction] = {}
        self._bytes = 0

    def decode(self, raw: bytes) -> Transaction | MalformedError:
        """Return a transaction, its signature unchecked unless it is known, or why it is none."""
        known = self._good.get(raw)
        if known is not None:
            return known
        try:
            return decode_transaction(raw, self._genesis_hash)
        except MalformedError as error:
            return error

    def knows(self, raw: bytes) -> bool:
        """Tell whether bytes are known to be a good transaction."""
        return raw in self._good

    async def check(self, raws: Sequence[bytes]) -> list[Checked]:
        """Decode and check transactions; those seen before are answered from memory."""
        return await self.check_decoded([self.decode(raw) for raw in raws])

    async def check_decoded(self, decoded: Sequence[Transaction | MalformedError]) -> list[Checked]:
        """Check the signatures of what `decode` gave."""
        unknown = [item for item in decoded if not isinstance(item, MalformedError) and item.raw not in self._good]
        # The engine's RPC sends a transaction only when it has the answer to the one before: most come alone, and asking
        # another process takes longer than the check.
        verifier = self._verifier if len(unknown) > _FEW else self._inline
        passed = await verifier.check(unknown) if unknown else []
        # By what was unknown before the wait: meanwhile a block may have been committed, and its transactions forgotten.
        bad = {item.raw for item, good in zip(unknown, passed, strict=True) if not good}
        result = [Checked(item, not isinstance(item, MalformedError) and item.raw not in bad) for item in decoded]
        for item in unknown:
            if item.raw not in bad:
                self._keep(item)
        return result

    def forget(self, raws: Sequence[bytes]) -> None:
        """Forget transactions whose block is on disk."""
        for raw in raws:
            if self._good.pop(raw, None) is not None:
                self._bytes -= len(raw) + _OVERHEAD_BYTES

    def _keep(self, item: Transaction) -> None:
        if item.raw in self._good:
            return
        self._good[item.raw] = item
        self._bytes += len(item.raw) + _OVERHEAD_BYTES
        while self._bytes > MAX_KEPT_BYTES:
            oldest = next(iter(self._good))
            del self._good[oldest]
            self._bytes -= len(oldest) + _OVERHEAD_BYTES
