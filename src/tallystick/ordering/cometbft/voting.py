"""What this node proposes, and which blocks it votes for: the rules of `proposals`, over what waits and what is known.

A block is taken apart once, for the vote. Where that very block is decided, it is executed from what the vote left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tallystick.codec import MalformedError
from tallystick.codec.bundles import Bundle, cut_bundles, decode_bundle
from tallystick.ordering.cometbft.bundles import unpack
from tallystick.ordering.cometbft.checking import Checked
from tallystick.ordering.cometbft.pool import Pool
from tallystick.ordering.cometbft.proposals import choose, find_fault, room_in_block
from tallystick.ordering.cometbft.replay import KeptBlock, is_kept


class Opened(NamedTuple):
    """A block's bundles, taken apart, and their transactions, checked."""

    bundles: Sequence[Bundle]
    checked: Sequence[Checked]


class Voting:
    """Proposes and votes; remembers the block on which it voted last."""

    def __init__(self, pool: Pool, find_kept: Callable[[int], KeptBlock | None]) -> None:
        """Prepare.

        Args:
            pool: what waits here.
            find_kept: returns the block of a height that the ledger has already, or None.
        """
        self._pool = pool
        self._find_kept = find_kept
        self._opened: Opened | None = None

    @property
    def opened(self) -> Opened | None:
        """The block on which this node voted last, if it is to be executed at all."""
        return self._opened

    def propose(self, height: int, max_bytes: int) -> list[bytes]:
        """Return a block, oldest first, in bundles as the ledger keeps them.

        Args:
            height: of the block.
            max_bytes: what they may take, with the engine's frames.
        """
        if self._find_kept(height) is not None:
            # The block of this height was decided long ago, and this proposal comes too late for anybody.
            return []
        pool = self._pool
        chosen = choose(pool.admission.candidates(), pool.parameters, room_in_block(max_bytes))
        return [bundle.encoded for bundle in cut_bundles(chosen)]

    async def find_fault(self, height: int, bundles: Sequence[bytes]) -> str | None:
        """Return why a proposal is not voted for, or None."""
        try:
            return await self._find_fault(height, bundles)
        except MalformedError as error:
            return error.reason

    async def _find_fault(self, height: int, bundles: Sequence[bytes]) -> str | None:
        """Return why a proposal is not voted for, or None.

        Raises:
            MalformedError: it holds something else than bundles.
        """
        self._opened = None
        opened = [Bundle(decode_bundle(bundle), bundle) for bundle in bundles]
        transactions = [raw for bundle in opened for raw in bundle.transactions]
        kept = self._find_kept(height)
        if kept is not None:
            return None if is_kept(transactions, kept) else "the ledger holds another block of this height"
        checked = await self._pool.checker.check(transactions)
        self._opened = Opened(opened, checked)
        return find_fault(checked, self._pool.parameters) or self._find_other_history(checked)

    def _find_other_history(self, checked: Sequence[Checked]) -> str | None:
        """Return why a proposal is not voted for: one of its authors has seen another history than this one.

        Every validator at this height knows the same roots, so all honest ones vote alike; copies that follow raise the
        alarm where such a transaction is in a block after all.
        """
        has_seen_this = self._pool.admission.has_seen_this
        for position, item in enumerate(checked):
            if not isinstance(item.decoded, MalformedError) and not has_seen_this(item.decoded):
                return f"the author of transaction {position} has seen another history"
        return None

    async def open_decided(self, bundles: Sequence[bytes]) -> Opened:
        """Take a decided block apart, from memory where this node has looked at it for its vote."""
        opened, self._opened = self._opened, None
        if opened is not None and [bundle.encoded for bundle in opened.bundles] == list(bundles):
            return opened
        unpacked = unpack(bundles)
        transactions = [raw for bundle in unpacked for raw in bundle.transactions]
        return Opened(unpacked, await self._pool.checker.check(transactions))
