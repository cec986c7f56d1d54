"""What the core measures about itself, for the office to show: the core has no web in it, and no need of one."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Any

from tallystick.codec.bundles import Bundle
from tallystick.machine import BlockResult, Transaction
from tallystick.machine.rejections import BAD_SIGNATURE
from tallystick.ordering import SignatureVerifier
from tallystick.store import LedgerStore
from tallystick.views import Distribution, Failures, Measured

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_INTERVALS = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0)
_BYTES = (0.0, 1e3, 4e3, 16e3, 64e3, 256e3, 1e6, 4e6)
_OPERATIONS = (0.0, 1.0, 5.0, 20.0, 100.0, 500.0, 2_000.0, 10_000.0)
BOUNDS: dict[str, tuple[float, ...]] = {
    "apply_seconds": _SECONDS,
    "commit_seconds": _SECONDS,
    "block_interval_seconds": _INTERVALS,
    "block_bytes": _BYTES,
    "block_operations": _OPERATIONS,
}


class Measures:
    """Distributions and counts of one core, since it started."""

    def __init__(self) -> None:
        self._counts = {name: [0] * (len(bounds) + 1) for name, bounds in BOUNDS.items()}
        self._totals = dict.fromkeys(BOUNDS, 0.0)
        self._refused: Counter[tuple[str, str]] = Counter()
        self._last_time = 0

    def observe(self, name: str, value: float) -> None:
        """Take one value of a distribution that `BOUNDS` names."""
        self._counts[name][bisect_left(BOUNDS[name], value)] += 1
        self._totals[name] += value

    def refused(self, what: str, reason: str) -> None:
        """Count something that came from others and was refused; the reason is one of a fixed set."""
        self._refused[what, reason] += 1

    def block(self, result: BlockResult) -> None:
        """Take note of a block that is on disk."""
        block = result.block
        if self._last_time:
            self.observe("block_interval_seconds", (block.time - self._last_time) / 1000)
        self._last_time = block.time
        self.observe("block_bytes", sum(map(len, block.transactions)))
        self.observe("block_operations", len(result.leaves))

    def measured(self) -> Measured:
        """Return all of it."""
        return Measured(
            distributions={
                name: Distribution(bounds=bounds, counts=tuple(self._counts[name]), total=self._totals[name])
                for name, bounds in BOUNDS.items()
            },
            failures=tuple(
                Failures(what=what, reason=reason, count=count)
                for (what, reason), count in sorted(self._refused.items())
            ),
        )


class MeasuredStore(LedgerStore):
    """A ledger whose commits are measured."""

    def __init__(self, *arguments: Any, measures: Measures, **more: Any) -> None:
        """Open it; see `LedgerStore`.

        Args:
            arguments: of the store.
            measures: told how long each commit took.
            more: of the store.
        """
        super().__init__(*arguments, **more)
        self._measures = measures

    def commit_block(
        self,
        result: BlockResult,
        header: bytes,
        signatures: bytes,
        *,
        synced: bool = True,
        bundles: Sequence[Bundle] = (),
    ) -> None:
        """Write a block; see `LedgerStore.commit_block`."""
        began = time.perf_counter()
        super().commit_block(result, header, signatures, synced=synced, bundles=bundles)
        self._measures.observe("commit_seconds", time.perf_counter() - began)


class MeasuredVerifier:
    """Checks signatures of transactions, and counts the bad ones."""

    def __init__(self, verifier: SignatureVerifier, measures: Measures) -> None:
        self._verifier = verifier
        self._measures = measures

    async def check(self, transactions: Sequence[Transaction]) -> list[bool]:
        """Return whether each signature is good."""
        good = await self._verifier.check(transactions)
        for _ in range(good.count(False)):
            self._measures.refused("transaction", BAD_SIGNATURE.name)
        return good

    async def close(self) -> None:
        """Stop."""
        await self._verifier.close()
