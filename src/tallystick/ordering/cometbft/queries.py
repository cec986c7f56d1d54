"""What the engine's query connection answers: `/records/COLLECTION/KEY` and `/history/SIZE`, and who may connect.

Answers are as of the last block on disk; proofs are the node's. The engine itself asks `/p2p/filter/id/NODE` and
`/p2p/filter/addr/ADDRESS` of whoever connects to it: those whom the zone does not know do not get its blocks.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from tallystick.machine import LedgerState, Rulebook
from tallystick.ordering.cometbft.admission import HistoryRoots
from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.results import NODE_CODESPACE

log = structlog.get_logger("engine")


class Queries:
    """Answers by path."""

    def __init__(self, roots: HistoryRoots, rulebook: Rulebook, knows_engine: Callable[[str], bool] | None) -> None:
        """Prepare.

        Args:
            roots: of the history.
            rulebook: which collections there are.
            knows_engine: tells by its node id whether another engine may connect; None where any may.
        """
        self._roots = roots
        self._rulebook = rulebook
        self._knows_engine = knows_engine

    def answer(self, state: LedgerState, path: str) -> abci.ResponseQuery:
        """Return the answer to a path, from a state."""
        _, _, rest = path.partition("/")
        kind, _, name = rest.partition("/")
        if kind == "p2p":
            return self._filter(name)
        collection, _, key = name.partition("/")
        value: bytes | None = None
        if kind == "records" and collection in self._rulebook.collections:
            value = state.reader.read(collection, key)
        elif kind == "history" and name.isascii() and name.isdigit() and len(name) < 16:
            value = self._roots.history_root(int(name))
        if value is None:
            return abci.ResponseQuery(
                code=1, codespace=NODE_CODESPACE, log="there is no such thing", height=state.height
            )
        return abci.ResponseQuery(key=name.encode(), value=value, height=state.height)

    def _filter(self, name: str) -> abci.ResponseQuery:
        _, _, asked = name.partition("/")
        what, _, identity = asked.partition("/")
        if self._knows_engine is None or what != "id" or self._knows_engine(identity):
            return abci.ResponseQuery()
        log.warning("unknown_engine_refused", node=identity[:80])
        return abci.ResponseQuery(code=1, codespace=NODE_CODESPACE, log="no member has announced this engine")
