"""Bundles: what the engine carries as one transaction is any number of the ledger's.

The engine's work is by the piece: a request, a question to the application, a message to each other validator and a
message from each of them that does not know yet that this one has it. So what waits here at one time travels as one
piece, and what a proposer chooses is a few pieces, cut as the ledger keeps them. Nothing but travelling is done by the
piece: each of the ledger's transactions is admitted, counted, chosen, executed and answered by itself, whatever bundle
brought it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tallystick.codec import MalformedError, sha256
from tallystick.codec.bundles import Bundle, decode_bundle

# What goes into one bundle that travels, at most; one transaction always does. Others' bundles with more are refused.
BUNDLE_TRANSACTIONS = 500
BUNDLE_BYTES = 128 << 10


def unpack(bundles: Sequence[bytes]) -> list[Bundle]:
    """Return the bundles of a decided block; what is no bundle holds nothing."""
    found: list[Bundle] = []
    for bundle in bundles:
        try:
            found.append(Bundle(decode_bundle(bundle), bundle))
        except MalformedError:
            found.append(Bundle((), bundle))
    return found


class Carried:
    """The bundles of this node's mempool, and the transactions for which each is kept there.

    The engine forgets a bundle only when it is told so, block by block: as long as one is there, the chain does not come
    to rest. A bundle is there as long as one of its transactions waits.
    """

    def __init__(self) -> None:
        self._bundles: dict[bytes, tuple[bytes, ...]] = {}

    def add(self, bundle: bytes, identifiers: Iterable[bytes]) -> None:
        """Keep a bundle for some transactions."""
        self._bundles[sha256(bundle)] = tuple(identifiers)

    def __contains__(self, bundle: bytes) -> bool:
        return sha256(bundle) in self._bundles

    def block_committed(self, waiting: Collection[bytes]) -> None:
        """Forget the bundles of which nothing waits any more.

        Args:
            waiting: ids of what still waits.
        """
        self._bundles = {
            key: identifiers
            for key, identifiers in self._bundles.items()
            if any(identifier in waiting for identifier in identifiers)
        }

    def clear(self) -> None:
        """Forget all: the mempool of an engine that begins is empty."""
        self._bundles.clear()
