"""Which of its own blocks the engine may forget. The ledger keeps everything; these are for engines that catch up.

A block goes when it is beyond all of these, and not before:

- the count and the age that this node's operator set; with neither set, none ever goes;
- the count and the age within which evidence of a double vote still counts: whoever judges it needs the validators of
  that height. The engines count it until both are over.

An engine that needs a block which all others have forgotten begins in the middle (`beginnings`).
"""

from __future__ import annotations

from collections.abc import Callable

DAY_MS = 86_400_000
# Heights between two looks for the first block that is young enough, at most: old blocks go in portions, no larger than
# a tenth of what is kept.
_STEP = 200
_PORTIONS = 10


class Retention:
    """The lowest height that an engine must keep."""

    def __init__(
        self,
        blocks: int,
        days: int,
        time_of: Callable[[int], int | None],
        *,
        evidence_blocks: int,
        evidence_ms: int,
    ) -> None:
        """Prepare.

        Args:
            blocks: how many to keep at least.
            days: of how many days to keep them at least.
            time_of: gives the time of a block, ms, or None where this copy does not have it.
            evidence_blocks: for how many blocks evidence counts.
            evidence_ms: for how long.
        """
        self._all = not blocks and not days
        self._blocks = max(blocks, evidence_blocks)
        self._age_ms = max(days * DAY_MS, evidence_ms)
        self._time_of = time_of
        self._step = max(1, min(_STEP, self._blocks // _PORTIONS))
        self._lowest = 0
        self._looked_at = 0

    def lowest(self, height: int, time: int) -> int:
        """Return the lowest height that must be kept after a block, or 0 where all must.

        It never goes back.

        Args:
            height: of the block.
            time: of the block, ms.
        """
        if self._all or height - self._looked_at < self._step:
            return self._lowest
        self._looked_at = height
        beyond = height - self._blocks + 1
        if beyond > max(1, self._lowest):
            self._lowest = max(self._lowest, self._first_young(beyond, time - self._age_ms))
        return self._lowest

    def _first_young(self, beyond: int, oldest: int) -> int:
        """Return the first height up to `beyond` whose block is younger than a time; times never go back."""
        low, high = max(1, self._lowest), beyond
        while low < high:
            middle = (low + high) // 2
            time = self._time_of(middle)
            # One that this copy does not have is older than all that it has.
            if time is None or time < oldest:
                low = middle + 1
            else:
                high = middle
        return low
